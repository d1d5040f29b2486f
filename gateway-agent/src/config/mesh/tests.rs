//! What files of the mesh mean. What is wrong with them is tested by fixtures
//! (`tests/config/mesh`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::config::Config;
use crate::mesh::Mesh;
use crate::mesh::catalog::{GatewayMode, Instance, Kind, Status};
use crate::mesh::dial::ModeRules;
use crate::mesh::intentions::Action;
use crate::mesh::name::{Locality, Name, ServiceName};
use crate::mesh::route::DnsDiscovery;

const TOP: &str = "datacenter = \"dc1\"\ntrust_domain = \"t.consul\"\n\
                   source \"files\" { path = \"mesh.d\" }\n";
const GATEWAY: &str = "gateway \"mesh\" { address = \"10.1.0.1:8443\" }\n";

fn config(main: &str, file: &str) -> Result<Config, String> {
    let main = ("culvert.hcl", format!("{TOP}{main}"));
    let files = vec![("mesh.d/a.hcl".to_owned(), file.to_owned())];
    Config::parse_all(main, files).map_err(|errors| errors.to_string())
}

fn mesh(main: &str, file: &str) -> Mesh {
    let config = config(main, file).unwrap();
    Mesh::clone(&config.mesh.unwrap().mesh)
}

/// The instance of an ID here.
fn instance<'m>(mesh: &'m Mesh, id: &str) -> &'m Instance {
    let census = &mesh.catalog.localities[&mesh.here];
    let mut all = census.all.iter();
    all.find(|instance| instance.service.id == id).unwrap()
}

fn worst(instance: &Instance) -> Status {
    let statuses = instance.checks.iter().map(|check| check.status);
    statuses.max().unwrap_or(Status::Passing)
}

#[test]
fn a_sidecar_is_what_consul_makes_of_it() {
    let mesh = mesh(
        GATEWAY,
        "service { name = \"web\" id = \"web-1\" port = 80 tags = [\"a\"] meta { version = \"2\" }
           namespace = \"team\"
           connect { sidecar_service { proxy { upstreams { destination_name = \"db\"
             local_bind_port = 1 mesh_gateway { mode = \"remote\" } } } } } }",
    );
    let sidecar = instance(&mesh, "web-1-sidecar-proxy");
    let service = &sidecar.service;
    let proxy = service.proxy.as_ref().unwrap();
    assert_eq!(service.kind, Kind::ConnectProxy);
    assert_eq!(sidecar.service_name().to_string(), "team/web-sidecar-proxy");
    assert_eq!((service.port, &*service.tags[0]), (21_000, "a"));
    assert_eq!(service.meta["version"], "2");
    assert_eq!(proxy.destination_service, *"web");
    assert_eq!(proxy.destination_id, "web-1");
    assert_eq!(proxy.local_service_address, "127.0.0.1");
    assert_eq!(proxy.local_service_port, 80);
    let mode = proxy.upstreams[0].mesh_gateway.as_ref().unwrap();
    assert_eq!(mode.value, GatewayMode::Remote);
    assert_eq!(mode.at.to_string(), "mesh.d/a.hcl:4:56");
    let web = ServiceName::new("web", "team", "");
    assert_eq!(mesh.catalog.connect(&web, &mesh.here).len(), 1);
    // Without a node it is on this host.
    assert_eq!(sidecar.node.address, "10.1.0.1");
}

#[test]
fn sidecars_take_the_ports_that_are_free_on_their_node() {
    let sidecar = |name: &str| {
        format!("service {{ name = \"{name}\" connect {{ sidecar_service {{}} }} }}\n")
    };
    let file = format!(
        "node \"a\" {{ address = \"10.1.0.2\" {} service {{ name = \"x\" port = 21001 }} {} }}\n\
         node \"b\" {{ address = \"10.1.0.3\" {} }}",
        sidecar("one"),
        sidecar("two"),
        sidecar("three"),
    );
    let mesh = mesh("listener \"l\" { address = \"127.0.0.1:1\" }", &file);
    let port = |id| instance(&mesh, id).service.port;
    assert_eq!(port("one-sidecar-proxy"), 21_000);
    assert_eq!(port("two-sidecar-proxy"), 21_002);
    assert_eq!(port("three-sidecar-proxy"), 21_000);
}

#[test]
fn applications_at_addresses_of_their_own_need_no_node() {
    let mut file = String::new();
    for n in 0..300 {
        writeln!(
            file,
            "service {{ name = \"s{n}\" address = \"fd00::{n:x}:1\" connect {{ sidecar_service {{}} }} }}"
        )
        .unwrap();
    }
    let mesh = mesh("listener \"l\" { address = \"127.0.0.1:1\" }", &file);
    let sidecar = &instance(&mesh, "s299-sidecar-proxy").service;
    assert_eq!((&*sidecar.address, sidecar.port), ("fd00::12b:1", 21_000));
}

#[test]
fn the_257th_sidecar_of_a_node_needs_a_port() {
    let mut file = String::new();
    for n in 0..257 {
        writeln!(
            file,
            "service {{ name = \"s{n}\" connect {{ sidecar_service {{}} }} }}"
        )
        .unwrap();
    }
    let errors = config(GATEWAY, &file).unwrap_err();
    assert!(
        errors.contains("no port is left for the sidecar"),
        "{errors}"
    );
    assert!(errors.contains("a.hcl:257:"), "{errors}");
}

#[test]
fn a_sidecar_repeats_the_checks_of_its_application() {
    let file = |check: &str| {
        format!(
            "service {{ name = \"web\" {check} connect {{ sidecar_service {{}} }} }}\n\
             service {{ name = \"far\" address = \"10.1.0.9\" node = \"n\"
                check {{ id = \"f\" alias_node = \"local\" alias_service = \"web-sidecar-proxy\" }} }}\n\
             node \"n\" {{ }}"
        )
    };
    for (check, status) in [
        ("", Status::Passing),
        ("status = \"warning\"", Status::Warning),
        (
            "check { ttl = \"30s\" status = \"critical\" }",
            Status::Critical,
        ),
        ("maintenance = true", Status::Critical),
    ] {
        let mesh = mesh(GATEWAY, &file(check));
        for id in ["web", "web-sidecar-proxy", "far"] {
            assert_eq!(worst(instance(&mesh, id)), status, "{check}: {id}");
        }
    }
}

#[test]
fn the_checks_of_a_node_are_those_of_its_services() {
    let mesh = mesh(
        GATEWAY,
        "node \"n\" { address = \"fd00::2\" check { name = \"disk\" status = \"warning\" }
           service { name = \"a\" } service { name = \"b\" } }
         node \"m\" { address = \"10.1.0.4\" maintenance = true service { name = \"c\" } }
         node \"n\" { partition = \"blue\" address = \"fd00::3\" service { name = \"d\" } }
         check { node = \"n\" partition = \"blue\" id = \"x\" status = \"critical\" }
         check { node = \"N\" service_id = \"B\" id = \"up\" status = \"critical\" output = \"no\" }",
    );
    let status = |id| worst(instance(&mesh, id));
    assert_eq!(status("a"), Status::Warning);
    assert_eq!(status("b"), Status::Critical);
    assert_eq!(status("c"), Status::Critical);
    let blue = Locality {
        partition: "blue".into(),
        ..mesh.here.clone()
    };
    let elsewhere = &mesh.catalog.localities[&blue].all[0];
    assert_eq!(
        (worst(elsewhere), elsewhere.checks.len()),
        (Status::Critical, 1)
    );
    assert_eq!(instance(&mesh, "c").checks[0].id, "_node_maintenance");
}

#[test]
fn datacenters_partitions_and_federation_states_are_kept_apart() {
    let gateway = "service { kind = \"mesh-gateway\" name = \"mesh-gateway\" port = 443";
    let file = format!(
        "datacenter \"dc2\" {{ primary = true
           node \"gw\" {{ address = \"10.2.0.1\" }}
           {gateway} node = \"gw\" }}
           federation_state {{ {gateway} node = \"gw\" modify_index = 9 }} }}
           partition \"blue\" {{ {gateway} address = \"10.2.0.2\" }} }}
         }}
         datacenter \"dc3\" {{ federation_state {{}} }}"
    );
    let config = config(GATEWAY, &file).unwrap();
    let config = config.mesh.unwrap();
    let catalog = &config.mesh.catalog;
    let blue = Locality {
        datacenter: "dc2".into(),
        partition: "blue".into(),
    };
    assert_eq!(config.primary_datacenter, *"dc2");
    assert_eq!(
        catalog.gateways(&Locality::of("dc2"))[0].node.address,
        "10.2.0.1"
    );
    assert_eq!(catalog.gateways(&blue)[0].service.address, "10.2.0.2");
    let federation: BTreeMap<_, _> = catalog
        .federation
        .iter()
        .map(|(locality, all)| (locality.to_string(), all.len()))
        .collect();
    assert_eq!(
        federation,
        [("dc2".to_owned(), 1), ("dc3".to_owned(), 0)].into()
    );
    assert_eq!(
        catalog.federation[&Locality::of("dc2")][0]
            .service
            .modify_index,
        9
    );
    assert_eq!(catalog.localities.len(), 4);
}

#[test]
fn a_peering_tells_its_servers_and_its_services() {
    let mesh = mesh(
        GATEWAY,
        "peering \"north\" { server_name = \"Server.dc9.peering.t.consul\" modify_index = 3
           server_addresses = [\"[2001:db8::1]:443\"]
           service \"db\" { sni = \"db.test\" protocol = \"TCP\" namespace = \"team\"
             instance { address = \"10.9.0.1\" port = 1 wan { address = \"198.51.100.1\" port = 443 } } } }",
    );
    let peering = &mesh.catalog.peerings[&Name::new("north")];
    assert_eq!(peering.server_name, "server.dc9.peering.t.consul");
    assert_eq!(
        (peering.server_addresses.len(), peering.modify_index),
        (1, 3)
    );
    let key = (Name::new("north"), ServiceName::new("db", "team", ""));
    let [one] = &mesh.catalog.imported[&key][..] else {
        panic!("one instance");
    };
    let meta = one.service.peer_meta.as_ref().unwrap();
    assert_eq!((&*meta.sni[0], &*meta.protocol), ("db.test", "tcp"));
    assert_eq!(one.service.tagged["wan"].address, "198.51.100.1");
    assert_eq!(one.peer, Some(Name::new("NORTH")));
}

const TWO_GATEWAYS: &str = "
  service { kind = \"mesh-gateway\" name = \"mesh-gateway\" id = \"one\" address = \"10.1.0.1\"
    port = 8443 meta { consul-wan-federation = \"1\" tier = \"a\" }
    tagged_addresses { wan { address = \"203.0.113.1\" port = 443 } }
    proxy { config { connect_timeout_ms = 100 x = 1 } } }
  service { kind = \"mesh-gateway\" name = \"mesh-gateway\" id = \"two\" address = \"10.1.0.2\"
    port = 8444 }";

#[test]
fn a_gateway_is_its_block_over_its_registration() {
    let block = "gateway \"mesh\" { address = [\"10.1.0.1:8443\", \"[::]:8443\"]
        wan_address = \"gw.example.net:444\" meta { tier = \"b\" } config { x = 2 }
        hostnames = \"first\" panic_percent = 0 refuse = \"close\" allow = \"10.0.0.0/8\" }
        default_intention_policy = \"allow\" mode_rules = \"1.8\" domain = \"Mesh.\"";
    let config = config(block, TWO_GATEWAYS).unwrap();
    let (mesh, listener) = (config.mesh.unwrap(), config.gateway.unwrap());
    let gateway = &mesh.mesh.gateway;
    assert_eq!((&*gateway.address, gateway.port), ("10.1.0.1", 8443));
    assert_eq!(gateway.tagged["wan"].address, "gw.example.net");
    assert_eq!(gateway.tagged["lan"].address, "10.1.0.1");
    assert_eq!(gateway.meta["consul-wan-federation"], "1");
    assert_eq!(gateway.meta["tier"], "b");
    assert_eq!(gateway.config.number("connect_timeout_ms"), Some(100));
    assert_eq!(gateway.config.number("x"), Some(2));
    assert_eq!(listener.addresses.len(), 2);
    assert_eq!(listener.hostnames, DnsDiscovery::LogicalDns);
    assert_eq!(listener.panic_percent, Some(0));
    assert_eq!(mesh.mesh.default_intention, Action::Allow);
    assert_eq!(mesh.mesh.mode_rules, ModeRules::V1_8);
    assert_eq!(&*mesh.mesh.domain, "mesh");
}

#[test]
fn a_block_is_the_registration_where_no_file_has_one() {
    let block = "gateway \"mesh\" { address = [\"[::]:8443\", \"[fd00:1::1]:8444\"]
        wan_address = \"203.0.113.1:443\" id = \"gw-1\" meta { tier = \"a\" } }";
    let alone = mesh(block, "");
    let [own] = alone.catalog.gateways(&alone.here) else {
        panic!("one gateway");
    };
    let service = &own.service;
    assert_eq!(
        (&*service.id, &*service.name.to_string()),
        ("gw-1", "mesh-gateway")
    );
    assert_eq!((&*service.address, service.port), ("fd00:1::1", 8444));
    assert_eq!(service.tagged, alone.gateway.tagged);
    assert_eq!(service.tagged["wan"].port, 443);
    assert_eq!(own.at.to_string(), "culvert.hcl:4:9");
    // Nobody could dial it.
    let nowhere = mesh("gateway \"mesh\" { address = \"0.0.0.0:1\" }", "");
    assert!(nowhere.catalog.gateways(&nowhere.here).is_empty());
    assert_eq!((&*nowhere.gateway.address, nowhere.gateway.port), ("", 1));
    // A file has one.
    let both = mesh(
        "gateway \"mesh\" { address = \"10.1.0.1:8443\" }",
        TWO_GATEWAYS,
    );
    assert_eq!(both.catalog.gateways(&both.here).len(), 2);
}

#[test]
fn json_in_camel_case_means_what_hcl_in_snake_case_does() {
    let hcl = "service { name = \"web\" id = \"w\" port = 80 tags = [\"a\"] meta { v = \"1\" }
        weights { passing = 3 warning = 2 } tagged_addresses { wan { address = \"::1\" port = 1 } }
        check { id = \"c\" http = \"http://[::1]/\" status = \"warning\" }
        connect { sidecar_service { port = 21 proxy { mesh_gateway { mode = \"local\" }
          config { protocol = \"http\" } upstreams { destination_name = \"db\" datacenter = \"dc2\"
          local_bind_port = 9 destination_type = \"service\" config { a = [1, { b = true }] } } } } } }";
    let json = r#"{"Service": {"Name": "web", "ID": "w", "Port": "80", "Tags": "a", "Meta": {"v": 1},
        "Weights": {"Passing": 3, "Warning": "2"}, "TaggedAddresses": {"wan": {"Address": "::1", "Port": 1}},
        "Checks": [{"CheckID": "c", "HTTP": "http://[::1]/", "Status": "warning"}],
        "Connect": {"SidecarService": {"Port": 21, "Proxy": {"MeshGateway": {"Mode": "local"},
          "Config": {"protocol": "http"}, "Upstreams": [{"DestinationName": "db", "Datacenter": "dc2",
          "LocalBindPort": 9, "DestinationType": "service", "Config": {"a": [1, {"b": true}]}}]}}}}}"#;
    let read = |path: &str, text: &str| {
        let main = ("culvert.hcl", format!("{TOP}{GATEWAY}"));
        let files = vec![(path.to_owned(), text.to_owned())];
        let config = Config::parse_all(main, files).map_err(|errors| errors.to_string());
        let shown = format!("{:#?}", config.unwrap().mesh.unwrap().mesh.catalog);
        let lines = shown.lines().map(str::trim_start).filter(|line| {
            let place = ["file:", "line:", "column:"];
            !place.iter().any(|key| line.starts_with(key))
        });
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(read("a.hcl", hcl), read("a.json", json));
}

#[test]
fn a_gateway_without_an_address_binds_that_of_its_registration() {
    let by_id = config(
        "gateway \"mesh\" { id = \"two\" expose_servers = true }",
        TWO_GATEWAYS,
    );
    let by_id = by_id.unwrap();
    let address = by_id.gateway.as_ref().unwrap().addresses[0];
    assert_eq!(address.to_string(), "10.1.0.2:8444");
    let gateway = &by_id.mesh.as_ref().unwrap().mesh.gateway;
    assert_eq!(gateway.meta["consul-wan-federation"], "1");
    for (block, expected) in [
        (
            "gateway \"mesh\" {}",
            "2 mesh gateways named \"mesh-gateway\" are registered here",
        ),
        (
            "gateway \"mesh\" { service = \"edge\" }",
            "no mesh-gateway named \"edge\" is registered",
        ),
        (
            "gateway \"mesh\" { id = \"three\" }",
            "no mesh-gateway with the ID \"three\" is",
        ),
        (
            "gateway \"ingress\" { address = \"10.1.0.1:1\" }",
            "there is no gateway \"ingress\"",
        ),
        (
            "gateway \"mesh\" { address = \"10.1.0.1:1\" } gateway \"mesh\" {}",
            "there are two gateways",
        ),
        (
            "gateway \"mesh\" { id = \"two\" } listener \"l\" { address = \"0.0.0.0:8444\" }",
            "0.0.0.0:8444 overlaps 10.1.0.2:8444",
        ),
        (
            "gateway \"mesh\" { id = \"two\" } listener \"mesh\" { address = \"0.0.0.0:1\" }",
            "a listener and the gateway are named \"mesh\"",
        ),
        (
            "gateway \"mesh\" { id = \"two\" } admin { metrics = \"10.1.0.2:8444\" }",
            "10.1.0.2:8444 overlaps the listener address 10.1.0.2:8444",
        ),
    ] {
        let errors = config(block, TWO_GATEWAYS).unwrap_err();
        assert!(errors.contains(expected), "{block}:\n{errors}");
    }
}

#[test]
fn a_mesh_needs_a_datacenter_and_a_trust_domain() {
    let parse = |text: &str| Config::parse("culvert.hcl", text.to_owned());
    let errors = parse(GATEWAY).unwrap_err().to_string();
    assert!(errors.contains("has no datacenter"), "{errors}");
    assert!(errors.contains("has no trust_domain"), "{errors}");
    let alone = parse("listener \"l\" { address = \"127.0.0.1:1\" }").unwrap();
    assert!(alone.mesh.is_none() && alone.gateway.is_none() && alone.watched.is_empty());
}

#[test]
fn references_reach_over_files_and_errors_name_theirs() {
    let main = ("etc/culvert.hcl", format!("{TOP}{GATEWAY}"));
    let files = [
        (
            "etc/mesh.d/a.hcl",
            "service { name = \"web\" node = \"n\" }\nnode \"m\" {}",
        ),
        (
            "etc/mesh.d/b.json",
            r#"{"node": {"n": {"address": "10.1.0.2"}, "M": {}}}"#,
        ),
        ("etc/mesh.d/c.json", "[]"),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let errors = Config::parse_all(main, files.to_vec()).unwrap_err();
    let items: Vec<_> = errors.items().collect();
    assert_eq!(items.len(), 1, "{errors}");
    assert_eq!((&*items[0].file, items[0].line), ("etc/mesh.d/b.json", 1));
    assert_eq!(items[0].also, ["etc/mesh.d/a.hcl:2:6: the first one"]);
}

#[test]
fn a_directory_is_read_in_the_order_of_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("culvert.hcl");
    std::fs::write(&path, format!("{TOP}{GATEWAY}")).unwrap();
    let missing = Config::load(&path).unwrap_err();
    let missing: Vec<_> = missing.items().collect();
    assert_eq!((missing.len(), missing[0].line), (1, 3));
    assert!(
        missing[0].message.contains("mesh.d: No such file"),
        "{missing:?}"
    );

    // As Kubernetes mounts a config map: links through a link.
    let data = folder.path().join("mesh.d/..2026");
    std::fs::create_dir_all(&data).unwrap();
    std::os::unix::fs::symlink("..2026", folder.path().join("mesh.d/..data")).unwrap();
    for (name, text) in [
        ("b.hcl", "service { name = \"b\" }"),
        ("a.json", r#"{"services": [{"name": "a"}]}"#),
        ("notes.txt", "not read"),
        (".hidden.hcl", "not read"),
    ] {
        std::fs::write(data.join(name), text).unwrap();
        let link = folder.path().join("mesh.d").join(name);
        std::os::unix::fs::symlink(format!("..data/{name}"), link).unwrap();
    }
    std::fs::create_dir(folder.path().join("mesh.d/folder.hcl")).unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.watched, [folder.path().join("mesh.d")]);
    let names: Vec<_> = config
        .sources
        .others()
        .iter()
        .map(|one| one.path.to_string())
        .collect();
    assert!(
        names[0].ends_with("mesh.d/a.json") && names[1].ends_with("mesh.d/b.hcl"),
        "{names:?}"
    );
    assert_eq!(names.len(), 2);
    let before = config.sources.fingerprint();

    std::fs::write(data.join("b.hcl"), b"service { name = \"\xff\" }").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("mesh.d/c.hcl")).unwrap();
    let errors = Config::load(&path).unwrap_err().to_string();
    assert!(
        errors.contains("b.hcl: cannot read the configuration: line 1 is not"),
        "{errors}"
    );
    assert!(
        errors.contains("c.hcl: cannot read the configuration: No such"),
        "{errors}"
    );
    std::fs::remove_file(folder.path().join("mesh.d/c.hcl")).unwrap();
    std::fs::write(data.join("b.hcl"), "service { name = \"c\" }").unwrap();
    assert_ne!(Config::load(&path).unwrap().sources.fingerprint(), before);
}

#[test]
fn a_report_tells_the_mesh() {
    let report = config("gateway \"mesh\" { address = \"[::1]:1\" }", "")
        .unwrap()
        .report();
    let find = |name: &str| {
        let found = report.iter().find(|setting| setting.name == name);
        found.map(|setting| (&*setting.value, setting.default))
    };
    assert_eq!(find("trust_domain"), Some(("\"t.consul\"", false)));
    assert_eq!(find("primary_datacenter"), Some(("\"dc1\"", true)));
    assert_eq!(find("mode_rules"), Some(("\"1.14\"", true)));
    assert_eq!(find("default_intention_policy"), Some(("\"deny\"", true)));
    assert_eq!(find("source.files"), Some(("\"mesh.d\"", false)));
    assert_eq!(find("gateway.address"), Some(("[\"[::1]:1\"]", false)));
    assert_eq!(find("gateway.hostnames"), Some(("\"all\"", true)));
    assert_eq!(find("gateway.panic_percent"), Some(("50", true)));
}

#[test]
fn the_order_of_files_does_not_change_what_they_mean() {
    let parts = [
        "node \"n\" { address = \"10.1.0.2\" }",
        "service { name = \"web\" node = \"n\" port = 1 connect { sidecar_service { port = 2 } } }",
        "check { node = \"n\" service_id = \"web\" id = \"c\" status = \"warning\" }",
        "peering \"p\" { service \"db\" { sni = \"db.test\" instance { address = \"10.9.0.1\" } } }",
        "datacenter \"dc2\" { service { name = \"consul\" port = 1 address = \"10.2.0.1\" } }",
    ];
    let read = |order: &[usize]| {
        let files = order.iter().map(|&part| {
            // Each part keeps its path, so that places are the same.
            (format!("mesh.d/{part}.hcl"), parts[part].to_owned())
        });
        let main = ("culvert.hcl", format!("{TOP}{GATEWAY}"));
        let config = Config::parse_all(main, files.collect()).unwrap();
        Mesh::clone(&config.mesh.unwrap().mesh)
    };
    let straight = read(&[0, 1, 2, 3, 4]);
    for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [1, 2, 0, 3, 4]] {
        assert_eq!(read(&order), straight);
    }
}

//! What the mesh is at a moment, and the files that tell a gateway so.
//!
//! A test changes the values and the files follow. Both gateways read the same files: `dc1` must
//! know the instances of `dc2` to dial them, and each picks what is local to it.

use std::net::SocketAddr;

use super::net::{CLIENT, Datacenter, GATEWAY, lan, wan};
use crate::topology::Family;

/// The trust domain of both datacenters.
pub const TRUST_DOMAIN: &str = "5c0e11d7-90d1-4b52-8d3a-6a1e5c1f0b42.consul";

/// The port of both gateways.
pub const GATEWAY_PORT: u16 = 8443;

/// The port on which every instance speaks TLS.
pub const INSTANCE_PORT: u16 = 20_000;

/// The state of the mesh.
#[derive(Clone, Debug)]
pub struct State {
    /// The family of all addresses in registrations.
    pub family: Family,
    /// The gateway mode of `proxy-defaults`.
    pub mode: &'static str,
    /// The subset that the plain name of `web` leads to.
    pub default_subset: Option<&'static str>,
    /// The WAN number of the gateway of `dc2`.
    pub gateway: u8,
    /// The instances of services, all of them in `dc2`.
    pub instances: Vec<Registration>,
    /// More files: name and text.
    pub more: Vec<(&'static str, String)>,
}

/// One instance as it is registered: a node with a service and its sidecar.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The node's name, by which the instance also greets.
    pub name: &'static str,
    /// The service's name.
    pub service: &'static str,
    /// The host number of the node.
    pub number: u8,
    /// What its metadata says of its version.
    pub version: &'static str,
    /// The status of its check.
    pub status: &'static str,
    /// Whether it is held back.
    pub maintenance: bool,
    /// Its weight while it passes.
    pub weight: u32,
    /// Whether it has an address on the WAN.
    pub wan: bool,
}

impl Registration {
    /// A passing instance of a version.
    #[must_use]
    pub const fn new(
        name: &'static str,
        service: &'static str,
        number: u8,
        version: &'static str,
    ) -> Self {
        Self {
            name,
            service,
            number,
            version,
            status: "passing",
            maintenance: false,
            weight: 1,
            wan: false,
        }
    }
}

impl State {
    /// Two instances of `web` of different versions, and one of `api` that the WAN can reach.
    #[must_use]
    pub fn new(family: Family) -> Self {
        let api = Registration {
            wan: true,
            ..Registration::new("api-1", "api", 21, "1")
        };
        Self {
            family,
            mode: "local",
            default_subset: None,
            gateway: Datacenter::Dc2.wan_number(),
            instances: vec![
                Registration::new("web-1", "web", 11, "1"),
                Registration::new("web-2", "web", 12, "2"),
                api,
            ],
            more: Vec::new(),
        }
    }

    /// The instance of that name.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn instance(&mut self, name: &str) -> &mut Registration {
        let found = self.instances.iter_mut().find(|it| it.name == name);
        found.expect("the test names an instance that is registered")
    }

    /// The files of the directory of both gateways.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, String)> {
        let mut files = vec![
            ("proxy-defaults.hcl", self.proxy_defaults()),
            ("web.hcl", self.resolver()),
            ("catalog.hcl", self.catalog()),
        ];
        files.extend(self.more.iter().cloned());
        files
    }

    /// Where the gateway of a datacenter is on the WAN.
    #[must_use]
    pub fn gateway_on_wan(&self, datacenter: Datacenter) -> SocketAddr {
        let number = match datacenter {
            Datacenter::Dc1 => datacenter.wan_number(),
            Datacenter::Dc2 => self.gateway,
        };
        SocketAddr::new(wan(self.family, number), GATEWAY_PORT)
    }

    fn proxy_defaults(&self) -> String {
        format!(
            "Kind = \"proxy-defaults\"\nName = \"global\"\n\
             MeshGateway {{\n  Mode = \"{}\"\n}}\n",
            self.mode
        )
    }

    fn resolver(&self) -> String {
        let mut text = "Kind = \"service-resolver\"\nName = \"web\"\n".to_owned();
        if let Some(subset) = self.default_subset {
            text += &format!("DefaultSubset = \"{subset}\"\n");
        }
        text += "Subsets = {\n";
        for version in ["1", "2"] {
            text += &format!(
                "  v{version} = {{ Filter = \"Service.Meta.version == \\\"{version}\\\"\" }}\n"
            );
        }
        text + "}\n"
    }

    fn catalog(&self) -> String {
        let near = self.gateway_node(Datacenter::Dc1) + &self.shop();
        let mut far = self.gateway_node(Datacenter::Dc2);
        for instance in &self.instances {
            far += &instance.node(self.family);
        }
        format!("datacenter \"dc1\" {{\n{near}}}\n\ndatacenter \"dc2\" {{\n{far}}}\n")
    }

    fn gateway_node(&self, datacenter: Datacenter) -> String {
        let name = datacenter.name();
        let inside = lan(self.family, GATEWAY);
        let outside = self.gateway_on_wan(datacenter).ip();
        format!(
            r#"  node "gateway-{name}" {{
    address = "{inside}"
    service {{
      kind = "mesh-gateway"
      name = "mesh-gateway"
      port = {GATEWAY_PORT}
      tagged_addresses {{
        lan {{
          address = "{inside}"
          port    = {GATEWAY_PORT}
        }}
        wan {{
          address = "{outside}"
          port    = {GATEWAY_PORT}
        }}
      }}
    }}
  }}
"#
        )
    }

    /// The service `shop`, which wants what `dc2` has.
    fn shop(&self) -> String {
        let address = lan(self.family, CLIENT);
        format!(
            r#"  node "shop-1" {{
    address = "{address}"
    service {{
      name = "shop"
      port = 8080
      connect {{
        sidecar_service {{
          proxy {{
            upstreams = [
              {{
                destination_name = "web"
                datacenter       = "dc2"
                local_bind_port  = 9191
              }},
              {{
                destination_name = "api"
                datacenter       = "dc2"
                local_bind_port  = 9192
              }},
            ]
          }}
        }}
      }}
    }}
  }}
"#
        )
    }
}

impl Registration {
    fn node(&self, family: Family) -> String {
        let Self {
            name,
            service,
            version,
            status,
            maintenance,
            weight,
            ..
        } = self;
        let address = lan(family, self.number);
        let mut more = String::new();
        if *maintenance {
            more += "      maintenance = true\n";
        }
        if self.wan {
            let outside = wan(family, self.number);
            more += &format!(
                "      tagged_addresses {{\n        wan {{\n          address = \"{outside}\"\n          \
                 port    = {INSTANCE_PORT}\n        }}\n      }}\n"
            );
        }
        format!(
            r#"  node "{name}" {{
    address = "{address}"
    service {{
      kind    = "connect-proxy"
      name    = "{service}-sidecar-proxy"
      id      = "{name}-sidecar"
      port    = {INSTANCE_PORT}
      status  = "{status}"
      meta    = {{ version = "{version}" }}
      weights = {{ passing = {weight}, warning = 1 }}
{more}      proxy {{ destination_service_name = "{service}" }}
    }}
  }}
"#
        )
    }
}

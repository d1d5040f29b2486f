//! Endpoint names, resolved by a DNS server of our own.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gateway_agent::control::Control;
use gateway_agent::control::cluster::{Ask, NoEndpoint};
use tokio::net::UdpSocket;

use crate::rig::{File, LISTENER, Notes, eventually};

/// A DNS server of one name, with the answers it is told.
struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Zone {
    addresses: Vec<IpAddr>,
    /// Answer code: 0 fine, 2 server failure, 3 no such name.
    code: u8,
    /// Whether questions for IPv6 get a server failure.
    v6_broken: bool,
    questions: usize,
}

impl Dns {
    async fn start(addresses: &[&str]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let addresses = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        let zone = Arc::new(Mutex::new(Zone {
            addresses,
            ..Zone::default()
        }));
        let task = tokio::spawn(serve(socket, Arc::clone(&zone)));
        Self {
            address,
            zone,
            task,
        }
    }

    fn set(&self, change: impl FnOnce(&mut Zone)) {
        change(&mut self.zone.lock().unwrap());
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 1500];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let answer = zone.lock().unwrap().answer(&buffer[..length]);
        socket.send_to(&answer, client).await.unwrap();
    }
}

impl Zone {
    /// RFC 1035 section 4, as far as one question needs it.
    fn answer(&mut self, question: &[u8]) -> Vec<u8> {
        self.questions += 1;
        let name_end = 12 + question[12..].iter().position(|&byte| byte == 0).unwrap();
        let (kind, end) = (question[name_end + 2], name_end + 5);
        let v6 = kind == 28;
        let code = if v6 && self.v6_broken { 2 } else { self.code };
        let records: Vec<_> = self
            .addresses
            .iter()
            .filter(|address| code == 0 && address.is_ipv6() == v6)
            .collect();
        let mut answer = question[..2].to_vec();
        answer.extend([
            0x81,
            0x80 | code,
            0,
            1,
            0,
            u8::try_from(records.len()).unwrap(),
            0,
            0,
            0,
            0,
        ]);
        answer.extend(&question[12..end]);
        for address in records {
            // Name: a pointer to the question; class IN; a TTL of zero, which min_ttl raises.
            answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0]);
            match address {
                IpAddr::V4(v4) => answer.extend([&[4][..], &v4.octets()].concat()),
                IpAddr::V6(v6) => answer.extend([&[16][..], &v6.octets()].concat()),
            }
        }
        answer
    }
}

fn with_name(dns: &Dns, host: &str) -> String {
    format!(
        "{LISTENER}dns {{ servers = \"{}\" min_ttl = \"20ms\" max_ttl = \"50ms\" }}\n\
         route \"a.test\" {{ endpoints = [\"{host}:443\"] }}\n",
        dns.address
    )
}

fn addresses(control: &Control) -> Vec<String> {
    let snapshot = control.snapshot();
    let endpoints = snapshot.routes.get("a.test").unwrap().cluster.endpoints();
    endpoints
        .iter()
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

async fn resolving(dns: &Dns, host: &str) -> (Control, impl Sized) {
    let file = File::new(&with_name(dns, host));
    let control = Control::load(&file.path).unwrap();
    let running = control.start(Box::new(Notes::default())).await.unwrap();
    (control, (running, file))
}

#[tokio::test]
async fn names_are_resolved_in_both_families_before_the_first_connection() {
    let dns = Dns::start(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]).await;
    let (control, _running) = resolving(&dns, "shop.internal").await;
    assert_eq!(
        addresses(&control),
        ["192.0.2.1:443", "192.0.2.2:443", "[2001:db8::1]:443"]
    );
}

#[tokio::test]
async fn a_changed_answer_is_followed_when_its_time_is_over() {
    let dns = Dns::start(&["192.0.2.1"]).await;
    let (control, _running) = resolving(&dns, "shop.internal").await;
    dns.set(|zone| zone.addresses = vec!["192.0.2.9".parse().unwrap()]);
    eventually("the new address", || {
        addresses(&control) == ["192.0.2.9:443"]
    })
    .await;
}

#[tokio::test]
async fn failed_and_empty_answers_keep_the_last_good_one() {
    let dns = Dns::start(&["192.0.2.1", "2001:db8::1"]).await;
    let (control, _running) = resolving(&dns, "shop.internal").await;
    for code in [2, 3] {
        dns.set(|zone| (zone.code, zone.questions) = (code, 0));
        eventually("more questions", || dns.zone.lock().unwrap().questions > 4).await;
        assert_eq!(
            addresses(&control),
            ["192.0.2.1:443", "[2001:db8::1]:443"],
            "code {code}"
        );
    }
}

#[tokio::test]
async fn a_family_that_fails_keeps_its_last_good_addresses() {
    let dns = Dns::start(&["192.0.2.1", "2001:db8::1"]).await;
    let (control, _running) = resolving(&dns, "shop.internal").await;
    dns.set(|zone| {
        zone.v6_broken = true;
        zone.addresses = vec!["192.0.2.2".parse().unwrap()];
    });
    let expected = ["192.0.2.2:443", "[2001:db8::1]:443"];
    eventually("the new IPv4 address", || addresses(&control) == expected).await;
}

#[tokio::test]
async fn a_name_without_an_answer_does_not_stop_the_start() {
    let dns = Dns::start(&[]).await;
    let (control, _running) = resolving(&dns, "shop.internal").await;
    let snapshot = control.snapshot();
    let ask = Ask {
        now: Instant::now(),
        source: [127, 0, 0, 1].into(),
        tried: &[],
    };
    let error = snapshot
        .routes
        .get("a.test")
        .unwrap()
        .cluster
        .pick(&ask)
        .unwrap_err();
    assert_eq!(error, NoEndpoint::Unresolved);
}

#[tokio::test]
async fn names_of_the_hosts_file_need_no_server() {
    let dns = Dns::start(&["192.0.2.1"]).await;
    let (control, _running) = resolving(&dns, "localhost").await;
    let addresses = addresses(&control);
    assert!(
        addresses.contains(&"127.0.0.1:443".to_owned()),
        "{addresses:?}"
    );
    assert_eq!(dns.zone.lock().unwrap().questions, 0);
}

#[tokio::test]
async fn a_name_that_a_reload_adds_is_resolved_before_it_takes_effect() {
    let dns = Dns::start(&["192.0.2.1"]).await;
    let file = File::new(LISTENER);
    let control = Control::load(&file.path).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    file.write(&with_name(&dns, "shop.internal"));
    control.reload().await.unwrap();
    assert_eq!(addresses(&control), ["192.0.2.1:443"]);
}

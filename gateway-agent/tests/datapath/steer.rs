//! Steering: who gets the flow, and what reloads do to flows.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what fails here fails the test"
)]

use std::{
    io::ErrorKind,
    net::TcpListener,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use gateway_agent::bpf::{
    Accounts, Datapath, Event, EventCode, EventReader, Family, KernelLog, Plan, SteerCount,
};

use crate::host::{Gateway, connect, on_a_host, to};

#[test]
fn a_flow_to_a_prefix_and_port_range_reaches_the_listener_with_its_destination_kept() {
    on_a_host(|| {
        let mut gateway = Gateway::open("a");
        let id = gateway.listen("tls");
        gateway.publish(&[
            to("192.0.2.0/24", 440, 450, id, 0),
            to("fd00:9::/64", 1, 1024, id, 0),
        ]);
        for (address, family) in [
            ("192.0.2.1:440", Family::V4),
            ("192.0.2.255:450", Family::V4),
            ("[fd00:9::1]:1", Family::V6),
            ("[fd00:9::ffff:ffff:ffff:ffff]:1024", Family::V6),
        ] {
            let _client = connect(address).unwrap();
            assert_eq!(gateway.accept("tls", family), address.parse().unwrap());
        }
    });
}

#[test]
fn the_longer_prefix_wins_then_the_narrower_range() {
    on_a_host(|| {
        let mut gateway = Gateway::open("a");
        let (wide, long, narrow) = (
            gateway.listen("wide"),
            gateway.listen("long"),
            gateway.listen("narrow"),
        );
        gateway.publish(&[
            to("192.0.2.0/24", 1, 1000, wide, 0),
            to("192.0.2.128/25", 1, 1000, long, 0),
            to("192.0.2.0/24", 443, 443, narrow, 0),
        ]);
        for (address, winner) in [
            ("192.0.2.1:80", "wide"),
            ("192.0.2.129:443", "long"),
            ("192.0.2.1:443", "narrow"),
        ] {
            let _client = connect(address).unwrap();
            assert_eq!(gateway.accept(winner, Family::V4), address.parse().unwrap());
        }
    });
}

#[test]
fn flows_outside_are_left_to_the_kernel() {
    on_a_host(|| {
        let mut gateway = Gateway::open("a");
        let id = gateway.listen("tls");
        gateway.publish(&[to("192.0.2.0/24", 443, 443, id, 0)]);
        let other = TcpListener::bind("127.0.0.1:443").unwrap();
        connect("127.0.0.1:443").unwrap();
        other.set_nonblocking(true).unwrap();
        assert!(other.accept().is_ok(), "the address is no destination");
        assert_eq!(
            connect("192.0.2.1:444").unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn a_listener_without_sockets_refuses_like_an_unbound_port_and_says_so() {
    on_a_host(|| {
        let mut gateway = Gateway::open("a");
        let id = gateway.listen("tls");
        let route = gateway.datapath.route_id("dc1", "web").unwrap();
        gateway.publish(&[to("192.0.2.0/24", 443, 443, id, route)]);
        gateway.sockets.clear();
        assert_eq!(
            connect("192.0.2.1:443").unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        let counts = gateway.datapath.steer_counts().unwrap();
        assert!(counts.contains(&(SteerCount::NoSocket, 1)), "{counts:?}");
        let event = event(&gateway);
        assert_eq!(
            (event.code, event.listener, event.route),
            (EventCode::NoSocket, id, route)
        );
        assert_eq!(event.local, "192.0.2.1:443".parse().unwrap());
    });
}

/// The first event in the ring.
fn event(gateway: &Gateway) -> Event {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut events = gateway.datapath.events().unwrap();
        tokio::time::timeout(Duration::from_secs(5), events.next())
            .await
            .unwrap()
            .unwrap()
    })
}

#[test]
fn every_member_of_a_reuseport_group_gets_connections() {
    on_a_host(|| {
        let mut gateway = Gateway::open("a");
        let id = gateway.datapath.listener_id("tls").unwrap();
        let group: Vec<_> = (0..4).map(|_| member()).collect();
        gateway
            .datapath
            .set_listener(id, Family::V4, group[0].as_fd())
            .unwrap();
        gateway.publish(&[to("192.0.2.0/24", 443, 443, id, 0)]);
        let clients: Vec<_> = (0..200)
            .map(|_| connect("192.0.2.1:443").unwrap())
            .collect();
        let shares: Vec<_> = group.iter().map(waiting).collect();
        assert_eq!(shares.iter().sum::<usize>(), clients.len());
        assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    });
}

fn member() -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
        .bind(
            &"127.0.0.1:8443"
                .parse::<std::net::SocketAddr>()
                .unwrap()
                .into(),
        )
        .unwrap();
    socket.listen(1024).unwrap();
    socket.into()
}

fn waiting(socket: &TcpListener) -> usize {
    std::iter::from_fn(|| socket.accept().ok()).count()
}

#[test]
fn a_socket_for_both_families_can_stand_in_both_slots() {
    on_a_host(|| {
        let mut gateway = Gateway::open("a");
        let id = gateway.datapath.listener_id("tls").unwrap();
        let socket = TcpListener::bind("[::]:8443").unwrap();
        gateway
            .datapath
            .set_listener(id, Family::V4, socket.as_fd())
            .unwrap();
        gateway
            .datapath
            .set_listener(id, Family::V6, socket.as_fd())
            .unwrap();
        gateway.publish(&[
            to("192.0.2.0/24", 443, 443, id, 0),
            to("fd00:9::/64", 443, 443, id, 0),
        ]);
        for (address, local) in [
            ("192.0.2.1:443", "[::ffff:192.0.2.1]:443"),
            ("[fd00:9::1]:443", "[fd00:9::1]:443"),
        ] {
            let _client = connect(address).unwrap();
            let (connection, _) = socket.accept().unwrap();
            assert_eq!(connection.local_addr().unwrap(), local.parse().unwrap());
        }
    });
}

#[test]
fn readers_and_the_datapath_can_move_to_tasks() {
    fn sendable<T: Send + 'static>() {}
    sendable::<Datapath>();
    sendable::<EventReader>();
    sendable::<KernelLog>();
    sendable::<Accounts>();
}

#[test]
fn look_ups_are_counted_by_route() {
    on_a_host(|| {
        let mut gateway = Gateway::open("a");
        let id = gateway.listen("tls");
        let web = gateway.datapath.route_id("dc1", "web").unwrap();
        let api = gateway.datapath.route_id("dc2", "api").unwrap();
        gateway.publish(&[
            to("192.0.2.1/32", 443, 443, id, web),
            to("192.0.2.2/32", 443, 443, id, api),
        ]);
        let _clients = ["192.0.2.1:443", "192.0.2.1:443", "192.0.2.2:443"].map(connect);
        let stats = gateway.datapath.route_stats().unwrap();
        let steered: Vec<_> = stats
            .iter()
            .map(|stat| (stat.service.as_str(), stat.kernel.steered))
            .collect();
        assert_eq!(steered, [("web", 2), ("api", 1)]);
    });
}

#[test]
fn reloads_lose_no_connection_attempt() {
    on_a_host(|| {
        let mut gateway = Gateway::open("a");
        let id = gateway.listen("tls");
        let kept = to("192.0.2.0/24", 443, 443, id, 0);
        gateway.publish(std::slice::from_ref(&kept));
        let stop = Arc::new(AtomicBool::new(false));
        let connected = Arc::new(AtomicUsize::new(0));
        let acceptor = accept_all(&gateway, &stop);
        let clients: Vec<_> = (0..2).map(|_| connect_all(&stop, &connected)).collect();
        let end = Instant::now() + Duration::from_secs(3);
        let mut reloads = 0_u16;
        while Instant::now() < end {
            // The class of port 443 changes each time, though the destination of the flows does not.
            let other = to(&format!("198.51.100.{}/32", reloads % 200), 443, 443, id, 0);
            gateway.publish(&[
                kept.clone(),
                other,
                to("203.0.113.0/24", 400, 400 + reloads % 50, id, 0),
            ]);
            reloads += 1;
        }
        stop.store(true, SeqCst);
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        acceptor.join().unwrap();
        println!("{reloads} reloads, {} connections", connected.load(SeqCst));
        assert!(reloads > 10 && connected.load(SeqCst) > 100);
    });
}

fn accept_all(gateway: &Gateway, stop: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
    let socket = gateway.sockets[0].1.try_clone().unwrap();
    socket.set_nonblocking(true).unwrap();
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        while !stop.load(SeqCst) {
            match socket.accept() {
                Ok(_) => {}
                Err(_) => thread::yield_now(),
            }
        }
    })
}

fn connect_all(stop: &Arc<AtomicBool>, connected: &Arc<AtomicUsize>) -> thread::JoinHandle<()> {
    let (stop, connected) = (Arc::clone(stop), Arc::clone(connected));
    thread::spawn(move || {
        while !stop.load(SeqCst) {
            let client = connect("192.0.2.77:443").unwrap();
            // A reset instead of TIME_WAIT, so that the ports last.
            socket2::SockRef::from(&client)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            connected.fetch_add(1, SeqCst);
        }
    })
}

#[test]
fn a_plan_that_does_not_fit_leaves_the_one_before_in_force() {
    on_a_host(|| {
        let small = gateway_agent::bpf::Settings {
            destinations: 2,
            ..crate::host::settings("a")
        };
        let datapath = Datapath::open(&small).unwrap();
        let mut gateway = Gateway {
            datapath,
            sockets: Vec::new(),
        };
        let id = gateway.listen("tls");
        gateway.publish(&[to("192.0.2.0/24", 443, 443, id, 0)]);
        let many: Vec<_> = (0..5)
            .map(|n| to(&format!("198.51.100.{n}/32"), 443, 443, id, 0))
            .collect();
        let error = gateway
            .datapath
            .add(&Plan::new(&many).unwrap())
            .unwrap_err();
        assert!(
            error.to_string().starts_with("map DESTINATIONS holds 2"),
            "{error}"
        );
        connect("192.0.2.1:443").unwrap();
    });
}

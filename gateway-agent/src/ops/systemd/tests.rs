use std::io::{IoSliceMut, Read as _};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::*;

/// Set for the child of [`a_child_takes_over_and_stores_listening_sockets`].
const IN_CHILD: &str = "CULVERT_TEST_SYSTEMD_CHILD";

/// Runs as the agent would under a service manager; a plain test run passes by.
#[test]
fn child() {
    let Some(addresses) = std::env::var(IN_CHILD).ok() else {
        return;
    };
    let (by_address, named_at) = addresses.split_once(' ').unwrap();
    let mut inherited = inherited();
    let foreign: Vec<_> = inherited.foreign.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(foreign, ["culvert-udp-0"]);
    let named = inherited.take_named("steer only");
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].0, named_at.parse().unwrap());
    let mut taken = inherited.take(by_address.parse().unwrap());
    assert_eq!(taken.len(), 1);
    assert!(inherited.finish().is_empty());
    let listener = TcpListener::from(taken.remove(0));
    store(&store_name("tls", 0), &listener);
    ready();
    reloading();
    status("two\nlines");
    unstore("culvert-old-1");
    stopping();
    drop(listener.accept().unwrap());
}

/// Starts this test binary as a child that was passed three sockets, and plays the manager.
#[test]
fn a_child_takes_over_and_stores_listening_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let notify_path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&notify_path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let named = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let addresses = format!("{address} {}", named.local_addr().unwrap());
    // Waiting before the child accepts: this is what must not be lost over a restart.
    let mut client = TcpStream::connect(address).unwrap();
    let mut child = Command::new("sh")
        .args([
            "-c",
            "LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 4<&1 5<&2 0</dev/null 1>&- 2>&-",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "ops::systemd::tests::child"])
        .env(IN_CHILD, addresses)
        .env("NOTIFY_SOCKET", &notify_path)
        .env("LISTEN_FDS", "3")
        .env(
            "LISTEN_FDNAMES",
            "tls.socket:culvert-steer%20only-0:culvert-udp-0",
        )
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(named)))
        .stderr(Stdio::from(std::os::fd::OwnedFd::from(
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        )))
        .spawn()
        .unwrap();
    assert_eq!(
        receive(&manager),
        ("FDSTORE=1\nFDNAME=culvert-tls-0\nFDPOLL=0\n".into(), 1)
    );
    assert_eq!(receive(&manager), ("READY=1\n".into(), 0));
    assert!(
        receive(&manager)
            .0
            .starts_with("RELOADING=1\nMONOTONIC_USEC=")
    );
    assert_eq!(receive(&manager), ("STATUS=two lines\n".into(), 0));
    assert_eq!(
        receive(&manager),
        ("FDSTOREREMOVE=1\nFDNAME=culvert-old-1\n".into(), 0)
    );
    assert_eq!(receive(&manager), ("STOPPING=1\n".into(), 0));
    assert_eq!(
        client.read(&mut [0]).unwrap(),
        0,
        "the child accepts and closes"
    );
    assert!(child.wait().unwrap().success());
}

/// One datagram: its text, and how many descriptors came along.
fn receive(manager: &UnixDatagram) -> (String, usize) {
    let mut text = [0; 4096];
    let mut space = [core::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut text)];
    let received = recvmsg(manager, &mut slices, &mut ancillary, RecvFlags::empty()).unwrap();
    let descriptors = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights.count()),
            _ => None,
        })
        .sum();
    (
        String::from_utf8_lossy(&text[..received.bytes]).into_owned(),
        descriptors,
    )
}

#[test]
fn a_socket_that_takes_both_families_is_foreign() {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    let any: std::net::SocketAddr = "[::]:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(1).unwrap();
    let inherited = Inherited::sort(vec![(socket.into(), "web".into())]);
    assert_eq!(inherited.foreign.len(), 1);
    assert!(inherited.foreign[0].to_string().contains("BindIPv6Only"));
}

#[test]
fn a_socket_that_is_passed_twice_is_taken_once() {
    let socket = TcpListener::bind("[::1]:0").unwrap();
    let address = socket.local_addr().unwrap();
    let other = TcpListener::bind("[::1]:0").unwrap();
    let twice = socket.try_clone().unwrap();
    let passed = [(socket, "web"), (other, "web"), (twice, "culvert-web-0")];
    let passed = passed.map(|(socket, name)| (socket.into(), name.to_owned()));
    let mut inherited = Inherited::sort(passed.into());
    assert_eq!(inherited.take(address).len(), 1);
    let left = inherited.finish();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn an_unwanted_socket_is_told_under_each_of_its_names() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let twice = socket.try_clone().unwrap();
    let passed = [(socket, "web"), (twice, "culvert-web-0")];
    let passed = passed.map(|(socket, name)| (socket.into(), name.to_owned()));
    let left = Inherited::sort(passed.into()).finish();
    let names: Vec<&str> = left.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["web", "culvert-web-0"]);
}

#[test]
fn names_in_the_store_never_collide() {
    assert_eq!(store_name("tls", 3), "culvert-tls-3");
    assert_eq!(store_name("a:b", 0), "culvert-a%3Ab-0");
    assert_ne!(store_name("a b", 0), store_name("a_b", 0));
}

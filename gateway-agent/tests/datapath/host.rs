//! A host of its own for each test: a thread in fresh network and mount namespaces, with `lo` up and a
//! bpffs of its own. All of it goes with the thread, also when the test is killed.
#![expect(
    clippy::unwrap_used,
    reason = "support of tests: what fails here fails the test"
)]

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    panic,
    process::Command,
    thread,
    time::Duration,
};

use gateway_agent::bpf::{self, Datapath, Destination, Family, Mode, Plan, Settings};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};

/// Runs a test on a host of its own, or says why not.
pub(crate) fn on_a_host(test: impl FnOnce() + Send + 'static) {
    if let Some(reason) = unable() {
        return skip(reason);
    }
    let host = thread::spawn(|| {
        isolate().unwrap();
        test();
    });
    if let Err(cause) = host.join() {
        panic::resume_unwind(cause);
    }
}

/// Prints why a test does not run and notes it in the file named by `CULVERT_SKIPS`, if any, for whoever
/// counts. `CI=true` refuses to skip.
fn skip(reason: &str) {
    let test = thread::current()
        .name()
        .unwrap_or("unnamed test")
        .to_owned();
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{test} was to skip: {reason}"
    );
    eprintln!("skipped {test}: {reason}");
    if let Some(list) = std::env::var_os("CULVERT_SKIPS") {
        let mut list = OpenOptions::new()
            .create(true)
            .append(true)
            .open(list)
            .unwrap();
        writeln!(list, "{test}: {reason}").unwrap();
    }
}

fn unable() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces and BPF need root");
    }
    let none = bpf::embedded().is_none();
    none.then_some("built without the kernel object: run `cargo xtask ebpf` first")
}

fn isolate() -> io::Result<()> {
    // SAFETY: namespaces are this thread's own affair; no descriptors are unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    mount("bpf", "/sys/fs/bpf", "bpf", MountFlags::empty(), None)?;
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()?;
    if up.success() {
        Ok(())
    } else {
        Err(io::Error::other("ip link set lo up failed"))
    }
}

/// Settings of an instance on this host.
pub(crate) fn settings(instance: &str) -> Settings {
    Settings {
        mode: Mode::Required,
        ..Settings::new(instance)
    }
}

/// A gateway: its datapath and the sockets of its listeners.
pub(crate) struct Gateway {
    pub(crate) datapath: Datapath,
    pub(crate) sockets: Vec<(String, TcpListener, TcpListener)>,
}

impl Gateway {
    pub(crate) fn open(instance: &str) -> Self {
        Self {
            datapath: Datapath::open(&settings(instance)).unwrap(),
            sockets: Vec::new(),
        }
    }

    /// Opens a listener for both families, on ports that nobody asked for, and gives it to the kernel.
    pub(crate) fn listen(&mut self, name: &str) -> u32 {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let id = self.datapath.listener_id(name).unwrap();
        self.datapath
            .set_listener(id, Family::V4, v4.as_fd())
            .unwrap();
        self.datapath
            .set_listener(id, Family::V6, v6.as_fd())
            .unwrap();
        self.sockets.push((name.to_owned(), v4, v6));
        id
    }

    /// Makes destinations live, the whole way of a reload.
    pub(crate) fn publish(&mut self, destinations: &[Destination]) {
        let plan = Plan::new(destinations).unwrap();
        self.datapath.add(&plan).unwrap();
        self.datapath.remove_stale(&plan).unwrap();
    }

    /// Accepts the connection that waits at a listener; its local address.
    pub(crate) fn accept(&self, name: &str, family: Family) -> SocketAddr {
        let (_, v4, v6) = self
            .sockets
            .iter()
            .find(|(listener, ..)| listener == name)
            .unwrap();
        let socket = if family == Family::V4 { v4 } else { v6 };
        // The connection is established before it is accepted, so there is nothing to wait for.
        socket.set_nonblocking(true).unwrap();
        let (connection, _) = socket.accept().unwrap();
        connection.local_addr().unwrap()
    }
}

/// A destination from text.
pub(crate) fn to(prefix: &str, first: u16, last: u16, listener: u32, route: u32) -> Destination {
    Destination {
        prefix: prefix.parse().unwrap(),
        ports: first..=last,
        listener,
        route,
    }
}

/// Connects, or says how it failed.
pub(crate) fn connect(address: &str) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(5))
}

//! Anonymous network namespaces and the veth pairs between them.
//!
//! A namespace here has no name and no process: an open descriptor holds it, so the kernel takes
//! it down, its links included, when the test ends in any way, `kill -9` included. It is entered
//! with `setns` and never with `ip netns exec`, which mounts a fresh `/sys` and so hides bpffs.

use std::fs;
use std::future::Future;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::packet_route::route::RouteType;
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// The loopback device's index in every network namespace.
const LOOPBACK: u32 = 1;

/// A network namespace that lives as long as this value or a process inside it.
#[derive(Debug)]
pub struct Namespace {
    label: String,
    descriptor: OwnedFd,
}

/// One end of a veth pair or of a wire: its name, its index and its addresses with prefix lengths.
///
/// The index is chosen by the caller, so that no look-up is needed after creation.
#[derive(Clone, Debug)]
pub struct End {
    /// Name of the device, at most 15 bytes.
    pub device: String,
    /// Index of the device, unique in its namespace and above that of the loopback device.
    pub index: u32,
    /// Addresses given to the device, with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// The calling thread's stay in a namespace; dropping it returns the thread to where it was.
///
/// Not `Send`, because a namespace belongs to a thread: hold it over no `await`.
#[derive(Debug)]
pub struct Entered {
    home: OwnedFd,
    _thread_bound: PhantomData<*const ()>,
}

impl Namespace {
    /// Makes an empty namespace with its loopback device up; needs `CAP_SYS_ADMIN`.
    ///
    /// `label` only names the namespace in error messages.
    pub fn new(label: &str) -> Result<Self> {
        let descriptor = on_fresh_thread(|| {
            unshare_network()?;
            own_namespace()
        })
        .with_context(|| format!("cannot make the network namespace of {label}: run as root"))?;
        let namespace = Self {
            label: label.to_owned(),
            descriptor,
        };
        namespace.bring_up(LOOPBACK)?;
        // Devices made later inherit it: their link-local addresses work at once, too.
        namespace.sysctl("ipv6/conf/default/accept_dad", "0")?;
        Ok(namespace)
    }

    /// Holds a namespace that [`Namespace::path`] of another value, or any `/proc/*/ns/net`, names.
    pub fn open(path: &str) -> Result<Self> {
        let descriptor = fs::File::open(path).with_context(|| format!("cannot open {path}"))?;
        Ok(Self {
            label: path.to_owned(),
            descriptor: descriptor.into(),
        })
    }

    /// Moves the calling thread into the namespace until the returned value is dropped.
    ///
    /// Sockets made and processes started meanwhile stay in the namespace for good.
    pub fn enter(&self) -> Result<Entered> {
        let home = own_namespace()?;
        move_into(self.descriptor.as_fd())
            .with_context(|| format!("cannot enter the namespace of {}", self.label))?;
        Ok(Entered {
            home,
            _thread_bound: PhantomData,
        })
    }

    /// A path at which another process finds the namespace while this one lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.descriptor.as_raw_fd()
        )
    }

    /// Joins this namespace with another by a veth pair, up and with addresses at both ends.
    pub fn link(&self, here: &End, other: &Self, there: &End) -> Result<()> {
        let pair = veth(here, there, other.descriptor.as_raw_fd());
        self.netlink(|handle| async move { handle.link().add(pair).execute().await })?;
        // Addresses come last: a link is ready for IPv6 once both of its ends are up.
        self.bring_up(here.index)?;
        other.bring_up(there.index)?;
        self.add_addresses(here)?;
        other.add_addresses(there)
    }

    /// Brings a device that is there up and gives it its addresses.
    pub(crate) fn equip(&self, end: &End) -> Result<()> {
        self.bring_up(end.index)?;
        self.add_addresses(end)
    }

    /// Makes a bridge: devices attached to it are one network.
    pub fn bridge(&self, device: &str, index: u32) -> Result<()> {
        let bridge = LinkBridge::new(device).index(index).build();
        self.netlink(|handle| async move { handle.link().add(bridge).execute().await })
    }

    /// Attaches a device of the namespace to a bridge of it.
    pub fn attach(&self, index: u32, bridge: u32) -> Result<()> {
        let change = LinkUnspec::new_with_index(index).controller(bridge).build();
        self.netlink(|handle| async move { handle.link().set(change).execute().await })
    }

    /// Sends everything without a closer route through `gateway`.
    pub fn default_route(&self, gateway: IpAddr) -> Result<()> {
        let route = match gateway {
            IpAddr::V4(gateway) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .gateway(gateway)
                .build(),
            IpAddr::V6(gateway) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .gateway(gateway)
                .build(),
        };
        self.netlink(|handle| async move { handle.route().add(route).execute().await })
    }

    /// Has everything beyond the namespace's own links fail at once, in spite of a default route.
    ///
    /// Programs that ask a name server first, which no namespace has, would wait for each answer.
    pub fn close_off(&self) -> Result<()> {
        self.netlink(|handle| async move {
            for half in [0, 128] {
                let four = RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                    .destination_prefix([half, 0, 0, 0].into(), 1)
                    .kind(RouteType::Unreachable);
                handle.route().add(four.build()).execute().await?;
                let six = RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                    .destination_prefix([u16::from(half) << 8, 0, 0, 0, 0, 0, 0, 0].into(), 1)
                    .kind(RouteType::Unreachable);
                handle.route().add(six.build()).execute().await?;
            }
            Ok(())
        })
    }

    /// Writes a setting below `/proc/sys/net` of the namespace.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let _inside = self.enter()?;
        let path = format!("/proc/sys/net/{name}");
        fs::write(&path, value).with_context(|| format!("cannot write {path} in {}", self.label))
    }

    fn bring_up(&self, index: u32) -> Result<()> {
        let change = LinkUnspec::new_with_index(index).up().build();
        self.netlink(|handle| async move { handle.link().set(change).execute().await })
    }

    fn add_addresses(&self, end: &End) -> Result<()> {
        let end = end.clone();
        self.netlink(|handle| async move {
            for (address, prefix) in end.addresses {
                let mut request = handle.address().add(end.index, address, prefix);
                // Without duplicate detection an IPv6 address can be bound at once.
                let attributes = &mut request.message_mut().attributes;
                attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
                request.execute().await?;
            }
            Ok(())
        })
    }

    /// Runs one netlink conversation inside the namespace, on a thread of its own.
    fn netlink<F, W>(&self, work: F) -> Result<()>
    where
        F: FnOnce(Handle) -> W + Send,
        W: Future<Output = Result<(), rtnetlink::Error>>,
    {
        on_fresh_thread(|| {
            move_into(self.descriptor.as_fd())?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection()?;
                let pump = tokio::spawn(connection);
                let outcome = work(handle).await;
                pump.abort();
                Ok(outcome?)
            })
        })
        .with_context(|| format!("cannot configure the namespace of {}", self.label))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // A thread left in the wrong namespace would make every later result of it a lie.
        move_into(self.home.as_fd()).expect("a thread may return to the namespace it came from");
    }
}

fn veth(here: &End, there: &End, other: RawFd) -> rtnetlink::packet_route::link::LinkMessage {
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(there.device.clone())
        .index(there.index)
        .setns_by_fd(other)
        .build();
    LinkVeth::new(&here.device, &there.device)
        .index(here.index)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build()
}

/// Runs `work` on a thread that ends afterwards, so that its namespace changes touch no other.
fn on_fresh_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join())
        .map_err(|_panic| anyhow!("the thread in the namespace panicked"))?
}

fn own_namespace() -> Result<OwnedFd> {
    let path = "/proc/thread-self/ns/net";
    Ok(fs::File::open(path)
        .with_context(|| format!("cannot open {path}"))?
        .into())
}

fn move_into(namespace: BorrowedFd<'_>) -> Result<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
        .context("cannot switch the network namespace")
}

#[expect(
    unsafe_code,
    reason = "rustix marks unshare unsafe because of its FILES flag"
)]
fn unshare_network() -> Result<()> {
    // SAFETY: only the network namespace is unshared; the descriptor table stays shared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
        .context("cannot unshare the network namespace")
}

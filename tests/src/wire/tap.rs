//! TAP devices: what the kernel sends through one is read from a file, and the other way round.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result, ensure};

use crate::netns::{End, Namespace};

/// The largest frame that the kernel hands out, with its link header and the header of offloads.
pub(super) const LARGEST: usize = 70 * 1024;

/// Where the kernel hands out such files.
const PATH: &str = "/dev/net/tun";

/// Makes a device, up and with its addresses; it goes when the file is closed.
///
/// Reads and writes do not block. If `whole`, frames may be larger than a packet, and each has the
/// kernel's header of what is still to be done to it (`virtio_net_hdr`) in front.
pub(super) fn open(space: &Namespace, end: &End, whole: bool) -> Result<File> {
    let inside = space.enter()?;
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(PATH)
        .with_context(|| format!("cannot open {PATH}: does the kernel have tun?"))?;
    attach(&file, end, whole).with_context(|| format!("cannot make the device {}", end.device))?;
    drop(inside);
    space.equip(end)?;
    Ok(file)
}

#[expect(
    unsafe_code,
    reason = "no crate at hand wraps the requests of TAP devices"
)]
fn attach(file: &File, end: &End, whole: bool) -> Result<()> {
    let index = c_int::try_from(end.index).context("an index of a device is small")?;
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | if whole { libc::IFF_VNET_HDR } else { 0 };
    // SAFETY: all fields of an `ifreq` are plain numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    ensure!(
        end.device.len() < request.ifr_name.len(),
        "the name is too long for a device"
    );
    for (place, byte) in request.ifr_name.iter_mut().zip(end.device.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).context("the flags are short")?;
    let offloads = match whole {
        true => libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6,
        false => 0,
    };
    let descriptor = file.as_raw_fd();
    // SAFETY: the descriptor is open, and each argument is what its request reads: a pointer to a
    // number, a pointer to an `ifreq`, a number.
    let outcomes = unsafe {
        [
            libc::ioctl(descriptor, libc::TUNSETIFINDEX, &raw const index),
            libc::ioctl(descriptor, libc::TUNSETIFF, &raw mut request),
            libc::ioctl(
                descriptor,
                libc::TUNSETOFFLOAD,
                libc::c_ulong::from(offloads),
            ),
        ]
    };
    if outcomes.iter().any(|&outcome| outcome < 0) {
        return Err(io::Error::last_os_error().into());
    }
    Ok(())
}

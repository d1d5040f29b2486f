//! Deliberate faults, to prove that the torture finds such: only in builds with the feature `faults`,
//! which is in no release, and only the one that `CULVERT_FAULT` names.
//!
//! No fault acts before the first connection of a client is spliced: the self-test of an engine would
//! find it first.

use core::fmt;
use core::str::FromStr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::fs::File;
use std::sync::LazyLock;

/// The variable of the environment that names the fault.
pub const VARIABLE: &str = "CULVERT_FAULT";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// One bit of a byte in a million that the agent moves is flipped.
    Flip,
    /// Two neighbouring segments that the agent moves change places.
    Swap,
    /// Some FINs are not passed on.
    LoseFin,
    /// Some aborts are passed on as ends in order.
    EndForReset,
    /// Each connection leaves a descriptor open.
    Leak,
    /// Each connection leaves some memory taken.
    Hoard,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Flip,
        Self::Swap,
        Self::LoseFin,
        Self::EndForReset,
        Self::Leak,
        Self::Hoard,
    ];

    /// The name in the environment.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flip => "flip",
            Self::Swap => "swap",
            Self::LoseFin => "lose-fin",
            Self::EndForReset => "end-for-reset",
            Self::Leak => "leak",
            Self::Hoard => "hoard",
        }
    }
}

/// A name that no fault has.
#[derive(Debug)]
pub struct UnknownFault(String);

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Fault::ALL.map(Fault::name).join(", ");
        write!(f, "no fault `{}`: {VARIABLE} is one of {names}", self.0)
    }
}

impl core::error::Error for UnknownFault {}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let mut all = Self::ALL.into_iter();
        all.find(|fault| fault.name() == name)
            .ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

/// The fault that the environment asks for.
///
/// # Errors
/// If it asks for none, or for one that there is not.
pub fn asked_for() -> Result<Fault, UnknownFault> {
    std::env::var(VARIABLE).unwrap_or_default().parse()
}

static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| asked_for().ok());

/// Whether a connection of a client's has been spliced.
static ARMED: AtomicBool = AtomicBool::new(false);

/// What has been moved, ended or aborted so far.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Bytes of which one is flipped.
const MILLION: u64 = 1_000_000;

/// Buffers, ends or aborts of which one goes wrong: enough that a case meets it, and not its first
/// connection. Odd, so that it is not always the second end of a connection, which closing makes up for.
const SOME: u64 = 7;

/// Payload of a segment of Ethernet.
const SEGMENT: usize = 1448;

/// Memory that a connection hoards.
const HOARD: usize = 16 * 1024;

fn is(fault: Fault) -> bool {
    ARMED.load(Ordering::Relaxed) && *FAULT == Some(fault)
}

/// Whether one more is one that goes wrong.
fn is_due(fault: Fault) -> bool {
    is(fault) && COUNT.fetch_add(1, Ordering::Relaxed) % SOME == SOME - 1
}

/// A connection of a client's begins.
pub(super) fn begin() {
    ARMED.store(true, Ordering::Relaxed);
    if is(Fault::Leak) {
        core::mem::forget(File::open("/dev/null"));
    }
    if is(Fault::Hoard) {
        core::mem::forget(vec![1_u8; HOARD]);
    }
}

/// Whether bytes are spoiled: they must then go through a buffer.
pub(super) fn spoils() -> bool {
    matches!(*FAULT, Some(Fault::Flip | Fault::Swap))
}

/// Spoils bytes on their way.
pub(super) fn spoil(bytes: &mut [u8]) {
    if is(Fault::Flip) {
        let before = COUNT.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let at = usize::try_from(MILLION - before % MILLION).unwrap_or(usize::MAX);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1;
        }
    }
    if let Some((one, rest)) = bytes.split_at_mut_checked(SEGMENT)
        && let Some(other) = rest.get_mut(..SEGMENT)
        && is_due(Fault::Swap)
    {
        one.swap_with_slice(other);
    }
}

/// Whether this FIN is not passed on.
pub(super) fn loses_fin() -> bool {
    is_due(Fault::LoseFin)
}

/// Whether this abort is passed on as an end.
pub(in super::super) fn ends_for_reset() -> bool {
    is_due(Fault::EndForReset)
}

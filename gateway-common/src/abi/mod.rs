//! The layout of what the kernel half and the agent hand to each other: map keys and values, events,
//! globals.
//!
//! Rules for every type here: `repr(C)`, fixed-width fields, padding written out as a field, the
//! size asserted at compile time, byte order said in the field's name or document. Each map value
//! has one writer, because an update from user space replaces the whole value and loses what the
//! kernel added meanwhile.
//!
//! Any change to a type, to a map's name or kind, or to the meaning of a number raises [`ABI`]: pins
//! of another ABI live in a directory of their own and are never read with these types.
//!
//! Not here: names of services in the kernel's view. Programs see ids, prefixes and tuples only.

pub mod config;
pub mod counter;
pub mod event;
pub mod route;
pub mod size;
pub mod splice;
pub mod steer;

/// Number of this layout; part of the pin directory's name (`abi-1`).
pub const ABI: u32 = 1;

/// Marks ABI types as plain data for aya's user side; the orphan rule wants the marks here.
macro_rules! plain {
    ($($type:ty: $size:literal),+ $(,)?) => {
        $(
            const _: () = assert!(size_of::<$type>() == $size);
            // SAFETY: `repr(C)` over integers and byte arrays, with every padding byte a field, so
            // any bit pattern is a value and no byte is left uninitialised.
            #[cfg(feature = "user")]
            #[expect(unsafe_code, reason = "aya asks for the mark")]
            unsafe impl aya::Pod for $type {}
        )+
    };
}
use plain;

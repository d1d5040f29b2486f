//! Entry points of the kernel half: one function a hook, which calls its `try_` function and turns the
//! answer into a verdict.
//!
//! Each entry says here whether it fails open or closed. Nothing else is here but the licence and the
//! panic handler.
#![no_std]
#![no_main]
#![expect(
    missing_docs,
    reason = "the entry attribute makes a public function without its documents"
)]

mod count;
mod maps;
mod report;
mod shed;
mod splice;
mod steer;

use aya_ebpf::{
    macros::{sk_lookup, socket_filter, stream_verdict},
    programs::{SkBuffContext, SkLookupContext},
};

/// `sk_action` of the kernel: go on, with the socket that was chosen if one was.
const SK_PASS: u32 = 1;

/// `sk_action` of the kernel: take it away.
const SK_DROP: u32 = 0;

/// Steers new TCP flows of configured destinations to listeners. Always passes: what it cannot steer
/// meets the kernel's own look-up, as if the program were not there.
///
/// Minimum kernel version: 5.9.
#[expect(
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "the attribute wants a public function that takes its context by value"
)]
#[sk_lookup]
pub fn steer(ctx: SkLookupContext) -> u32 {
    match steer::try_steer(&ctx) {
        Ok(()) => SK_PASS,
        Err(pass) => {
            report::steer_passed(&ctx, &pass);
            SK_PASS
        }
    }
}

/// Redirects what arrives at a spliced socket to its peer. Fails open: what it does not redirect, the
/// agent reads and forwards.
///
/// Minimum kernel version: 5.15.
#[expect(
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "the attribute wants a public function that takes its context by value"
)]
#[stream_verdict]
pub fn splice(ctx: SkBuffContext) -> u32 {
    match splice::try_splice(&ctx) {
        splice::Verdict::Pass => SK_PASS,
        splice::Verdict::Drop => SK_DROP,
    }
}

/// Drops what arrives at a spliced socket while too much of what it passed is charged to nobody. Fails
/// open.
///
/// Minimum kernel version: 5.15.
#[expect(
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "the attribute wants a public function that takes its context by value"
)]
#[socket_filter]
pub fn shed(ctx: SkBuffContext) -> i64 {
    i64::from(shed::try_shed(&ctx))
}

/// Never runs: a loop without end, which the verifier refuses if it can be reached.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The crate's licence as the kernel must see it: GPL-compatible helpers are in use.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

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
mod steer;

use aya_ebpf::{macros::sk_lookup, programs::SkLookupContext};

/// `sk_action` of the kernel: go on with the socket that was chosen, or with the kernel's own look-up.
const SK_PASS: u32 = 1;

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

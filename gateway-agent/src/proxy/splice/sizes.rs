//! What a connection costs the agent in memory, beside its sockets: each future and record that it
//! has while it rests. A field more is paid by every connection, all the time, so it must be wanted.
//!
//! The limits are what an unoptimised build for 64 bits has, rounded up.

use super::super::connection::Connection;
use super::super::registry::Live;
use super::super::{close, connect, hello, serve};
use super::*;

fn of_one<A, F: Future>(_step: impl Fn(A) -> F) -> usize {
    size_of::<F>()
}

fn of_two<A, B, F: Future>(_step: impl Fn(A, B) -> F) -> usize {
    size_of::<F>()
}

fn of_three<A, B, C, F: Future>(_step: impl Fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

fn sockmap_engine() -> usize {
    type Legs = &'static mut sockmap::Legs<'static>;
    type Joint = &'static super::Joint<'static>;
    let given = |legs: Legs, splicer: &'static dyn Splicer, joint: Joint| {
        let (route, limits) = (joint.route, joint.limits);
        // By these it tells the outside.
        let (spare, live, pipes) = (joint.spare, joint.live, joint.pipes);
        let watch = move |_splice| {
            let _told = (spare, live, pipes);
        };
        sockmap::run(legs, splicer, move || terms(route, limits), watch)
    };
    of_three(given)
}

#[test]
fn a_connection_holds_little_while_it_rests() {
    let all = [
        // The task: only the box of the step that it is at, whichever that is.
        ("task", of_two(serve), 96),
        // What it was given, the engine's box, and a wait for being cut.
        ("splice", of_two(splice), 528),
        // The state of both directions, and a timer: what else wakes them takes no room. The two engines
        // are never there together.
        ("sockmap engine", sockmap_engine(), 864),
        ("copy engine", of_one(copy::run), 1856),
        // The socket and the record: five addresses, what the hello said, times and counts.
        ("connection", size_of::<Connection>(), 592),
        // What others see of it: addresses again, path, counts, the wish to cut it.
        ("live", size_of::<Live>(), 320),
    ];
    check(&all);
}

/// Silent clients and slow endpoints are waited for in numbers too.
#[test]
fn a_connection_holds_little_while_it_begins_and_ends() {
    let all = [
        ("hello", of_two(hello::greet), 832),
        ("connect", of_two(connect::connect), 1472),
        ("close", of_one(close::close), 1024),
    ];
    check(&all);
}

fn check(all: &[(&str, usize, usize)]) {
    for (what, size, most) in all {
        println!("{what}: {size} bytes");
        assert!(size <= most, "{what}: {size} bytes, not {most}");
    }
}

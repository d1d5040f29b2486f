//! What proves the ClientHello reader: captured and generated hellos, wrong inputs one by one,
//! properties on arbitrary input, and a comparison with two other parsers.
//!
//! One test binary, because the modules share the corpus and the way of driving the reader.

#![expect(
    clippy::unwrap_used,
    reason = "a test may fail by panic, outside its test function too"
)]

mod build;
mod corpus;
mod differential;
mod disagreements;
mod drive;
mod hellos;
mod preambles;
mod properties;
mod refusals;

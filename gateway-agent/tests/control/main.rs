//! The control path as the agent runs it: reloads, names by DNS, explanations.
#![expect(clippy::unwrap_used, reason = "a test's way to fail")]

mod explain;
mod folders;
mod names;
mod reload;
mod rig;

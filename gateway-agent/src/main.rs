//! culvert.
fn main() {}

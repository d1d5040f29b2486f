//! What a proxy is told, for small meshes made by hand.

mod answers;
mod chain;
mod levels;
mod reach;
mod world;

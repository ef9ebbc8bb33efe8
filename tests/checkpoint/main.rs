//! Checkpoints: a resumed run has the bits of one that never stopped, and a wrong file changes nothing.

mod blocks;
mod crash;
mod exact;
mod file;
mod files;
mod forever;
mod fuzz;
mod hostile;
mod own;
mod partial;
mod scene;
mod small;
mod snapshot;

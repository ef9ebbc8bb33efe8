//! Faults that were found by reading and by chance: each test fails if its fault comes back.

mod clocks;
mod foreign;
mod limits;
mod messages;
mod names;
mod overrun;
mod own;
mod series;
mod shared;
mod trust;

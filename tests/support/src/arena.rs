//! Four parameters of an arena with gaps, in two groups, so that there are tables and loose ends.

use wgpu_optim::{Group, Optimizer, View};

use crate::ok;

/// Where each lies, in elements, and how long it is.
pub const PLACES: [(u64, u64); 4] = [(1, 1030), (1032, 77), (1112, 2500), (3615, 6)];

/// Elements of the arena.
pub const ROOM: u64 = 3624;

/// A group whose weight decay shows.
pub fn adam() -> Group {
    Group::adamw(1e-2).weight_decay(0.03)
}

/// The four places in `of`.
pub fn places(of: &View) -> Vec<View> {
    PLACES.iter().map(|&(at, len)| of.clone().range(at..at + len)).collect()
}

/// Whether an element of the arena belongs to one of the four.
pub fn is_inside(element: u64) -> bool {
    PLACES.iter().any(|(at, len)| (*at..at + len).contains(&element))
}

/// Adds the four, called `0` to `3`, in turn to each of the groups.
pub fn add_all(optimizer: &mut Optimizer, groups: [Group; 2], params: &View, grads: &View) {
    let ids = groups.map(|group| ok(optimizer.add_group(group)));
    for (i, (param, grad)) in places(params).into_iter().zip(places(grads)).enumerate() {
        ok(optimizer.add_param(ids[i % 2], &i.to_string(), param, grad));
    }
}

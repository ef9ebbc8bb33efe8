//! This module makes random bits, a function of seed, step and element. `shaders/noise.wgsl` has the same function.

/// The two numbers that the kernel gets of seed and step. Each has 24 bits, which an f32 holds exactly.
pub(crate) fn key(seed: u64, step: u64) -> [u32; 2] {
    let key = mixed(seed ^ mixed(step));
    [key & 0xff_ffff, key >> 24 & 0xff_ffff].map(|half| half as u32)
}

/// The number that the kernel gets of seed and step for codes of state.
pub(crate) fn state_key(seed: u64, step: u64) -> u32 {
    // Other bits than those that round parameters, should both have one seed.
    (mixed(!seed ^ mixed(step)) & 0xff_ffff) as u32
}

/// 32 random bits for an element.
pub(crate) fn noise(element: u32, key: [u32; 2]) -> u32 {
    permuted(permuted(element.wrapping_add(key[0].wrapping_mul(0x9e37_79b9))) ^ key[1] << 8)
}

/// The output permutation of PCG-RXS-M-XS.
fn permuted(x: u32) -> u32 {
    let mixed = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((mixed >> ((mixed >> 28) + 4)) ^ mixed).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

/// The hash of splitmix64.
fn mixed(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

// Schedule-Free SGD (Defazio et al. 2024).
//
//     g ← g + λ y
//     y ← y − c (y − z) − lrₜ (1 − μ (1 − c)) g
//     z ← z − lrₜ g               z starts at y; y uses the old z
//
// c is the part of this step in the average of all steps.

const Z = 0u;

const HYPER_LENGTH = 4u;
struct Hyper {
    part: f32,  // c
    gain: f32,  // lrₜ (1 − μ (1 − c))
    rate: f32,  // lrₜ
    decay: f32, // λ
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let decayed_g = g + hyper.decay * p;
    let z = state[Z];
    state[Z] = z - hyper.rate * decayed_g;
    return hyper.part * (p - z) + hyper.gain * decayed_g;
}

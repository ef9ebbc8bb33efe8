// Adadelta (Zeiler 2012, algorithm 1).
//
//     s ← ρ s + (1 − ρ) g²
//     δ = √(a + eps) / √(s + eps) · g          with the old a
//     a ← ρ a + (1 − ρ) δ²
//     direction = δ

const SQUARE_AVG = 0u;
const ACC_DELTA = 1u;

const HYPER_LENGTH = 4u;
struct Hyper {
    rho: f32,
    rho_low: f32, // the part of ρ that one f32 misses
    gain: f32, // 1 − ρ
    eps: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let s = decayed(state[SQUARE_AVG], hyper.rho, hyper.rho_low, hyper.gain * g * g);
    state[SQUARE_AVG] = s;
    let a = state[ACC_DELTA];
    // One root of the quotient, where the formula has a quotient of roots.
    let delta = sqrt((a + hyper.eps) / (s + hyper.eps)) * g;
    state[ACC_DELTA] = decayed(a, hyper.rho, hyper.rho_low, hyper.gain * delta * delta);
    return delta;
}

// RMSProp (Hinton 2012, lecture 6e), with Graves' centering (2013) and momentum, plain or Nesterov's.
//
//     s ← α s + (1 − α) g²
//     a ← α a + (1 − α) g              centered only
//     u = g / (√(s + ε_root) + ε)      centered: s − a² in place of s
//     b ← μ b + u                      momentum only
//     direction = u, b with momentum, u + μ b with Nesterov

override CENTERED: bool = false;
override MOMENTUM: bool = false;
override NESTEROV: bool = false;

const SQUARE_AVG = 0u;
const GRAD_AVG = 1u;
override MOMENTUM_BUFFER: u32 = 1u + u32(CENTERED);

const HYPER_LENGTH = 8u;
struct Hyper {
    alpha: f32,
    alpha_low: f32, // the part of α that one f32 misses
    gain: f32,      // 1 − α
    eps_root: f32,
    eps: f32,
    momentum: f32,
    momentum_low: f32,
    inner_lr: f32,  // 1, or lr where the origin keeps it in the momentum buffer
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let s = decayed(state[SQUARE_AVG], hyper.alpha, hyper.alpha_low, hyper.gain * g * g);
    state[SQUARE_AVG] = s;

    var variance = s;
    if CENTERED {
        let a = decayed(state[GRAD_AVG], hyper.alpha, hyper.alpha_low, hyper.gain * g);
        state[GRAD_AVG] = a;
        // The difference is negative only by rounding. Unlike max(…, 0), abs keeps a NaN.
        variance = abs(s - a * a);
    }

    let u = g / (sqrt(variance + hyper.eps_root) + hyper.eps);
    if !MOMENTUM {
        return u;
    }
    let inner = hyper.inner_lr * u;
    let b = decayed(state[MOMENTUM_BUFFER], hyper.momentum, hyper.momentum_low, inner);
    state[MOMENTUM_BUFFER] = b;
    if NESTEROV {
        return inner + hyper.momentum * b;
    }
    return b;
}

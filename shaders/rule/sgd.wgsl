// Stochastic gradient descent with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).
//
//     b ← μ b + (1 − τ) g              b ← g at the first step
//     direction = b                    g + μ b with Nesterov, g without momentum

override MOMENTUM: bool = false;
override NESTEROV: bool = false;

const MOMENTUM_BUFFER = 0u;

const HYPER_LENGTH = 3u;
struct Hyper {
    momentum: f32,
    momentum_low: f32, // the part of μ that one f32 misses
    gain: f32, // 1 − τ, the dampening; 1 at the first step
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    if !MOMENTUM {
        return g;
    }
    let b = decayed(state[MOMENTUM_BUFFER], hyper.momentum, hyper.momentum_low, hyper.gain * g);
    state[MOMENTUM_BUFFER] = b;
    if NESTEROV {
        return g + hyper.momentum * b;
    }
    return b;
}

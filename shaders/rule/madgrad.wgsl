// MADGRAD (Defazio & Jelassi 2021).
//
//     s ← s + λ g                          λ = (lr + eps) √t
//     q ← q + λ g²
//     z = x₀ − s / (∛q + eps)
//     p ← μ p + (1 − μ) z                  x₀ starts at p; without momentum it is p + s / (∛q + eps) before the step

override MOMENTUM: bool = false;

const S = 0u;
const GRAD_SUM_SQ = 1u;
const X0 = 2u;

const HYPER_LENGTH = 3u;
struct Hyper {
    lambda: f32, // λ
    gain: f32,   // 1 − μ
    eps: f32,
}

const THIRD = 1.0 / 3.0;

// Returns the cube root of a number of 0 and more, to 2.5 ulp. A subnormal counts as 0; infinity and NaN stay.
fn cube_root(x: real) -> real {
    let bits = bitcast<real_bits>(x);
    // A third of the bits is a third of the exponent: 3.2 % off. Each of Newton's steps squares that.
    var y = bitcast<real>(bits / real_bits(3u) + real_bits(0x2a510800u));
    y += THIRD * (x / (y * y) - y);
    y += THIRD * (x / (y * y) - y);
    y += THIRD * (x / (y * y) - y);
    let finite = select(real(), y, bits >= real_bits(0x00800000u));
    return select(finite, x, bits >= real_bits(0x7f800000u));
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let s = state[S] + hyper.lambda * g;
    let q = state[GRAD_SUM_SQ] + hyper.lambda * g * g;
    // The distance from x₀ to z.
    let moved = s / (cube_root(q) + hyper.eps);
    var u: real;
    if MOMENTUM {
        u = hyper.gain * (p - state[X0] + moved);
    } else {
        u = moved - state[S] / (cube_root(state[GRAD_SUM_SQ]) + hyper.eps);
    }
    state[S] = s;
    state[GRAD_SUM_SQ] = q;
    return u;
}

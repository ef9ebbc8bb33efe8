// Adam-atan2 (Everett et al. 2024).
//
//     m ← β₁ m + (1 − β₁) g
//     v ← β₂ v + (1 − β₂) g²
//     direction = a · atan2(m̂, b √v̂)        m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

const EXP_AVG = 0u;
const EXP_AVG_SQ = 1u;

const HYPER_LENGTH = 10u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32,     // 1 − β₁
    beta2: f32,
    beta2_low: f32,
    gain2: f32,
    m_scale: f32,   // 1 / (1 − β₁ᵗ)
    v_scale: f32,   // 1 / (1 − β₂ᵗ)
    a: f32,
    b: f32,
}

// Returns the bits of the magnitude of `x`, at most 2¹²⁶, the most that WGSL divides by. A NaN stays.
fn magnitude(x: real) -> real_bits {
    let bits = bitcast<real_bits>(x) & real_bits(0x7fffffffu);
    return select(min(bits, real_bits(0x7e800000u)), bits, bits > real_bits(0x7f800000u));
}

// Returns the angle of the point (x, y), for an x of 0 and more, to 8 ulp: WGSL's own atan2 may be 4 096 off.
// The angle is 0 where neither is a normal number. A NaN stays.
fn arc_tangent(y: real, x: real) -> real {
    let rise = magnitude(y);
    let run = magnitude(x);
    let high = max(rise, run);
    let ratio = bitcast<real>(min(rise, run)) / bitcast<real>(high);
    let q = select(real(), ratio, high >= real_bits(0x00800000u));
    // The minimax polynomial of (atan(q) / q − 1) / q² over q², 1.7e-8 off in the angle.
    let s = q * q;
    var r = 0.0432118401 + s * (-0.016367916 + s * 0.00292068953);
    r = 0.106660038 + s * (-0.0755221248 + s * r);
    r = 0.199937731 + s * (-0.142110556 + s * r);
    let angle = q + q * (s * (-0.333331525 + s * r));
    let turned = select(angle, 1.57079633 - angle, rise > run);
    let sign = bitcast<real_bits>(y) & real_bits(0x80000000u);
    return bitcast<real>(bitcast<real_bits>(turned) | sign);
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * g);
    state[EXP_AVG] = m;
    let v = decayed(state[EXP_AVG_SQ], hyper.beta2, hyper.beta2_low, hyper.gain2 * g * g);
    state[EXP_AVG_SQ] = v;
    return hyper.a * arc_tangent(hyper.m_scale * m, hyper.b * sqrt(hyper.v_scale * v));
}

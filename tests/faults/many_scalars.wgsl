// Adagrad's formula, with more scalars than it needs.
const SUM = 0u;

const HYPER_LENGTH = 44u;
struct Hyper {
    scale: f32,
    eps_root: f32,
    eps: f32,
    more_0: f32,
    more_1: f32,
    more_2: f32,
    more_3: f32,
    more_4: f32,
    more_5: f32,
    more_6: f32,
    more_7: f32,
    more_8: f32,
    more_9: f32,
    more_10: f32,
    more_11: f32,
    more_12: f32,
    more_13: f32,
    more_14: f32,
    more_15: f32,
    more_16: f32,
    more_17: f32,
    more_18: f32,
    more_19: f32,
    more_20: f32,
    more_21: f32,
    more_22: f32,
    more_23: f32,
    more_24: f32,
    more_25: f32,
    more_26: f32,
    more_27: f32,
    more_28: f32,
    more_29: f32,
    more_30: f32,
    more_31: f32,
    more_32: f32,
    more_33: f32,
    more_34: f32,
    more_35: f32,
    more_36: f32,
    more_37: f32,
    more_38: f32,
    more_39: f32,
    more_40: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    state[SUM] += g * g;
    return hyper.scale * g / (sqrt(state[SUM] + hyper.eps_root) + hyper.eps);
}

//! Every constructor of a convention, as the compiler knows it.

use std::collections::BTreeMap;

use wgpu_optim::{
    AdEMAMix, AdaBelief, Adadelta, Adagrad, Adam, AdamAtan2, Adamax, Adan, Adopt, Asgd, Grams,
    LaProp, Lion, Madgrad, NAdam, RAdam, RmsProp, Rprop, ScheduleFreeAdamw, ScheduleFreeSgd, Sgd,
    Signum, Yogi,
};

/// Rules, each with its constructors: their texts, and the `Debug` text of what they make.
macro_rules! constructors {
    ($($rule:ident: $($name:ident)*;)*) => {
        [$($((
            concat!(stringify!($rule), "::", stringify!($name), "()"),
            format!("{:?}", $rule::$name()),
        ),)*)*]
    };
}

/// The constructors by their texts.
pub(crate) fn all() -> BTreeMap<&'static str, String> {
    let all = constructors! {
        Sgd: default pytorch optax keras;
        Adagrad: default pytorch optax keras burn;
        Lion: default optax keras lion_pytorch;
        RmsProp: default pytorch optax keras tf1 burn;
        Adam: default pytorch optax keras apex bitsandbytes burn;
        NAdam: default pytorch keras;
        RAdam: default pytorch optax;
        Adamax: default pytorch optax keras;
        Adadelta: default pytorch optax keras;
        AdaBelief: default optax;
        Yogi: default optax;
        Adan: default optax pytorch_optimizer burn;
        Asgd: default pytorch;
        Rprop: default pytorch;
        Signum: default pytorch_optimizer;
        AdEMAMix: default optax;
        Adopt: default optax;
        Madgrad: default pytorch_optimizer;
        Grams: default pytorch_optimizer;
        AdamAtan2: default adam_atan2_pytorch;
        LaProp: default pytorch_optimizer;
        ScheduleFreeSgd: default schedulefree optax;
        ScheduleFreeAdamw: default schedulefree optax keras;
    };
    all.into()
}

#[cfg(feature = "checkpoint")]
use super::check::FRACTION;
use super::check::check_fraction;
use super::contract::{Rule, Scalar, Slot};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// Signum, which is signSGD with momentum ([Bernstein et al. 2018](https://arxiv.org/abs/1802.04434)).
///
/// ```text
/// b ← μ b + (1 − μ) g
/// direction = sign(b)          sign(g) without momentum
/// ```
///
/// State: `momentum_buffer`, only if `momentum` is not 0. As `SignSGD` of the package `pytorch_optimizer`: the sign of 0
/// is 0, and so is that of a NaN, which therefore stays in the buffer and not in the parameter.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Signum {
    /// μ, how much of the average remains after a step, in `[0, 1)`; 0 is signSGD; `0.9`.
    pub momentum: f64,
}

impl Default for Signum {
    fn default() -> Self {
        Self { momentum: 0.9 }
    }
}

impl Signum {
    /// `pytorch_optimizer.SignSGD`: the defaults.
    pub fn pytorch_optimizer() -> Self {
        Self::default()
    }
}

impl Formula for Signum {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], _: At) -> N {
        let [b] = state else { return g.sign_or_zero() };
        *b = b.decayed(self.momentum, N::scalar(1.0 - self.momentum) * g);
        b.sign_or_zero()
    }
}

impl Rule for Signum {
    fn name(&self) -> &'static str {
        "signum"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        if self.momentum == 0.0 { Vec::new() } else { vec![Slot::zero("momentum_buffer").signed()] }
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        vec![("MOMENTUM", self.momentum != 0.0)]
    }

    fn hyper(&self) -> Vec<Scalar> {
        ["momentum", "momentum_low", "gain"].map(Scalar::fixed).into()
    }

    fn scalars(&self, _: At, out: &mut [f64]) {
        let [momentum, low] = halves(self.momentum);
        out.copy_from_slice(&[momentum, low, 1.0 - self.momentum]);
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        (target == Target::Momentum).then_some(&mut self.momentum)
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("signum", "momentum", self.momentum)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "signum",
    wgsl: include_str!("../../shaders/rule/signum.wgsl"),
    formula: "\
        b ← μ b + (1 − μ) g\n\
        direction = sign(b)          sign(g) without momentum",
    paper: "Bernstein et al. 2018, https://arxiv.org/abs/1802.04434",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention {
        name: "pytorch_optimizer",
        options: || serde_json::to_value(Signum::pytorch_optimizer()),
    }],
    ..Json::of::<Signum>(1e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[("momentum", FRACTION)];

fn variants() -> Vec<Variant> {
    let plain = Signum { momentum: 0.0 };
    vec![
        Variant::new(1e-3, Signum::default()),
        Variant::new(1e-2, plain.clone()).decay(0.1),
        Variant::new(1e-3, Signum { momentum: 0.99 }).l2(0.1).maximize(),
        Variant::new(1e-3, plain).cautious(0.1),
    ]
}

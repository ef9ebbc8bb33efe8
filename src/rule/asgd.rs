#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::check_non_negative;
use super::contract::{Rates, Rule, Scalar, Slot};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula, Past};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::Number;

/// Averaged SGD ([Polyak & Juditsky 1992](https://doi.org/10.1137/0330046)), with a learning rate that falls.
///
/// ```text
/// direction = η (g + λ p)         η = lr / (1 + λ lr (t − 1))^α
/// ax ← ax + μ (p − ax)         of the parameter after the step; μ = 1 / max(1, t − 1 − t0)
/// ```
///
/// State: `ax`, the average of the parameter, which is the parameter itself until averaging begins after step t0.
///
/// As `torch.optim.ASGD`, where the lr in η is the learning rate of the step before, if that was another. Where the
/// GPU counts steps, a rate that is set by hand counts as if it had always been; a schedule counts step by step.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Asgd {
    /// λ, how fast the learning rate falls, and how strongly the parameter is drawn to 0, 0 or more; `1e-4`.
    pub lambd: f64,
    /// α, the power by which the learning rate falls, 0 or more; `0.75`.
    pub alpha: f64,
    /// The steps after which averaging begins, 0 or more; `1e6`.
    pub t0: f64,
}

impl Default for Asgd {
    fn default() -> Self {
        Self { lambd: 1e-4, alpha: 0.75, t0: 1e6 }
    }
}

impl Asgd {
    /// `torch.optim.ASGD`: the defaults.
    pub fn pytorch() -> Self {
        Self::default()
    }

    /// η, the fallen learning rate of a step: of the rate of the step before.
    #[inline]
    fn eta(&self, at: At) -> f64 {
        let rate = at.past.map_or(at.lr, |[before, _]| before);
        rate * (1.0 + self.lambd * rate * (at.t - 1) as f64).powf(-self.alpha)
    }

    /// μ, the part of the parameter that goes into its average.
    #[inline]
    fn mu(&self, t: u64) -> f64 {
        1.0 / (t as f64 - 1.0 - self.t0).max(1.0)
    }
}

impl Formula for Asgd {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N {
        let [ax] = state else { return g };
        let u = N::scalar(self.eta(at)) * (g + N::scalar(self.lambd) * p);
        let decay = N::scalar(at.lr * at.weight_decay);
        let x = at.stepped(p, u, N::scalar(1.0), decay);
        let mu = self.mu(at.t);
        *ax = if mu < 1.0 { *ax + N::scalar(mu) * (x - *ax) } else { x };
        u
    }
}

impl Rule for Asgd {
    fn name(&self) -> &'static str {
        "asgd"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("ax")]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![
            Scalar::fixed("lambd"),
            Scalar::by_step_and_rate("eta"),
            Scalar::by_step("mu"),
            Scalar::fixed("decay"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let decay = at.lr * at.weight_decay;
        out.copy_from_slice(&[self.lambd, self.eta(at), self.mu(at.t), decay]);
    }

    fn remember(&self, at: At, before: Option<Past>) -> Option<Past> {
        // The rates of the step before and of this one.
        Some([before.map_or(at.lr, |[_, last]| last), at.lr])
    }

    // The direction has the learning rate in it.
    fn rates(&self, at: At) -> Rates {
        Rates { lr: 1.0, decay: at.lr }
    }

    fn check(&self) -> Result<(), Error> {
        check_non_negative("asgd", "lambd", self.lambd)?;
        check_non_negative("asgd", "alpha", self.alpha)?;
        check_non_negative("asgd", "t0", self.t0)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "asgd",
    wgsl: include_str!("../../shaders/rule/asgd.wgsl"),
    formula: "\
        direction = η (g + λ p)         η = lr / (1 + λ lr (t − 1))^α\n\
        ax ← ax + μ (p − ax)         of the parameter after the step; μ = 1 / max(1, t − 1 − t0)",
    paper: "Polyak & Juditsky 1992, https://doi.org/10.1137/0330046",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention {
        name: "pytorch",
        options: || serde_json::to_value(Asgd::pytorch()),
    }],
    ..Json::of::<Asgd>(1e-2, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] =
    &[("lambd", NON_NEGATIVE), ("alpha", NON_NEGATIVE), ("t0", NON_NEGATIVE)];

fn variants() -> Vec<Variant> {
    vec![
        Variant::new(1e-2, Asgd::default()),
        Variant::new(1e-2, Asgd { t0: 0.0, ..Asgd::default() }).decay(0.1).maximize(),
        Variant::new(1e-2, Asgd { lambd: 0.5, alpha: 0.6, t0: 3.0 }).cautious(0.1),
        Variant::new(1e-3, Asgd { lambd: 0.0, t0: 10.5, ..Asgd::default() }).l2(0.1),
    ]
}

#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_fraction, check_non_negative};
use super::contract::{Rates, Rule, Scalar, Slot};
use super::correction::correction;
use super::entry::{Entry, Variant};
use super::formula::{AHEAD, At, Formula, Past};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// LaProp ([Ziyin, Wang & Ueda 2020](https://arxiv.org/abs/2002.04839)): the momentum of normalized gradients, where
/// ADAM normalizes the momentum.
///
/// ```text
/// v ← β₂ v + (1 − β₂) g²
/// a ← β₂ a + (1 − β₂) g                                           centered only
/// m ← β₁ m + (1 − β₁) lr √(1 − β₂ᵗ) g / (√(v + 1e-15) + eps)      centered, from step 11: v − a² in place of v
/// e ← β₁ e + (1 − β₁) lr
/// p ← p − m lr / e                                                lr / e = 1 / (1 − β₁ᵗ) while lr stays the same
/// ```
///
/// Decoupled weight decay is taken off after the step. State: `exp_avg` (m), `exp_avg_sq` (v), and `grad_avg` (a) if
/// centered. As `LaProp` of the package `pytorch_optimizer`; PyTorch itself has none. There, the root of `v − a²` is
/// NaN if rounding makes that negative enough; here its magnitude is used. There, weight decay that is not decoupled
/// has no effect; here it is an L2 penalty in g, as with every rule. Where the GPU counts steps, a rate that is set by
/// hand counts as if it had always been; a schedule counts step by step.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct LaProp {
    /// β₁ and β₂, how much of each average remains after a step, in `[0, 1)`; `[0.9, 0.999]`.
    pub betas: [f64; 2],
    /// ε outside the root, 0 or more, beside 1e-15 inside the root; `1e-15`.
    pub eps: f64,
    /// Divide by the standard deviation in place of the root mean square, from step 11 on; `false`.
    pub centered: bool,
}

/// ε inside the root, which the origin has fixed.
const EPS_ROOT: f64 = 1e-15;

/// The last step that is not centered.
const UNCENTERED: u64 = 10;

impl Default for LaProp {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-15, centered: false }
    }
}

impl LaProp {
    /// `pytorch_optimizer.LaProp`: the defaults.
    pub fn pytorch_optimizer() -> Self {
        Self::default()
    }

    /// The factor of the normalized gradient in m.
    fn gain(&self, at: At) -> f64 {
        let [beta1, beta2] = self.betas;
        (1.0 - beta1) * at.lr * (1.0 - beta2.powf(at.t as f64)).sqrt()
    }

    /// lr / e. An e of 0 comes of rates that are all 0, and m is 0 then.
    fn m_scale(&self, At { t, lr, past, .. }: At) -> f64 {
        match past {
            None => correction(self.betas[0], t),
            Some([average, _]) if lr > 0.0 => lr / average,
            Some(_) => 1.0,
        }
    }
}

/// The part of a² that counts at step `t`.
fn center(t: u64) -> f64 {
    if t > UNCENTERED { 1.0 } else { 0.0 }
}

impl Formula for LaProp {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [m, v, rest @ ..] = state else { return g };
        let [beta1, beta2] = self.betas;
        let gain2 = N::scalar(1.0 - beta2);
        let [gain1, m_scale, center, ..] = at.ahead.map(N::scalar);
        *v = v.decayed(beta2, gain2 * g * g);
        let mut variance = *v;
        if self.centered
            && let Some(a) = rest.first_mut()
        {
            *a = a.decayed(beta2, gain2 * g);
            variance = (variance - center * *a * *a).abs();
        }
        let root = (variance + N::scalar(EPS_ROOT)).sqrt();
        let u = gain1 * g / (root + N::scalar(self.eps));
        *m = m.decayed(beta1, u);
        m_scale * *m
    }
}

impl Rule for LaProp {
    fn name(&self) -> &'static str {
        "laprop"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::zero("exp_avg").signed(), Slot::zero("exp_avg_sq").unsigned()];
        slots.extend(self.centered.then(|| Slot::zero("grad_avg").signed()));
        slots
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        vec![("CENTERED", self.centered)]
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![
            Scalar::fixed("beta1"),
            Scalar::fixed("beta1_low"),
            Scalar::by_step_and_rate("gain1"),
            Scalar::fixed("beta2"),
            Scalar::fixed("beta2_low"),
            Scalar::fixed("gain2"),
            Scalar::by_step_and_rate("m_scale"),
            Scalar::by_step_if(self.centered, "center"),
            Scalar::fixed("eps_root"),
            Scalar::fixed("eps"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [[beta1, beta1_low], [beta2, beta2_low]] = self.betas.map(halves);
        let [gain1, m_scale, center, _] = at.ahead;
        out.copy_from_slice(&[
            beta1,
            beta1_low,
            gain1,
            beta2,
            beta2_low,
            1.0 - self.betas[1],
            m_scale,
            center,
            EPS_ROOT,
            self.eps,
        ]);
    }

    fn remember(&self, At { t, lr, .. }: At, before: Option<Past>) -> Option<Past> {
        let beta1 = self.betas[0];
        let average = match before {
            None => lr / correction(beta1, t),
            Some([average, _]) => beta1 * average + (1.0 - beta1) * lr,
        };
        Some([average, 0.0])
    }

    fn ahead(&self, at: At) -> [f64; AHEAD] {
        let center = if self.centered { center(at.t) } else { 0.0 };
        [self.gain(at), self.m_scale(at), center, 0.0]
    }

    // The direction is the whole move.
    fn rates(&self, at: At) -> Rates {
        Rates { lr: 1.0, decay: at.lr }
    }

    fn decays_after(&self) -> bool {
        true
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("laprop", "betas[0]", self.betas[0])?;
        check_fraction("laprop", "betas[1]", self.betas[1])?;
        check_non_negative("laprop", "eps", self.eps)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "laprop",
    wgsl: include_str!("../../shaders/rule/laprop.wgsl"),
    formula: "\
        v ← β₂ v + (1 − β₂) g²\n\
        a ← β₂ a + (1 − β₂) g                                           centered only\n\
        m ← β₁ m + (1 − β₁) lr √(1 − β₂ᵗ) g / (√(v + 1e-15) + eps)      centered, from step 11: v − a² in place of v\n\
        e ← β₁ e + (1 − β₁) lr\n\
        p ← p − m lr / e                                                lr / e = 1 / (1 − β₁ᵗ) while lr stays the same",
    paper: "Ziyin, Wang & Ueda 2020, https://arxiv.org/abs/2002.04839",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention {
        name: "pytorch_optimizer",
        options: || serde_json::to_value(LaProp::pytorch_optimizer()),
    }],
    ..Json::of::<LaProp>(4e-4, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("eps", NON_NEGATIVE),
    ("centered", "true or false"),
];

fn variants() -> Vec<Variant> {
    let default = LaProp::default();
    let centered = LaProp { centered: true, ..default.clone() };
    let short = LaProp { betas: [0.5, 0.9], eps: 1e-3, centered: true };
    vec![
        Variant::new(4e-4, default.clone()),
        Variant::new(4e-4, centered).decay(0.1),
        Variant::new(1e-2, LaProp { eps: 1e-6, ..default }).cautious(0.1),
        Variant::new(1e-2, short).l2(0.1).maximize(),
    ]
}

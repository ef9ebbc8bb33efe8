#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_fraction, check_non_negative};
use super::contract::{Rule, Scalar, Slot};
use super::correction::correction;
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// Adam-atan2 ([Everett et al. 2024](https://arxiv.org/abs/2407.05872)): ADAM without an ε, whose step is bounded and
/// does not depend on the scale of the gradients.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// direction = a · atan2(m̂, b √v̂)           m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
/// ```
///
/// State: `exp_avg` (m), `exp_avg_sq` (v). As `AdamAtan2` of the package `adam_atan2_pytorch`; PyTorch itself has none.
/// atan2(0, 0) is 0. Squares of gradients below 1e-19 are no normal f32 numbers: there an f32 v is 0, and the step
/// a · π / 2 in the direction of m.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct AdamAtan2 {
    /// β₁ and β₂, how much of each average remains after a step, in `[0, 1)`; `[0.9, 0.99]`.
    pub betas: [f64; 2],
    /// a, the factor of the angle, 0 or more; `1.27`, near 4 / π, so that a step of one sign is about 1.
    pub a: f64,
    /// b, the factor of the root, 0 or more; `1`.
    pub b: f64,
}

impl Default for AdamAtan2 {
    fn default() -> Self {
        Self { betas: [0.9, 0.99], a: 1.27, b: 1.0 }
    }
}

impl AdamAtan2 {
    /// `adam_atan2_pytorch.AdamAtan2`: the defaults.
    pub fn adam_atan2_pytorch() -> Self {
        Self::default()
    }

    /// 1 / (1 − βᵗ) for both β.
    #[inline]
    fn corrections(&self, t: u64) -> [f64; 2] {
        self.betas.map(|beta| correction(beta, t))
    }
}

impl Formula for AdamAtan2 {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [m, v] = state else { return g };
        let [beta1, beta2] = self.betas;
        *m = m.decayed(beta1, N::scalar(1.0 - beta1) * g);
        *v = v.decayed(beta2, N::scalar(1.0 - beta2) * g * g);
        let [m_scale, v_scale] = self.corrections(at.t).map(N::scalar);
        let root = N::scalar(self.b) * (v_scale * *v).sqrt();
        N::scalar(self.a) * (m_scale * *m).atan2(root)
    }
}

impl Rule for AdamAtan2 {
    fn name(&self) -> &'static str {
        "adam_atan2"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("exp_avg").signed(), Slot::zero("exp_avg_sq").unsigned()]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![
            Scalar::fixed("beta1"),
            Scalar::fixed("beta1_low"),
            Scalar::fixed("gain1"),
            Scalar::fixed("beta2"),
            Scalar::fixed("beta2_low"),
            Scalar::fixed("gain2"),
            Scalar::by_step("m_scale"),
            Scalar::by_step("v_scale"),
            Scalar::fixed("a"),
            Scalar::fixed("b"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [[beta1, beta1_low], [beta2, beta2_low]] = self.betas.map(halves);
        let [gain1, gain2] = self.betas.map(|beta| 1.0 - beta);
        let [m_scale, v_scale] = self.corrections(at.t);
        out.copy_from_slice(&[
            beta1, beta1_low, gain1, beta2, beta2_low, gain2, m_scale, v_scale, self.a, self.b,
        ]);
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("adam_atan2", "betas[0]", self.betas[0])?;
        check_fraction("adam_atan2", "betas[1]", self.betas[1])?;
        check_non_negative("adam_atan2", "a", self.a)?;
        check_non_negative("adam_atan2", "b", self.b)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "adam_atan2",
    wgsl: include_str!("../../shaders/rule/adam_atan2.wgsl"),
    formula: "\
        m ← β₁ m + (1 − β₁) g\n\
        v ← β₂ v + (1 − β₂) g²\n\
        direction = a · atan2(m̂, b √v̂)           m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)",
    paper: "Everett et al. 2024, https://arxiv.org/abs/2407.05872",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention {
        name: "adam_atan2_pytorch",
        options: || serde_json::to_value(AdamAtan2::adam_atan2_pytorch()),
    }],
    ..Json::of::<AdamAtan2>(1e-4, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("a", NON_NEGATIVE),
    ("b", NON_NEGATIVE),
];

fn variants() -> Vec<Variant> {
    let default = AdamAtan2::default();
    vec![
        Variant::new(1e-4, default.clone()),
        Variant::new(1e-3, default.clone()).decay(0.1),
        Variant::new(1e-2, AdamAtan2 { betas: [0.9, 0.999], ..default }).cautious(0.1),
        Variant::new(1e-2, AdamAtan2 { betas: [0.5, 0.9], a: 1.0, b: 2.0 }).l2(0.1).maximize(),
    ]
}

#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_epsilon, check_fraction};
use super::contract::{Rule, Scalar, Slot};
use super::correction::{correction, momentum_scales};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json, Preset};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// ADAM ([Kingma & Ba 2015, algorithm 1](https://arxiv.org/abs/1412.6980)), with AMSGrad
/// ([Reddi, Kale & Kumar 2018](https://openreview.net/forum?id=ryQu7f-RZ)) and Nesterov's momentum
/// ([Dozat 2016](https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ)).
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// x ← max(x, v)                                     AMSGrad only, then x in place of v
/// x ← max(x, v̂)                                     AMSGrad of corrected v̂, then x in place of v̂
/// direction = m̂ / (√(v̂ + eps_root) + eps)           m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
/// m̂ = β₁ m / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)   with Nesterov
/// ```
///
/// State: `exp_avg` (m), `exp_avg_sq` (v), and `max_exp_avg_sq` (x) with AMSGrad. Weight decay, L2 or
/// decoupled as in AdamW, is the [`Group`](crate::Group)'s.
///
/// *Differs from PyTorch*: ε stands inside the root by default; [`Adam::pytorch`] has it outside.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Adam {
    /// β₁ and β₂, how much of each average remains after a step, in `[0, 1)`; `[0.9, 0.999]`.
    pub betas: [f64; 2],
    /// ε outside the root; `0`.
    pub eps: f64,
    /// ε inside the root; `1e-16`, which at v = 0 is the 1e-8 everyone expects.
    pub eps_root: f64,
    /// Divide by the largest second moment so far, not bias-corrected when compared, as in PyTorch
    /// and Keras; `false`.
    pub amsgrad: bool,
    /// Divide by the largest bias-corrected second moment so far, as `optax.amsgrad`, whatever `amsgrad` is;
    /// `false`.
    pub amsgrad_corrected: bool,
    /// Take `eps` as the ε̂ of the paper's section 2, added before the bias correction of the root:
    /// Keras's and TensorFlow's form, in which ε weighs 1 / √(1 − β₂ᵗ) times as much; `false`.
    pub eps_hat: bool,
    /// Look ahead along the momentum, as `optax.nadam` does; `torch.optim.NAdam` is another formula; `false`.
    pub nesterov: bool,
    /// Take decoupled weight decay off the parameter after the step, and not off the one before it; `false`.
    pub decay_after: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999],
            eps: 0.0,
            eps_root: 1e-16,
            amsgrad: false,
            amsgrad_corrected: false,
            eps_hat: false,
            nesterov: false,
            decay_after: false,
        }
    }
}

impl Adam {
    /// `torch.optim.Adam` and `AdamW`: ε = 1e-8 outside the root.
    pub fn pytorch() -> Self {
        Self { eps: 1e-8, eps_root: 0.0, ..Self::default() }
    }

    /// `optax.adam`: as PyTorch's, and `eps_root` as Optax calls it. `optax.nadam` has `nesterov`, `optax.amsgrad`
    /// has `amsgrad_corrected`.
    pub fn optax() -> Self {
        Self::pytorch()
    }

    /// `keras.optimizers.Adam`: ε̂ = 1e-7.
    pub fn keras() -> Self {
        Self { eps: 1e-7, eps_root: 0.0, eps_hat: true, ..Self::default() }
    }

    /// Apex's `FusedAdam`: as PyTorch's.
    pub fn apex() -> Self {
        Self::pytorch()
    }

    /// bitsandbytes' `Adam` and `AdamW` on CUDA: as PyTorch's, but decoupled weight decay comes after the step. The
    /// implementations of bitsandbytes for other devices have it before.
    pub fn bitsandbytes() -> Self {
        Self { decay_after: true, ..Self::pytorch() }
    }

    /// Burn's `Adam` and `AdamW`: as PyTorch's, but ε = 1e-5.
    pub fn burn() -> Self {
        Self { eps: 1e-5, ..Self::pytorch() }
    }

    /// The factors of m, of g and of v at step `t`.
    #[inline]
    fn scales(&self, t: u64) -> [f64; 3] {
        let [m_scale, g_scale] = momentum_scales(self.nesterov, self.betas[0], t);
        [m_scale, g_scale, correction(self.betas[1], t)]
    }

    /// ε outside the root, as it counts at step `t`.
    #[inline]
    fn eps_at(&self, t: u64) -> f64 {
        if self.eps_hat { self.eps * correction(self.betas[1], t).sqrt() } else { self.eps }
    }
}

impl Formula for Adam {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [beta1, beta2] = self.betas;
        let m = state[0].decayed(beta1, N::scalar(1.0 - beta1) * g);
        state[0] = m;
        let mut v = state[1].decayed(beta2, N::scalar(1.0 - beta2) * g * g);
        state[1] = v;
        if self.amsgrad && !self.amsgrad_corrected {
            v = state[2].larger(v);
            state[2] = v;
        }
        let [m_scale, g_scale, v_scale] = self.scales(at.t);
        let mut v_hat = N::scalar(v_scale) * v;
        if self.amsgrad_corrected {
            v_hat = state[2].larger(v_hat);
            state[2] = v_hat;
        }
        let mut m_hat = N::scalar(m_scale) * m;
        if self.nesterov {
            m_hat = m_hat + N::scalar(g_scale) * g;
        }
        let root = (v_hat + N::scalar(self.eps_root)).sqrt();
        m_hat / (root + N::scalar(self.eps_at(at.t)))
    }
}

impl Rule for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::zero("exp_avg").signed(), Slot::zero("exp_avg_sq").unsigned()];
        let keeps_largest = self.amsgrad || self.amsgrad_corrected;
        slots.extend(keeps_largest.then(|| Slot::zero("max_exp_avg_sq").unsigned()));
        slots
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("AMSGRAD", self.amsgrad && !self.amsgrad_corrected),
            ("AMSGRAD_CORRECTED", self.amsgrad_corrected),
            ("NESTEROV", self.nesterov),
        ]
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
            Scalar::fixed("eps_root"),
            Scalar::by_step_if(self.eps_hat, "eps"),
            Scalar::by_step_if(self.nesterov, "g_scale"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [[beta1, beta1_low], [beta2, beta2_low]] = self.betas.map(halves);
        let [gain1, gain2] = self.betas.map(|beta| 1.0 - beta);
        let [m_scale, g_scale, v_scale] = self.scales(at.t);
        let eps = self.eps_at(at.t);
        out.copy_from_slice(&[
            beta1,
            beta1_low,
            gain1,
            beta2,
            beta2_low,
            gain2,
            m_scale,
            v_scale,
            self.eps_root,
            eps,
            g_scale,
        ]);
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn decays_after(&self) -> bool {
        self.decay_after
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("adam", "betas[0]", self.betas[0])?;
        check_fraction("adam", "betas[1]", self.betas[1])?;
        check_epsilon("adam", self.eps, self.eps_root)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "adam",
    wgsl: include_str!("../../shaders/rule/adam.wgsl"),
    formula: "\
        m ← β₁ m + (1 − β₁) g\n\
        v ← β₂ v + (1 − β₂) g²\n\
        x ← max(x, v)                                     AMSGrad only, then x in place of v\n\
        x ← max(x, v̂)                                     AMSGrad of corrected v̂, then x in place of v̂\n\
        direction = m̂ / (√(v̂ + eps_root) + eps)           m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)\n\
        m̂ = β₁ m / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)   with Nesterov",
    paper: "Kingma & Ba 2015, https://arxiv.org/abs/1412.6980; AMSGrad: Reddi, Kale & Kumar 2018; Nesterov: Dozat 2016",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention { name: "pytorch", options: || serde_json::to_value(Adam::pytorch()) },
        Convention { name: "optax", options: || serde_json::to_value(Adam::optax()) },
        Convention { name: "keras", options: || serde_json::to_value(Adam::keras()) },
        Convention { name: "apex", options: || serde_json::to_value(Adam::apex()) },
        Convention { name: "bitsandbytes", options: || serde_json::to_value(Adam::bitsandbytes()) },
        Convention { name: "burn", options: || serde_json::to_value(Adam::burn()) },
    ],
    presets: &[Preset {
        name: "adamw",
        options: || serde_json::to_value(Adam::pytorch()),
        weight_decay: 0.01,
        decoupled: true,
    }],
    ..Json::of::<Adam>(1e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("eps", NON_NEGATIVE),
    ("eps_root", NON_NEGATIVE),
    ("amsgrad", "true or false"),
    ("amsgrad_corrected", "true or false"),
    ("eps_hat", "true or false"),
    ("nesterov", "true or false"),
    ("decay_after", "true or false"),
];

fn variants() -> Vec<Variant> {
    let amsgrad = Adam { amsgrad: true, ..Adam::default() };
    let corrected = Adam { amsgrad_corrected: true, ..Adam::default() };
    let nesterov = Adam { nesterov: true, ..Adam::keras() };
    vec![
        Variant::new(1e-3, Adam::default()),
        Variant::new(1e-3, amsgrad.clone()).l2(0.1),
        Variant::new(1e-3, Adam::pytorch()).decay(0.1),
        Variant::new(1e-2, Adam { nesterov: true, ..amsgrad }).decay(0.01).maximize(),
        Variant::new(1e-2, Adam { betas: [0.0, 0.5], ..nesterov }),
        Variant::new(1e-2, Adam::bitsandbytes()).decay(0.1),
        Variant::new(1e-4, Adam { betas: [0.95, 0.99999], ..corrected.clone() }).maximize(),
        Variant::new(1e-2, Adam { nesterov: true, decay_after: true, ..corrected }).cautious(0.1),
    ]
}

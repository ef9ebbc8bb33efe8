//! The rules in f64, from their papers and the documentation.

use super::mutation::Mutation;
use super::number::Num;

/// A rule and its options.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rule {
    Sgd { momentum: f64, dampening: f64, nesterov: bool },
    Adam { betas: [f64; 2], eps: f64, eps_root: f64, amsgrad: bool },
    RmsProp { alpha: f64, eps: f64, eps_root: f64, momentum: f64, centered: bool },
    Adagrad { lr_decay: f64, eps: f64, eps_root: f64 },
}

/// A group's options.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) rule: Rule,
    pub(crate) lr: f64,
    pub(crate) decay: f64,
    pub(crate) decoupled: bool,
    pub(crate) maximize: bool,
    pub(crate) ema: Option<f64>,
}

impl Spec {
    /// These options as far as parameters that have state may change to them.
    pub(crate) fn after(&self, old: &Self) -> Self {
        let keeps = self.rule.slots() == old.rule.slots();
        Self {
            rule: if keeps { self.rule.clone() } else { old.rule.clone() },
            ema: old.ema.map(|decay| self.ema.unwrap_or(decay)),
            ..self.clone()
        }
    }
}

impl Rule {
    /// The names of what it keeps.
    pub(crate) fn slots(&self) -> &'static [&'static str] {
        match *self {
            Self::Sgd { momentum: 0.0, .. } => &[],
            Self::Sgd { .. } => &["momentum_buffer"],
            Self::Adam { amsgrad: false, .. } => &["exp_avg", "exp_avg_sq"],
            Self::Adam { .. } => &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
            Self::RmsProp { momentum, centered, .. } => match (centered, momentum != 0.0) {
                (false, false) => &["square_avg"],
                (true, false) => &["square_avg", "grad_avg"],
                (false, true) => &["square_avg", "momentum_buffer"],
                (true, true) => &["square_avg", "grad_avg", "momentum_buffer"],
            },
            Self::Adagrad { .. } => &["sum"],
        }
    }

    /// Computes the direction of a parameter's `t`th step and updates the slots.
    pub(crate) fn direction(
        &self,
        g: Num,
        kept: &mut [Num],
        t: u64,
        wrong: Option<Mutation>,
    ) -> Num {
        let is = |mutation| wrong == Some(mutation);
        let power = |beta: f64| beta.powf(t as f64);
        match *self {
            Self::Sgd { momentum, dampening, nesterov } => {
                let [buffer] = kept else { return g };
                let first = t == 1 && !is(Mutation::DampenedFirst);
                let gain = if first { 1.0 } else { 1.0 - dampening };
                *buffer = buffer.decayed(momentum, Num::scalar(gain) * g);
                if nesterov { g + Num::scalar(momentum) * *buffer } else { *buffer }
            }
            Self::Adam { mut betas, eps, eps_root, amsgrad } => {
                if is(Mutation::BetasSwapped) {
                    betas.reverse();
                }
                let [beta1, beta2] = betas;
                kept[0] = kept[0].decayed(beta1, Num::scalar(1.0 - beta1) * g);
                kept[1] = kept[1].decayed(beta2, Num::scalar(1.0 - beta2) * g * g);
                let mut v = kept[1];
                if amsgrad {
                    kept[2] = kept[2].max(v);
                    v = kept[2];
                }
                let mut corrections = betas.map(|beta| 1.0 / (1.0 - power(beta)));
                if is(Mutation::NoBiasCorrection) {
                    corrections = [1.0; 2];
                }
                let [of_m, of_v] = corrections.map(Num::scalar);
                of_m * kept[0] / root(of_v * v, eps_root, eps, wrong)
            }
            Self::RmsProp { alpha, eps, eps_root, momentum, centered } => {
                let gain = Num::scalar(1.0 - alpha);
                kept[0] = kept[0].decayed(alpha, gain * g * g);
                let mut variance = kept[0];
                if centered {
                    kept[1] = kept[1].decayed(alpha, gain * g);
                    variance = (variance - kept[1] * kept[1]).abs();
                }
                let u = g / root(variance, eps_root, eps, wrong);
                if momentum == 0.0 {
                    return u;
                }
                let buffer = &mut kept[1 + usize::from(centered)];
                *buffer = buffer.decayed(momentum, u);
                *buffer
            }
            Self::Adagrad { lr_decay, eps, eps_root } => {
                kept[0] = kept[0] + g * g;
                let falls = 1.0 / (1.0 + (t as f64 - 1.0) * lr_decay);
                Num::scalar(falls) * g / root(kept[0], eps_root, eps, wrong)
            }
        }
    }
}

/// √(x + eps_root) + eps
fn root(x: Num, eps_root: f64, eps: f64, wrong: Option<Mutation>) -> Num {
    match wrong {
        Some(Mutation::EpsilonsSwapped) => (x + Num::scalar(eps)).sqrt() + Num::scalar(eps_root),
        _ => (x + Num::scalar(eps_root)).sqrt() + Num::scalar(eps),
    }
}

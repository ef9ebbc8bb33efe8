//! Groups: a rule, its learning rate and its weight decay, shared by any number of parameters.

mod kept;
mod scalars;
mod scheduled;

pub(crate) use scalars::{DRIVER_SCALARS, DriverScalars};

use std::sync::Arc;

use crate::control::Control;
use crate::error::Error;
use crate::num::{Master, StateFormats};
use crate::rule::{
    self, Adagrad, Adam, At, Decays, Evaluate, IntoRule, Memory, Past, Rates, RmsProp, Rule, Sgd,
    Variant,
};
use crate::rule::{MAX_SCALARS, MAX_SLOTS, check_declared, check_fraction, check_non_negative};
use crate::schedule::{Schedule, Target};

/// The options by which a group of parameters is updated. Cheap to clone.
///
/// ```text
/// p ← p − lr · (direction(g) + λ p)      decoupled weight decay
/// p ← p − lr · direction(g + λ p)        otherwise: an L2 penalty
/// ```
///
/// *Differs from PyTorch*: decoupled decay is subtracted together with the step, not multiplied in
/// before it; the value is the same, the parameter is rounded once instead of twice.
#[derive(Clone, Debug)]
pub struct Group {
    /// The rule that gives the direction.
    pub rule: Arc<dyn Rule>,
    /// Learning rate, 0 or more.
    pub lr: f64,
    /// λ, 0 or more; `0`, or `0.01` in [`Group::adamw`].
    pub weight_decay: f64,
    /// Whether weight decay stays out of the rule, as in AdamW; `false`, or `true` in [`Group::adamw`].
    pub decoupled: bool,
    /// Whether decoupled weight decay leaves out elements that the step moves away from 0; `false`.
    pub cautious_weight_decay: bool,
    /// Whether to climb in place of descending; `false`.
    pub maximize: bool,
    /// How the slots of the state are stored; [`StateFormat::F32`](crate::StateFormat::F32).
    pub state_format: StateFormats,
    /// A parameter with fewer elements keeps state in f32 in place of blocks; 0. bitsandbytes has 4096.
    pub block_min_size: u64,
    /// A seed, to choose codes of state in blocks at random: of the two around a number, the upper one as often as
    /// the number is near to it, so that averages move on that move less than half a code a step; `None`: the nearest.
    pub stochastic_state: Option<u64>,
    /// The numbers that 16-bit parameters are rounded from; [`Master::None`].
    pub master: Master,
    /// A seed, to round 16-bit parameters up or down at random, as often up as they are near to it, so
    /// that small steps count on average; `None`: to nearest. A parameter with a master needs neither.
    pub stochastic_rounding: Option<u64>,
    /// The decay d of an average that is kept of each parameter, at least 0 and below 1; `None`: of none.
    pub ema: Option<f64>,
    /// The options that follow schedules: [`Group::schedule`]. They take the place of the numbers in the other
    /// fields; none.
    pub schedules: Vec<(Target, Schedule)>,
}

impl Group {
    /// `rule`, or an `Arc<dyn Rule>`, at learning rate `lr`, without weight decay, minimizing.
    pub fn new(lr: f64, rule: impl IntoRule) -> Self {
        Self {
            rule: rule.into_rule(),
            lr,
            weight_decay: 0.0,
            decoupled: false,
            cautious_weight_decay: false,
            maximize: false,
            state_format: StateFormats::default(),
            block_min_size: 0,
            stochastic_state: None,
            master: Master::None,
            stochastic_rounding: None,
            ema: None,
            schedules: Vec::new(),
        }
    }

    /// [`Sgd`] without momentum.
    pub fn sgd(lr: f64) -> Self {
        Self::new(lr, Sgd::default())
    }

    /// [`Adagrad`] at its defaults.
    pub fn adagrad(lr: f64) -> Self {
        Self::new(lr, Adagrad::default())
    }

    /// [`RmsProp`] at its defaults.
    pub fn rmsprop(lr: f64) -> Self {
        Self::new(lr, RmsProp::default())
    }

    /// [`Adam`] at its defaults.
    pub fn adam(lr: f64) -> Self {
        Self::new(lr, Adam::default())
    }

    /// [`Adam`] with decoupled weight decay of `0.01`
    /// ([Loshchilov & Hutter 2019](https://arxiv.org/abs/1711.05101), with PyTorch's `lr` in the decay).
    pub fn adamw(lr: f64) -> Self {
        Self::adam(lr).weight_decay(0.01).decoupled(true)
    }

    /// The same at another learning rate, which follows no schedule.
    #[must_use]
    pub fn lr(mut self, lr: f64) -> Self {
        self.set_lr(lr);
        self
    }

    /// The same with another rule.
    #[must_use]
    pub fn rule(self, rule: impl IntoRule) -> Self {
        Self { rule: rule.into_rule(), ..self }
    }

    /// The same with this weight decay λ.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// The same with decoupled weight decay, or with an L2 penalty.
    #[must_use]
    pub fn decoupled(self, decoupled: bool) -> Self {
        Self { decoupled, ..self }
    }

    /// The same with decoupled weight decay only where the direction and the parameter have one sign, so that the
    /// step moves the parameter towards 0: cautious weight decay
    /// ([Chen et al. 2025](https://arxiv.org/abs/2510.12402)), as Burn's `AdamW` offers.
    #[must_use]
    pub fn cautious_weight_decay(self, cautious_weight_decay: bool) -> Self {
        Self { cautious_weight_decay, ..self }
    }

    /// The same, climbing: the gradient's sign is turned before anything else.
    #[must_use]
    pub fn maximize(self, maximize: bool) -> Self {
        Self { maximize, ..self }
    }

    /// The same with 16-bit parameters rounded from this.
    #[must_use]
    pub fn master(self, master: Master) -> Self {
        Self { master, ..self }
    }

    /// The same with 16-bit parameters rounded at random, a function of this seed, the parameter's recorded step
    /// and the element's place in its buffer ([`Format::dither`](crate::Format::dither)); with `None`, to nearest.
    #[must_use]
    pub fn stochastic_rounding(self, seed: impl Into<Option<u64>>) -> Self {
        Self { stochastic_rounding: seed.into(), ..self }
    }

    /// The same with an exponential moving average of each parameter, in f32, updated by every step:
    ///
    /// ```text
    /// ema ← ema + (p − ema) · (1 − d) / (1 − dᵗ)
    /// ```
    ///
    /// The average is `d · ema + (1 − d) · p` from zero, divided by `1 − dᵗ`, which takes out the bias towards
    /// zero as in ADAM (Kingma & Ba 2015, section 3): the first step gives the parameter itself.
    /// [`Optimizer::ema`](crate::Optimizer::ema) is where it lies. 16-bit parameters are averaged as they
    /// are stored, those with a master as that is.
    ///
    /// *Differs from PyTorch*, whose `AveragedModel` begins with the first parameters at full weight.
    ///
    /// `None` keeps no average.
    #[must_use]
    pub fn ema(self, decay: impl Into<Option<f64>>) -> Self {
        Self { ema: decay.into(), ..self }
    }

    /// Whether every option, the rule's included, is in its range, and whether the rule declares what
    /// its scalars depend on.
    ///
    /// # Errors
    /// The first that is not, by name.
    pub fn check(&self) -> Result<(), Error> {
        let rule = self.rule.name();
        let sizes = [
            ("slots", self.rule.slots().len(), MAX_SLOTS),
            ("scalars", self.rule.hyper().len(), MAX_SCALARS),
        ];
        if let Some((what, has, most)) = sizes.into_iter().find(|(_, has, most)| has > most) {
            return Err(Error::RuleTooLarge { rule, what, has, most });
        }
        self.check_options()?;
        self.rule.check()?;
        check_declared(&*self.rule, self.lr)
    }

    /// The part of [`Group::check`] that counts where the rule stays.
    pub(crate) fn check_options(&self) -> Result<(), Error> {
        self.check_schedules()?;
        self.check_rate()?;
        let rule = self.rule.name();
        if self.cautious_weight_decay && !self.decoupled {
            let conflict = "cautious_weight_decay needs decoupled weight decay; set decoupled or leave cautious_weight_decay off";
            return Err(Error::Conflict { rule, conflict });
        }
        if self.cautious_weight_decay && self.rule.rates(At::new(1, 1.0)).decay == 0.0 {
            let conflict = "its weight decay is part of the direction, which cautious_weight_decay needs to compare with; leave cautious_weight_decay off";
            return Err(Error::Conflict { rule, conflict });
        }
        self.check_slots()?;
        check_fraction(rule, "ema", self.ema.unwrap_or(0.0))
    }

    /// Whether the learning rate and the weight decay are in their range: the part of [`Group::check`]
    /// that counts where only the learning rate has changed.
    pub(crate) fn check_rate(&self) -> Result<(), Error> {
        let rule = self.rule.name();
        check_non_negative(rule, "lr", self.lr)?;
        check_non_negative(rule, "weight_decay", self.weight_decay)?;
        check_non_negative(rule, "lr × weight_decay", self.lr * self.weight_decay)
    }

    /// The driver's scalars of the parameter's `t`th step. Gradients are sums that come to `multiplied`
    /// times their value. Without `control`, gradients are as they should be, or
    /// `shaders/control/prepare.wgsl` scales them. The caller adds `noise` and `start`.
    pub(crate) fn driver_scalars(&self, t: u64, control: Option<(&Control, f64)>) -> DriverScalars {
        let (scale, clip) = control.map_or((1.0, 0.0), |(control, multiplied)| {
            let scale = control.loss_scale.initial() * multiplied;
            (scale, control.clip_value.unwrap_or(0.0) * scale)
        });
        let [lr, decay, l2, sign] = self.factors(self.plain_at(t));
        DriverScalars {
            lr,
            decay,
            l2,
            grad_scale: sign / scale,
            clip,
            ema: self.ema_gain(t),
            first: if t == 1 { 1.0 } else { 0.0 },
            ..DriverScalars::default()
        }
    }

    /// The factors of a step: of the direction, the parameter in the step, the parameter in the
    /// gradient that the rule sees, and the gradient.
    fn factors(&self, at: At) -> [f64; 4] {
        let Rates { lr, decay } = self.rule.rates(at);
        let sign = if self.maximize { -1.0 } else { 1.0 };
        match self.decoupled {
            true => [lr, decay * self.weight_decay, 0.0, sign],
            false => [lr, 0.0, self.weight_decay, sign],
        }
    }

    /// The `t`th step as the rule sees it, if it remembers `past`.
    pub(crate) fn at(&self, t: u64, past: Option<Past>) -> At {
        At { past, ..self.plain_at(t) }.looking_ahead(&*self.rule)
    }

    /// Notes the `t`th step in the memory of the steps before it, and returns what the rule remembers.
    pub(crate) fn note(&self, t: u64, memory: &mut Memory) -> Option<Past> {
        memory.note(&*self.rule, self.plain_at(t))
    }

    /// The `t`th step, noted in the memory of the steps before it.
    pub(crate) fn noted_at(&self, t: u64, memory: &mut Memory) -> At {
        self.at(t, self.note(t, memory))
    }

    /// The `t`th step, without what the rule adds.
    fn plain_at(&self, t: u64) -> At {
        let weight_decay = if self.decoupled { self.weight_decay } else { 0.0 };
        let decays =
            Decays { cautious: self.cautious_weight_decay, after: self.rule.decays_after() };
        At { weight_decay, decays, ..At::new(t, self.lr) }
    }

    /// How much of the parameter goes into its average: (1 − d) / (1 − dᵗ).
    fn ema_gain(&self, t: u64) -> f64 {
        let decay = self.ema.unwrap_or(0.0);
        (1.0 - decay) / -(t as f64 * decay.ln()).exp_m1()
    }

    /// A parameter's average after its `t`th step, of what it was and the parameter: `shaders/beside/ema.wgsl`
    /// in the arithmetic of `N`.
    pub(crate) fn average<N: Evaluate>(&self, average: N, p: N, t: u64) -> N {
        average + N::scalar(self.ema_gain(t)) * (p - average)
    }

    /// One element's step: `shaders/kernel/update.wgsl` in the arithmetic of `N`. Returns the parameter.
    /// At the parameter's first step, `state` is replaced by what the rule's slots start at.
    pub(crate) fn update<N: Evaluate>(&self, p: N, loaded: N, state: &mut [N], at: At) -> N {
        if at.t == 1 {
            for (number, slot) in state.iter_mut().zip(self.rule.slots()) {
                *number = slot.start.of(p, self.lr);
            }
        }
        let [lr, decay, l2, grad_scale] = self.factors(at).map(N::scalar);
        let g = grad_scale * loaded + l2 * p;
        let u = N::direction(&*self.rule, p, g, state, at);
        at.stepped(p, u, lr, decay)
    }
}

/// Two groups are equal if all options are, those of the rules included, as their `Debug` texts have them.
impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        let numbers = |group: &Self| {
            let Self { lr, weight_decay, decoupled, cautious_weight_decay, maximize, .. } = *group;
            (lr, weight_decay, decoupled, cautious_weight_decay, maximize)
        };
        let kept = |group: &Self| {
            let Self { master, stochastic_rounding, ema, block_min_size, stochastic_state, .. } =
                *group;
            (master, stochastic_rounding, ema, block_min_size, stochastic_state)
        };
        let same_schedules = self.schedules == other.schedules;
        let of = |group: &Self| (*group.rule).type_id();
        let same_rule = Arc::ptr_eq(&self.rule, &other.rule)
            || (of(self) == of(other) && format!("{:?}", self.rule) == format!("{:?}", other.rule));
        numbers(self) == numbers(other)
            && kept(self) == kept(other)
            && same_schedules
            && same_rule
            && self.state_format == other.state_format
    }
}

impl From<Variant> for Group {
    fn from(variant: Variant) -> Self {
        let Variant { rule, lr, weight_decay, decoupled, cautious, maximize } = variant;
        let new = Self::new(lr, rule);
        Self { weight_decay, decoupled, cautious_weight_decay: cautious, maximize, ..new }
    }
}

/// Every variant of every rule this crate ships.
pub(crate) fn all_groups() -> Vec<Group> {
    rule::ALL.iter().flat_map(|entry| (entry.variants)()).map(Group::from).collect()
}

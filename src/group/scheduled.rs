//! Groups whose options change from step to step by schedules.

use std::borrow::Cow;
use std::sync::Arc;

use super::Group;
use crate::error::Error;
use crate::rule::Rule;
use crate::schedule::{Schedule, Target};

impl Group {
    /// The same with an option that follows a schedule. Its t is the step of the group that is taken: a skipped step
    /// does not advance it, although only the GPU knows which are skipped, and nothing is read back. Parameters that
    /// join the group later begin at the group's step.
    ///
    /// ```
    /// use wgpu_optim::{Group, Schedule, Target};
    ///
    /// let group = Group::adamw(1e-3)
    ///     .schedule(Target::Lr, Schedule::warmup(100, 0.0, Schedule::cosine(1e-3, 1e-5, 900)))
    ///     .schedule(Target::Beta(0), Schedule::one_cycle(0.95, 1000, 0.3, 1.1, 1.0));
    /// group.check()?;
    /// # Ok::<(), wgpu_optim::Error>(())
    /// ```
    ///
    /// *Differs from PyTorch*, where a scheduler is called by hand, and knows nothing of skipped steps.
    #[must_use]
    pub fn schedule(self, target: Target, schedule: Schedule) -> Self {
        let mut group = self.set(target, schedule.at(1));
        group.schedules.retain(|(other, _)| *other != target);
        group.schedules.push((target, schedule));
        group
    }

    /// The same with this number for an option. A rule without the option stays as it is.
    fn set(self, target: Target, value: f64) -> Self {
        match target {
            Target::Lr => Self { lr: value, ..self },
            Target::WeightDecay => Self { weight_decay: value, ..self },
            Target::Momentum | Target::Beta(_) => match with(&*self.rule, target, value) {
                Some(rule) => Self { rule, ..self },
                None => self,
            },
        }
    }

    /// The group with the options of its `t`th step.
    pub(crate) fn now(&self, t: u64) -> Cow<'_, Self> {
        if self.schedules.is_empty() {
            return Cow::Borrowed(self);
        }
        let plain = Self {
            schedules: Vec::new(),
            rule: self.rule.clone(),
            state_format: self.state_format.clone(),
            ..*self
        };
        let now = self
            .schedules
            .iter()
            .fold(plain, |group, (target, schedule)| group.set(*target, schedule.at(t.max(1))));
        Cow::Owned(now)
    }

    /// The same with the learning rate as it is, whatever the step.
    pub(crate) fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
        self.schedules.retain(|(target, _)| *target != Target::Lr);
    }

    /// Whether every schedule is in its range, and every option in its own at every step.
    pub(super) fn check_schedules(&self) -> Result<(), Error> {
        self.schedules.iter().try_for_each(|(_, schedule)| schedule.check())?;
        let Some(most) = self.largest() else { return Ok(()) };
        most.check_rate()?;
        let rule = self.rule.name();
        for (target, schedule) in &self.schedules {
            if matches!(target, Target::Lr | Target::WeightDecay) {
                continue;
            }
            for value in schedule.range() {
                let Some(other) = with(&*self.rule, *target, value) else {
                    let conflict = match target {
                        Target::Momentum => "it has no momentum that a schedule could set",
                        _ => "it has no such β that a schedule could set",
                    };
                    return Err(Error::Conflict { rule, conflict });
                };
                other.check()?;
                if other.switches() != self.rule.switches() || other.slots() != self.rule.slots() {
                    let conflict = "a momentum of 0 keeps no state, so a schedule of the momentum must be above 0 at every step";
                    return Err(Error::Conflict { rule, conflict });
                }
            }
        }
        Ok(())
    }

    /// The group with the largest learning rate and weight decay of all steps, if schedules set anything.
    fn largest(&self) -> Option<Self> {
        let plain = Self { schedules: Vec::new(), ..self.clone() };
        let largest = self.schedules.iter().fold(plain, |group, (target, schedule)| match target {
            Target::Lr | Target::WeightDecay => group.set(*target, schedule.range()[1]),
            Target::Momentum | Target::Beta(_) => group,
        });
        (!self.schedules.is_empty()).then_some(largest)
    }
}

/// The rule with another momentum or β, if it has one.
fn with(rule: &dyn Rule, target: Target, value: f64) -> Option<Arc<dyn Rule>> {
    let mut rule = rule.copied();
    *rule.scheduled(target)? = value;
    Some(rule.into())
}

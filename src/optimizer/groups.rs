//! Groups and their options.

use std::sync::Arc;

use super::{GroupId, Optimizer, check, limits};
use crate::error::Error;
use crate::group::Group;
use crate::kernel::BLOCK_WORDS;
use crate::model::{GroupKind, GroupState, RuleKey};
use crate::program::dependents;
use crate::rule::{Memory, Past};

impl Optimizer {
    /// Adds a group of parameters. Groups may have different rules.
    ///
    /// # Errors
    /// An option out of its range ([`Group::check`]), a limit of the device too small for the rule
    /// ([`Error::Limit`]), or a rule from outside this crate that does not compile ([`Error::Kernel`]).
    pub fn add_group(&mut self, group: Group) -> Result<GroupId, Error> {
        group.check()?;
        let kind = GroupKind::of(&group);
        limits::check(&self.model.device.limits(), (&kind, group.master), false)?;
        self.check_rule(&kind.rule)?;
        self.model.kinds.edit().push(kind);
        self.model.groups.push(GroupState::new(group, 0));
        Ok(GroupId { optimizer: self.serial, index: self.model.groups.len() - 1 })
    }

    /// Sets the learning rate of every group, from the next recorded step on. It follows no schedule from then on.
    ///
    /// # Errors
    /// If it is not a finite f32 number, 0 or more, or is not with some group's weight decay; then
    /// every group keeps its own.
    pub fn set_lr(&mut self, lr: f64) -> Result<(), Error> {
        check::rate(lr)?;
        for state in &self.model.groups {
            Group { lr, ..state.group.clone() }.check_rate()?;
        }
        self.model.groups.iter_mut().for_each(|state| state.set_lr(lr));
        Ok(())
    }

    /// Sets the learning rate of one group, from the next recorded step on. It follows no schedule from then on.
    ///
    /// # Errors
    /// As [`Optimizer::set_lr`], and if the id is another optimizer's; then the group keeps its own.
    pub fn set_group_lr(&mut self, id: GroupId, lr: f64) -> Result<(), Error> {
        let group = &self.state_of(id)?.group;
        check::rate(lr)?;
        Group { lr, ..group.clone() }.check_rate()?;
        self.model.groups[id.index].set_lr(lr);
        Ok(())
    }

    /// Changes a group's options by a function of the present ones, from the next recorded step on.
    ///
    /// ```no_run
    /// # fn f(opt: &mut wgpu_optim::Optimizer, group: wgpu_optim::GroupId) -> Result<(), wgpu_optim::Error> {
    /// opt.update_group(group, |group| group.weight_decay(0.05).maximize(true))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Optimizer::set_group`].
    pub fn update_group(
        &mut self,
        id: GroupId,
        change: impl FnOnce(Group) -> Group,
    ) -> Result<(), Error> {
        let group = change(self.state_of(id)?.group.clone());
        self.set_group(id, group)
    }

    /// Every group with its options, in the order they were added.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (GroupId, &Group)> {
        let groups = self.model.groups.iter().enumerate();
        groups.map(|(index, state)| (GroupId { optimizer: self.serial, index }, &state.group))
    }

    /// Changes a group's options, its rule included, from the next recorded step on.
    ///
    /// ```no_run
    /// # fn f(opt: &mut wgpu_optim::Optimizer, group: wgpu_optim::GroupId) -> Result<(), wgpu_optim::Error> {
    /// opt.set_group(group, opt.group(group)?.clone().lr(1e-4).weight_decay(0.05))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Optimizer::add_group`], and [`Error::OtherState`] if the new rule keeps other slots than
    /// the old, [`Error::OtherStateFormat`] if it is to store them otherwise; then the group stays as
    /// it was.
    pub fn set_group(&mut self, id: GroupId, group: Group) -> Result<(), Error> {
        let old_state = self.state_of(id)?;
        let old = &old_state.group;
        let same_rule = Arc::ptr_eq(&old.rule, &group.rule);
        if same_rule {
            group.check_options()?;
        } else {
            group.check()?;
        }
        let old_kind = &self.model.kinds[id.index];
        let kind = match same_rule {
            true => GroupKind::with(&group, old_kind.rule.clone()),
            false => GroupKind::of(&group),
        };
        let params = || self.model.params.iter().filter(|param| param.group == id.index);
        let used = params().next().is_some();
        // Parameters in f32 have no master, whatever the group says of masters.
        let in_16_bits = params().any(|param| param.view.format != crate::num::Format::F32);
        let keeps =
            |group: &Group, kind: &GroupKind| group.keeps(&kind.rule.declared_slots(), in_16_bits);
        let (old, new) = (keeps(old, old_kind), keeps(&group, &kind));
        if used && old != new {
            return Err(Error::OtherStateFormat { group: id.index, old, new });
        }
        let copied = params().any(|param| param.copy.is_some());
        if kind != *old_kind {
            limits::check(&self.model.device.limits(), (&kind, group.master), copied)?;
        }
        if kind.rule != old_kind.rule {
            if used && !kind.rule.has_slots_of(&old_kind.rule) {
                return Err(Error::OtherState {
                    group: id.index,
                    old: old_kind.rule.name(),
                    old_slots: check::quoted(&old_kind.rule.slot_names()),
                    new: kind.rule.name(),
                    new_slots: check::quoted(&kind.rule.slot_names()),
                });
            }
            self.check_rule(&kind.rule)?;
        }
        let state = match same_rule {
            true => old_state.with(group),
            false => GroupState::new(group, old_state.recorded),
        };
        if self.model.cohorts.is_counted() {
            self.check_dependents(Some((id.index, &state)), &[])?;
        }
        if kind != *old_kind {
            self.model.kinds.edit()[id.index] = kind;
        }
        self.model.groups[id.index] = state;
        Ok(())
    }

    /// Whether a rule compiles, unless a group has it already.
    fn check_rule(&self, rule: &RuleKey) -> Result<(), Error> {
        let known = || self.model.kinds.iter().any(|kind| kind.rule == *rule);
        if rule.is_ours() || known() { Ok(()) } else { self.program.kernels.check(rule) }
    }

    /// Whether the device has room for one more clock of a group.
    pub(super) fn check_cohort(&self, group: usize) -> Result<(), Error> {
        let cohorts = self.model.cohorts.after(1) as u64;
        let device_limits = self.model.device.limits();
        limits::check_cohorts(&device_limits, cohorts, self.model.is_controlled())?;
        if self.model.cohorts.is_counted() { self.check_dependents(None, &[group]) } else { Ok(()) }
    }

    /// Whether the device can bind the list of scalars that depend on the step, where the GPU counts: with a group
    /// that is to be another, and with a cohort more of each of some.
    pub(super) fn check_dependents(
        &self,
        changed: Option<(usize, &GroupState)>,
        more: &[usize],
    ) -> Result<(), Error> {
        let device_limits = self.model.device.limits();
        let cohorts =
            self.model.cohorts.all().iter().map(|cohort| cohort.group).chain(more.iter().copied());
        // Hardly any optimizer comes near it, so that few are counted.
        let most = (self.model.cohorts.all().len() + more.len()) * BLOCK_WORDS;
        if limits::check_dependents(&device_limits, most as u64).is_ok() {
            return Ok(());
        }
        let group = |index: usize| match changed {
            Some((other, state)) if other == index => state,
            _ => &self.model.groups[index],
        };
        limits::check_dependents(&device_limits, dependents(cohorts.map(group)))
    }

    /// A group's options.
    ///
    /// # Errors
    /// If the id is another optimizer's.
    pub fn group(&self, id: GroupId) -> Result<&Group, Error> {
        Ok(&self.state_of(id)?.group)
    }

    /// The steps recorded for a group, in steps.
    ///
    /// # Errors
    /// If the id is another optimizer's.
    pub fn steps(&self, id: GroupId) -> Result<u64, Error> {
        Ok(self.state_of(id)?.recorded)
    }

    /// Sets the steps recorded for a group, and for each of its parameters: for benchmarks.
    ///
    /// # Errors
    /// If the id is another optimizer's.
    #[doc(hidden)]
    pub fn set_steps(&mut self, id: GroupId, steps: u64) -> Result<(), Error> {
        self.state_of(id)?;
        let group = &mut self.model.groups[id.index];
        (group.recorded, group.memory, group.past) = (steps, Memory::default(), None);
        self.model.recorded = self.model.recorded.max(steps);
        self.model.cohorts.set_steps(id.index);
        Ok(())
    }

    /// The last learning rate and what the rule remembers: for `wgpu-optim replay`.
    ///
    /// # Errors
    /// If the id is another optimizer's.
    #[doc(hidden)]
    pub fn memory(&self, id: GroupId) -> Result<(Option<f64>, Option<Past>), Error> {
        let Memory { rate, past } = self.state_of(id)?.memory;
        Ok((rate, past))
    }

    /// Sets the last learning rate and what the rule remembers: for `wgpu-optim replay`.
    ///
    /// # Errors
    /// If the id is another optimizer's.
    #[doc(hidden)]
    pub fn set_memory(
        &mut self,
        id: GroupId,
        (rate, past): (Option<f64>, Option<Past>),
    ) -> Result<(), Error> {
        self.state_of(id)?;
        self.model.groups[id.index].memory = Memory { rate, past };
        Ok(())
    }

    pub(super) fn state_of(&self, id: GroupId) -> Result<&GroupState, Error> {
        let groups = self.model.groups.len();
        let own = (id.optimizer == self.serial).then(|| self.model.groups.get(id.index)).flatten();
        own.ok_or(Error::UnknownGroup { group: id.index, groups })
    }
}

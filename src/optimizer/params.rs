//! Parameters, and where the caller has them and their copies.

use super::{GroupId, Optimizer, ParamId, check, limits};
use crate::error::Error;
use crate::model::{Grad, Param, Part};
use crate::num::Format;
use crate::program::too_near;
use crate::view::View;

impl Optimizer {
    /// Adds a parameter and its gradient to a group; possible at any time. Its state starts at zero
    /// and its steps count from here, whatever the group's other parameters have behind them.
    ///
    /// Both buffers need `BufferUsages::STORAGE`; they may be the same. Parameters that are added
    /// together share buffers of state, and with them dispatches: add what you have before the first
    /// [`step`](Optimizer::step), [`state`](Optimizer::state) or [`dispatches`](Optimizer::dispatches).
    ///
    /// # Errors
    /// A name taken, a view that is empty, unaligned, past its buffer's end or without `STORAGE`, a
    /// buffer of another device or of this optimizer's, lengths that differ, state larger than
    /// a buffer may be, or a parameter that overlaps another parameter, any gradient or copy.
    pub fn add_param(
        &mut self,
        group: GroupId,
        name: &str,
        param: View,
        grad: View,
    ) -> Result<ParamId, Error> {
        let recorded = self.state_of(group)?.recorded;
        if let Some(&other) = self.model.names.get(name) {
            let elements = self.model.params[other].view.len;
            return Err(Error::DuplicateName { name: name.to_owned(), elements });
        }
        let what = format!("parameter `{name}`");
        let of_grad = format!("gradient of `{name}`");
        self.check_view(&what, &param)?;
        self.check_view(&of_grad, &grad)?;
        check::lengths(name, &param, &grad)?;
        let device_limits = self.model.device.limits();
        let master = self.model.groups[group.index].group.master.of(name, param.format)?;
        let kind = &self.model.kinds[group.index];
        limits::check_state(&device_limits, (kind, master), name, &param)?;
        check::apart(&what, &param, &of_grad, &grad)?;
        self.model.ranges.refresh(&self.model.grads);
        self.refuse(Part::Param, &what, &param)?;
        self.refuse(Part::Grad, &of_grad, &grad)?;
        self.refuse_near(name, &param, None, Some(&grad))?;
        if self.model.sums.made.is_some() {
            limits::check_sum(&device_limits, name, &param)?;
        }
        let bounds = self.program.kernels.bounds();
        if self.model.is_controlled() {
            let lens = self.model.params.iter().map(|param| param.view.len).chain([param.len]);
            limits::check_partials(&device_limits, lens, bounds)?;
        }
        if !self.model.cohorts.is_known(group.index, recorded) {
            self.check_cohort(group.index)?;
        }
        let cohort = self.model.cohorts.born(group.index, recorded);

        let index = self.model.params.len();
        self.model.ranges.claim(Part::Param, index, &param);
        self.model.ranges.claim(Part::Grad, index, &grad);
        self.model.names.insert(name.to_owned(), index);
        let (format, origin) = (grad.format, param.at());
        self.model.grads.edit().push(Grad {
            view: Some(grad),
            format,
            cohort,
            frozen: false,
            held: None,
        });
        let number = self.model.places.len();
        let rank = self.model.order.len();
        self.model.places.push(Some(index));
        self.model.order.push(number);
        self.model.params.edit().push(Param {
            number,
            rank,
            name: name.to_owned(),
            group: group.index,
            view: param,
            copy: None,
            master,
            origin,
            spot: None,
            moves: false,
        });
        Ok(self.param_id(index))
    }

    /// Has every step from the next on write an f32 parameter to another place too, in 16 bits, rounded to
    /// nearest: what the forward pass reads. `None` ends that. A step that is skipped writes no copy, and
    /// what is there before the first is the caller's.
    ///
    /// So the parameter is the f32 master of 16-bit weights, in a buffer of yours. Where it may be the
    /// library's, [`Group::master`](crate::Group::master) takes less memory.
    ///
    /// Copies of parameters that share dispatches share them too if each is as many elements from its
    /// parameter's place as the others, as in an arena of the same layout.
    ///
    /// # Errors
    /// If the parameter is not in f32 or the copy is, if their lengths differ, or for what is wrong with a
    /// view in [`Optimizer::add_param`]; then the old one stays.
    pub fn set_copy(&mut self, param: ParamId, copy: Option<View>) -> Result<(), Error> {
        let index = self.index_of(param)?;
        let Param { name, view, copy: old, group, .. } = &self.model.params[index];
        if *old == copy {
            return Ok(());
        }
        let what = format!("copy of `{name}`");
        if let Some(copy) = &copy {
            self.check_view(&what, copy)?;
            if view.format != Format::F32 || copy.format == Format::F32 {
                let formats = [view.format, copy.format].map(Format::name);
                return Err(Error::CopyFormat { name: name.clone(), formats });
            }
            let kind = (&self.model.kinds[*group], crate::num::Master::None);
            limits::check(&self.model.device.limits(), kind, true)?;
            if view.len != copy.len {
                let (param, copy) = (view.len, copy.len);
                return Err(Error::CopyLength { name: name.clone(), param, copy });
            }
        }
        let old = old.clone();
        if let Some(old) = &old {
            self.model.ranges.release(Part::Copy, index, old);
        }
        self.model.ranges.refresh(&self.model.grads);
        let found = match &copy {
            Some(copy) => self.refuse(Part::Copy, &what, copy).and_then(|()| {
                let Param { name, view, .. } = &self.model.params[index];
                self.refuse_near(name, view, Some(copy), self.model.grads[index].view.as_ref())
            }),
            None => Ok(()),
        };
        if let Some(now) = if found.is_ok() { &copy } else { &old } {
            self.model.ranges.claim(Part::Copy, index, now);
        }
        found?;
        self.model.params.edit()[index].copy = copy;
        Ok(())
    }

    /// A parameter by name.
    ///
    /// # Errors
    /// If there is none of that name: with the names that there are.
    pub fn param(&self, name: &str) -> Result<ParamId, Error> {
        match self.model.names.get(name) {
            Some(index) => Ok(self.param_id(*index)),
            None => Err(self.unknown_param(&format!("`{name}`"))),
        }
    }

    /// Every parameter with its name and its view, in the order they were added.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (ParamId, &str, &View)> {
        let params = self.model.params.iter().enumerate();
        params.map(|(index, param)| (self.param_id(index), param.name.as_str(), &param.view))
    }

    /// The number of parameters.
    pub fn len(&self) -> usize {
        self.model.params.len()
    }

    /// Whether the optimizer has no parameter.
    pub fn is_empty(&self) -> bool {
        self.model.params.is_empty()
    }

    /// The group of a parameter.
    ///
    /// # Errors
    /// If the id is another optimizer's.
    pub fn group_of(&self, param: ParamId) -> Result<GroupId, Error> {
        let index = self.model.params[self.index_of(param)?].group;
        Ok(GroupId { optimizer: self.serial, index })
    }

    fn param_id(&self, index: usize) -> ParamId {
        ParamId { optimizer: self.serial, number: self.model.params[index].number }
    }

    /// The names of all parameters, in the order they were added.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.model.params.iter().map(|param| param.name.as_str())
    }

    /// Whether a step could bind `view`.
    fn check_view(&self, what: &str, view: &View) -> Result<(), Error> {
        view.check(|| what.to_owned(), wgpu::BufferUsages::STORAGE)?;
        if let Some(message) = self.program.kernels.unbindable(&view.buffer) {
            return Err(Error::ForeignBuffer { what: what.to_owned(), message });
        }
        if self.model.owns(&view.buffer) {
            return Err(Error::OwnState { what: what.to_owned() });
        }
        Ok(())
    }

    pub(super) fn index_of(&self, param: ParamId) -> Result<usize, Error> {
        let own = param.optimizer == self.serial;
        let place = self.model.places.get(param.number).filter(|_| own);
        match place {
            Some(Some(index)) => Ok(*index),
            Some(None) => {
                Err(self.unknown_param(&format!("number {}, which was removed", param.number)))
            }
            None => {
                Err(self.unknown_param(&format!("number {} of another optimizer", param.number)))
            }
        }
    }

    fn unknown_param(&self, name: &str) -> Error {
        let known: Vec<&str> = self.names().collect();
        Error::UnknownParam { name: name.to_owned(), known: check::quoted(&known) }
    }

    /// The error for overlapping something, if there is something.
    fn refuse(&self, part: Part, what: &str, view: &View) -> Result<(), Error> {
        let written = self.model.control.zero_grad;
        match self.model.ranges.against(part, view, written) {
            Some(other) => Err(self.overlaps(what, (part, view), other)),
            None => Ok(()),
        }
    }

    /// The error for overlapping a part of a parameter.
    pub(super) fn overlaps(
        &self,
        what: &str,
        (own, view): (Part, &View),
        (part, owner): (Part, usize),
    ) -> Error {
        let (other, at) = self.claimed(part, owner);
        check::overlap(what, view, other, at, [own, part])
    }

    /// The error for two views of one parameter that no launch could bind apart, if there are such.
    pub(super) fn refuse_near(
        &self,
        name: &str,
        param: &View,
        copy: Option<&View>,
        grad: Option<&View>,
    ) -> Result<(), Error> {
        let bounds = self.program.kernels.bounds();
        match too_near(param, copy, grad, bounds) {
            None => Ok(()),
            Some(parts) => {
                let part = |row: usize| match row {
                    crate::plan::PARAM => "parameter",
                    crate::plan::GRAD => "gradient",
                    _ => "copy",
                };
                let (name, alignment) = (name.to_owned(), bounds.alignment);
                Err(Error::TooNear { name, parts: parts.map(part), alignment })
            }
        }
    }

    /// A part of a parameter, in words, and where it is.
    pub(super) fn claimed(&self, part: Part, owner: usize) -> (String, &View) {
        let Param { name, view, copy, .. } = &self.model.params[owner];
        match part {
            Part::Param => (format!("parameter `{name}`"), view),
            Part::Grad => {
                let grad = self.model.grads[owner].view.as_ref();
                (format!("the gradient of `{name}`"), grad.unwrap_or(view))
            }
            Part::Copy => (format!("the copy of `{name}`"), copy.as_ref().unwrap_or(view)),
        }
    }
}

//! Parameters, and where the caller has them, their gradients and their copies.

use super::scalars::Block;
use super::{GroupId, Optimizer, Param, ParamId, Source, check, device};
use crate::claims::What;
use crate::error::Error;
use crate::num::Format;
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
    /// buffer of another device or of this optimizer's state, lengths that differ, state larger than
    /// a buffer may be, or a parameter that overlaps another parameter, any gradient or copy.
    pub fn add_param(
        &mut self,
        group: GroupId,
        name: &str,
        param: View,
        grad: View,
    ) -> Result<ParamId, Error> {
        let taken = self.steps_of(group)?.taken;
        if let Some(&other) = self.names.get(name) {
            let elements = self.params[other].param.len;
            return Err(Error::DuplicateName { name: name.to_owned(), elements });
        }
        let what = format!("parameter `{name}`");
        let of_grad = format!("gradient of `{name}`");
        self.check_view(&what, &param)?;
        self.check_view(&of_grad, &grad)?;
        check::lengths(name, &param, &grad)?;
        let master = self.groups[group.index].group.master.of(name, param.format)?;
        device::check_state(&self.device.limits(), &self.groups[group.index].group, name, &param)?;
        check::apart(&what, &param, &of_grad, &grad)?;
        self.refuse(What::Param, &what, &param)?;
        self.refuse(What::Grad, &of_grad, &grad)?;
        self.check_sum(name, &param)?;
        let block = self.block(Block { group: group.index, born: taken })?;

        let index = self.params.len();
        self.claims.claim(What::Param, index, &param);
        self.claims.claim(What::Grad, index, &grad);
        self.names.insert(name.to_owned(), index);
        let name = name.to_owned();
        let (copy, state) = (None, None);
        self.params.push(Param { name, block, param, grad, copy, master, state });
        self.replan();
        Ok(ParamId { optimizer: self.serial, index })
    }

    /// Takes a parameter's gradient from another place from the next step on, as frameworks need
    /// that allocate gradients anew. The same view again costs nothing.
    ///
    /// # Errors
    /// As for the gradient in [`Optimizer::add_param`]; then the old view stays.
    pub fn set_grad(&mut self, param: ParamId, grad: View) -> Result<(), Error> {
        let index = self.index_of(param)?;
        let Param { name, param: view, grad: old, .. } = &self.params[index];
        if *old == grad {
            return Ok(());
        }
        let what = format!("gradient of `{name}`");
        self.check_view(&what, &grad)?;
        check::lengths(name, view, &grad)?;
        // Its own old place is free, should it move to one that overlaps that.
        let old = old.clone();
        self.claims.release(What::Grad, index, &old);
        let found = self.refuse(What::Grad, &what, &grad);
        let now = if found.is_ok() { &grad } else { &old };
        self.claims.claim(What::Grad, index, now);
        found?;
        self.params[index].grad = grad;
        self.sums.forget();
        if self.source == Source::Grads {
            self.launches = None;
        }
        Ok(())
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
        let Param { name, param: view, copy: old, .. } = &self.params[index];
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
            device::check(&self.device.limits(), self.group_of(&self.params[index]), true)?;
            if view.len != copy.len {
                let (param, copy) = (view.len, copy.len);
                return Err(Error::CopyLength { name: name.clone(), param, copy });
            }
        }
        let old = old.clone();
        if let Some(old) = &old {
            self.claims.release(What::Copy, index, old);
        }
        let found = match &copy {
            Some(copy) => self.refuse(What::Copy, &what, copy),
            None => Ok(()),
        };
        if let Some(now) = if found.is_ok() { &copy } else { &old } {
            self.claims.claim(What::Copy, index, now);
        }
        found?;
        self.params[index].copy = copy;
        self.launches = None;
        Ok(())
    }

    /// A parameter by name.
    pub fn param(&self, name: &str) -> Option<ParamId> {
        let index = *self.names.get(name)?;
        Some(ParamId { optimizer: self.serial, index })
    }

    /// The names of all parameters, in the order they were added.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.params.iter().map(|param| param.name.as_str())
    }

    /// Whether a step could bind `view`.
    fn check_view(&self, what: &str, view: &View) -> Result<(), Error> {
        view.check(what, wgpu::BufferUsages::STORAGE)?;
        let what = || what.to_owned();
        if let Some(message) = self.kernels.unbindable(&view.buffer) {
            return Err(Error::ForeignBuffer { what: what(), message });
        }
        if self.pages.iter().any(|page| page.holds(&view.buffer)) {
            return Err(Error::OwnState { what: what() });
        }
        Ok(())
    }

    fn index_of(&self, param: ParamId) -> Result<usize, Error> {
        let known = param.optimizer == self.serial && param.index < self.params.len();
        let unknown =
            || self.unknown_param(&format!("number {} of another optimizer", param.index));
        known.then_some(param.index).ok_or_else(unknown)
    }

    pub(super) fn unknown_param(&self, name: &str) -> Error {
        let known: Vec<&str> = self.names().collect();
        Error::UnknownParam { name: name.to_owned(), known: check::quoted(&known) }
    }

    /// The error for overlapping something, if there is something.
    fn refuse(&self, as_what: What, what: &str, view: &View) -> Result<(), Error> {
        let Some((other, owner)) = self.claims.against(as_what, view, self.control.zero_grad)
        else {
            return Ok(());
        };
        let (other, at) = self.claimed(other, owner);
        Err(check::overlap(what, view, other, at))
    }

    /// What a parameter has somewhere, in words, and where.
    pub(super) fn claimed(&self, what: What, owner: usize) -> (String, &View) {
        let Param { name, param, grad, copy, .. } = &self.params[owner];
        match what {
            What::Param => (format!("parameter `{name}`"), param),
            What::Grad => (format!("the gradient of `{name}`"), grad),
            What::Copy => (format!("the copy of `{name}`"), copy.as_ref().unwrap_or(param)),
        }
    }

    /// After a change to what a step works on.
    pub(super) fn replan(&mut self) {
        self.launches = None;
        self.sums.forget();
    }
}

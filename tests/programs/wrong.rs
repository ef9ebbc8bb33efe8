//! Calls that must be refused, and then leave everything as it was.

use support::ByName;
use wgpu_optim::{Control, Error, Group, LossScale, Optimizer, Sgd, View};

use super::calls::{Change, SCALE_IS_NO_PARAMETER, set_grads};
use super::program::{Home, Wrong};
use super::rule::Rule;
use super::runner::{Outcome, Runner};
use super::store::Role;

impl Runner<'_> {
    /// Makes such a call about a parameter. The simulation does not hear of it.
    pub(crate) fn wrong(&mut self, what: Wrong, param: usize) -> Outcome {
        let before = self.options();
        let result = match what {
            Wrong::SameName
            | Wrong::OtherLength
            | Wrong::PastEnd
            | Wrong::Unaligned
            | Wrong::Empty
            | Wrong::ForeignGroup
            | Wrong::ParamOnParam
            | Wrong::ParamOnGrad
            | Wrong::ParamOnItself
            | Wrong::OwnState
            | Wrong::OwnScale => self.wrong_param(what, param)?,
            Wrong::GradOnParam | Wrong::GradLength | Wrong::ForeignParam | Wrong::OneOfSeveral => {
                self.wrong_grad(what, param)?
            }
            Wrong::CopyFormat | Wrong::CopyLength | Wrong::CopyOnParam => {
                self.wrong_copy(what, param)?
            }
            Wrong::Rate => Some(self.optimizer.set_lr(f64::NAN)),
            Wrong::GroupRate | Wrong::Slots => self.wrong_group(what, param),
            Wrong::Control => {
                let loss_scale = LossScale::Fixed(0.0);
                Some(self.optimizer.set_control(Control { loss_scale, ..Control::default() }))
            }
        };
        match result {
            Some(Ok(())) => Err("was not refused".to_owned()),
            Some(Err(_)) if self.options() != before => Err("changed options".to_owned()),
            _ => Ok(()),
        }
    }

    /// Everything that the optimizer tells without a device, in words.
    fn options(&self) -> String {
        let groups =
            self.groups.iter().map(|id| (self.optimizer.group(*id), self.optimizer.steps(*id)));
        let groups: Vec<_> = groups.collect();
        let names: Vec<&str> = self.optimizer.names().collect();
        format!("{groups:?} {:?} {names:?}", self.optimizer.control())
    }

    /// A gradient's place for so many elements.
    fn fresh(&mut self, role: Role, len: u64) -> Outcome<View> {
        let spot = self.store.place(Home::Own(1), role, wgpu_optim::Format::F32, len);
        let view = spot.map(|spot| self.store.view(&spot)).ok_or("no room")?;
        self.tell(|_| ());
        Ok(view)
    }

    fn wrong_param(&mut self, what: Wrong, param: usize) -> Outcome<Option<Result<(), Error>>> {
        let group = self.groups[0];
        let of = self.right().host.params[param].clone();
        let len = of.param.len;
        let (mut view, mut grad) = (self.fresh(Role::Param, len)?, self.fresh(Role::Grad, len)?);
        let mut name = "another".to_owned();
        let existing = self.store.view(&of.param);
        match what {
            Wrong::SameName => name = format!("w{param}"),
            Wrong::OtherLength => grad = self.fresh(Role::Grad, len + 1)?,
            Wrong::PastEnd => view.offset = view.buffer.size() - 4 * len + 4,
            Wrong::Unaligned => grad.offset += 2,
            Wrong::Empty => (view.len, grad.len) = (0, 0),
            Wrong::ParamOnParam => view = existing,
            Wrong::ParamOnItself => grad = view.clone(),
            Wrong::ParamOnGrad => {
                let Some(spot) = of.grad.filter(|grad| grad.bytes().0 % 4 == 0) else {
                    return Ok(None);
                };
                let elements = spot.words().len() as u64;
                view = View::f32_at(&self.store.buffers[spot.buffer], spot.bytes().0, elements);
                grad = self.fresh(Role::Grad, elements)?;
            }
            Wrong::OwnState => {
                let slots = self.right().host.groups[of.group].spec.rule.slots();
                let Some(slot) = slots.first() else { return Ok(None) };
                let state = self.optimizer.state_of(&format!("w{param}"), slot);
                view = state.map_err(|e| e.to_string())?;
            }
            Wrong::OwnScale => {
                let Some(scale) = self.optimizer.loss_scale() else { return Ok(None) };
                if !SCALE_IS_NO_PARAMETER {
                    return Ok(None);
                }
                (view, grad) = (scale, self.fresh(Role::Grad, 1)?);
            }
            Wrong::ForeignGroup => {
                let mut other = Optimizer::new(&self.device);
                let id = other.add_group(Group::sgd(1.0)).map_err(|e| e.to_string())?;
                return Ok(Some(self.optimizer.add_param(id, &name, view, grad).map(|_| ())));
            }
            _ => return Ok(None),
        }
        Ok(Some(self.optimizer.add_param(group, &name, view, grad).map(|_| ())))
    }

    fn wrong_grad(&mut self, what: Wrong, param: usize) -> Outcome<Option<Result<(), Error>>> {
        let id = self.params[param];
        let of = self.right().host.params[param].clone();
        let len = of.param.len;
        let existing = self.store.view(&of.param);
        let fresh = self.fresh(Role::Grad, len)?;
        let result = match what {
            Wrong::GradOnParam => self.optimizer.set_grad(id, existing),
            Wrong::GradLength => {
                let longer = self.fresh(Role::Grad, len + 1)?;
                self.optimizer.set_grad(id, longer)
            }
            Wrong::ForeignParam => {
                let mut other = Optimizer::new(&self.device);
                let words = |e: Error| e.to_string();
                let group = other.add_group(Group::sgd(1.0)).map_err(words)?;
                let (view, grad) = (self.fresh(Role::Param, len)?, self.fresh(Role::Grad, len)?);
                let foreign = other.add_param(group, "w0", view, grad).map_err(words)?;
                self.optimizer.set_grad(foreign, fresh)
            }
            _ => {
                let last = self.params.len() - 1;
                if last == param
                    || of.grad.is_none()
                    || self.right().host.params[last].grad.is_none()
                {
                    return Ok(None);
                }
                let changes = vec![
                    Change { id, new: Some(fresh) },
                    Change { id: self.params[last], new: Some(existing) },
                ];
                set_grads(&self.device, &mut self.optimizer, changes)
            }
        };
        Ok(Some(result))
    }

    fn wrong_copy(&mut self, what: Wrong, param: usize) -> Outcome<Option<Result<(), Error>>> {
        let of = self.right().host.params[param].clone();
        let len = of.param.len;
        let longer = self.fresh(Role::Copy, len + 1)?;
        let copy = match what {
            Wrong::CopyFormat => longer.range(0..len),
            Wrong::CopyLength => View::bf16(&longer.buffer).range(0..len + 1),
            _ => {
                let buffer = &self.store.buffers[of.param.buffer];
                View::bf16(buffer).range(2 * of.param.at..2 * of.param.at + len)
            }
        };
        Ok(Some(self.optimizer.set_copy(self.params[param], Some(copy))))
    }

    fn wrong_group(&mut self, what: Wrong, param: usize) -> Option<Result<(), Error>> {
        let index = self.right().host.params[param].group;
        let id = self.groups[index];
        let Rule::Sgd { momentum, .. } = self.right().host.groups[index].spec.rule else {
            let group = match what {
                Wrong::GroupRate => self.optimizer.group(id).ok()?.clone().lr(f64::INFINITY),
                _ => Group::new(0.1, Sgd::default()),
            };
            return Some(self.optimizer.set_group(id, group));
        };
        let other = if momentum == 0.0 { 0.5 } else { 0.0 };
        let group = match what {
            Wrong::GroupRate => self.optimizer.group(id).ok()?.clone().lr(-1.0),
            _ => Group::new(0.1, Sgd { momentum: other, ..Sgd::default() }),
        };
        Some(self.optimizer.set_group(id, group))
    }
}

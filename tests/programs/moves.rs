//! Where numbers lie, and how gradients move.

use wgpu_optim::{Control, Format};

use super::calls::{Change, GRADIENTS_MAY_BE_NONE, set_grads};
use super::memory::Spot;
use super::program::{Fill, Grad, Home, To};
use super::runner::{Outcome, Runner};
use super::store::Role;

impl Runner<'_> {
    /// A place, new or used, shared or not.
    pub(crate) fn place(
        &mut self,
        home: Home,
        role: Role,
        format: Format,
        len: u64,
    ) -> Option<Spot> {
        let host = &self.simulations[0].host;
        let taken = host.params.iter().flat_map(|param| param.spots());
        let found = match home {
            Home::Old(which, from) => self.store.old((which, from), format, len, taken),
            Home::Shared(with) if role == Role::Grad => {
                let shared = host.params.get(usize::from(with) % host.params.len().max(1));
                let spot = shared.and_then(|param| param.grad);
                spot.filter(|spot| spot.format == format && len <= spot.len)
                    .map(|spot| Spot { len, ..spot })
            }
            _ => None,
        };
        let found = found.filter(|_| !self.how.refills);
        // The places of parameters must not depend on how often gradients move.
        let home = match home {
            Home::Mixed(gap) if self.how.refills => Home::Arena(gap),
            home => home,
        };
        found.or_else(|| self.store.place(home, role, format, len))
    }

    pub(crate) fn add_param(&mut self, group: usize, len: u64, home: Home, grad: Grad) -> Outcome {
        let Some(param) = self.place(home, Role::Param, Format::F32, len) else { return Ok(()) };
        let Some(mut of) = self.place(grad.home, Role::Grad, grad.format, len) else {
            return Ok(());
        };
        let mut grads = self.right().grads();
        grads.push(Some(of));
        if of.overlaps(&param) {
            // Both found the same place.
            of = match self.store.place(Home::Arena(1), Role::Grad, grad.format, len) {
                Some(of) => of,
                None => return Ok(()),
            };
        }
        let must = self.right().clears_shared(&self.right().host.control, &grads);
        let name = format!("w{}", self.params.len());
        let (view, grad) = (self.store.view(&param), self.store.view(&of));
        let added = self.optimizer.add_param(self.groups[group], &name, view, grad);
        let id = added.as_ref().ok().copied();
        let done = self.refused_if(must, added.map(|_| ()))?;
        if let Some(id) = id.filter(|_| done) {
            self.params.push(id);
            self.tell(|simulation| simulation.add_param(group, param, of));
        }
        Ok(())
    }

    pub(crate) fn set_control(&mut self, control: Control) -> Outcome {
        let must = self.right().clears_shared(&control, &self.right().grads());
        let result = self.optimizer.set_control(control);
        if self.refused_if(must, result)? {
            self.tell(|simulation| simulation.set_control(control));
        }
        Ok(())
    }

    pub(crate) fn set_grad(&mut self, param: usize, to: Grad) -> Outcome {
        let Some(spot) = self.moved(param, to) else { return Ok(()) };
        let mut grads = self.right().grads();
        let old = grads[param].replace(spot);
        let must = self.right().clears_shared(&self.right().host.control, &grads);
        if self.how.moves || old.is_none() {
            let result = self.optimizer.set_grad(self.params[param], self.store.view(&spot));
            if self.refused_if(must, result)? {
                self.tell(|simulation| simulation.set_grad(param, Some(spot)));
                self.store.left.extend(old);
            }
        }
        self.refill()
    }

    /// Where a gradient moves.
    fn moved(&mut self, param: usize, to: Grad) -> Option<Spot> {
        let host = &self.right().host;
        let Spot { len, format, .. } = host.params[param].param;
        debug_assert_eq!(format, Format::F32);
        let format = match host.params[param].grad {
            Some(grad) if self.how.refills => grad.format,
            _ => to.format,
        };
        self.place(to.home, Role::Grad, format, len)
    }

    fn refill(&mut self) -> Outcome {
        let fill = Fill { seed: self.calls, size: 1.0, bad: None };
        if self.how.refills { self.fill(Some(&fill)) } else { Ok(()) }
    }

    pub(crate) fn set_grads(&mut self, moves: &[(u8, To)]) -> Outcome {
        let old = self.right().grads();
        let mut grads = old.clone();
        let mut named = vec![false; grads.len()];
        for (param, to) in moves {
            let param = usize::from(*param) % grads.len();
            if named[param] {
                continue;
            }
            match to {
                To::Place(grad) => {
                    let Some(spot) = self.moved(param, *grad) else { continue };
                    grads[param] = Some(spot);
                    named[param] = true;
                }
                To::Swap(other) => {
                    let other = usize::from(*other) % grads.len();
                    let (Some(one), Some(two)) = (grads[param], grads[other]) else { continue };
                    let formats = !self.how.refills || one.format == two.format;
                    if param != other && !named[other] && one.len == two.len && formats {
                        grads.swap(param, other);
                        (named[param], named[other]) = (true, true);
                    }
                }
                To::Nothing if GRADIENTS_MAY_BE_NONE => {
                    // A step without any gradient is another test's.
                    if grads.iter().flatten().count() > usize::from(grads[param].is_some()) {
                        (grads[param], named[param]) = (None, true);
                    }
                }
                To::Nothing => {}
            }
        }
        let must = self.right().clears_shared(&self.right().host.control, &grads);
        let view = |spot: &Option<Spot>| spot.as_ref().map(|spot| self.store.view(spot));
        let changed = (0..grads.len()).filter(|i| named[*i]);
        // Which have one and which do not is no move.
        let changed =
            changed.filter(|i| self.how.moves || grads[*i].is_none() != old[*i].is_none());
        let changed: Vec<usize> = changed.collect();
        let change = |i: &usize| Change { id: self.params[*i], new: view(&grads[*i]) };
        let changes = changed.iter().map(change).collect();
        let result = set_grads(&self.device, &mut self.optimizer, changes);
        if self.refused_if(must, result)? {
            self.tell(|simulation| {
                changed.iter().for_each(|i| simulation.set_grad(*i, grads[*i]));
            });
            let left = changed.iter().filter_map(|i| old[*i]);
            self.store.left.extend(left.filter(|spot| !grads.contains(&Some(*spot))));
        }
        self.refill()
    }
}

//! One step of the simulation.

use wgpu_optim::LossScale;

use super::memory::stored;
use super::mutation::Mutation;
use super::number::{Num, ULP};
use super::rule::Spec;
use super::simulation::{OFF, Outcome, Simulation, divisor, looks, norm, skips};

/// A loss scale does not fall below this.
const LEAST_SCALE: f64 = f32::MIN_POSITIVE as f64;

impl Simulation {
    pub(crate) fn step(&mut self) {
        let host = &mut self.host;
        host.recorded += 1;
        host.groups.iter_mut().for_each(|group| group.recorded += 1);
        for param in &mut host.params {
            let runs = param.grad.is_some() || self.wrong == Some(Mutation::NoneClockRuns);
            param.recorded += u64::from(runs);
            param.pending += u64::from(runs);
        }
        let (added, step) = (std::mem::take(&mut host.added), host.step);
        host.step += 1;
        if self.idle {
            return;
        }
        let raw = self.gradients(added, step);
        let control = self.host.control;
        if added == 0 || self.is(Mutation::ClearedWithSums) {
            self.clear_grads();
        }
        let bad = |grad: &Option<Vec<Num>>| grad.iter().flatten().any(|g| !g.x.is_finite());
        let first = raw.iter().position(bad);
        let grads = self.unscaled(raw, added);
        let all = grads.iter().flatten().flatten();
        let norm = match self.is(Mutation::LargestForEuclidean) {
            true => norm(wgpu_optim::Norm::Largest, all),
            false if self.is(Mutation::ClipOfOneParameter) => {
                norm(control.norm, grads.iter().flatten().take(1).flatten())
            }
            false => norm(control.norm, all),
        };
        let mut coefficient = Num::exact(1.0);
        if let Some(most) = control.clip_norm {
            coefficient = limited(most, norm);
        }
        let skip = first.is_some() && skips(&control) && !self.is(Mutation::NothingSkipped);
        if skip {
            self.skip(&grads);
        } else {
            let factor = match self.is(Mutation::ClipIgnored) {
                true => Num::exact(1.0),
                false => coefficient,
            };
            self.take(&grads, factor);
        }
        if self.host.counts {
            self.rescale(first.is_some());
            let taken = self.host.recorded - self.next.skipped;
            let (looked, version) = (looks(&control), self.host.version);
            let last = Outcome { norm, coefficient, first, taken, looked, version };
            // A step that does not look leaves what the last one saw, but for the counts.
            self.next.last = match self.next.last {
                Some(old) if !looked => Some(Outcome { taken, looked, version, ..old }),
                None if !looked => None,
                _ => Some(last),
            };
        }
    }

    /// The gradients of the step: the numbers where gradients lie, or their sums.
    fn gradients(&self, added: u32, step: u64) -> Vec<Option<Vec<Num>>> {
        let mut grads = self.load_grads();
        let params = self.host.params.iter().zip(&self.next.params);
        for (grad, (param, numbers)) in grads.iter_mut().zip(params) {
            if let Some(grad) = grad
                && added > 0
            {
                let sums = self.next.sums_for == step;
                match sums {
                    true => grad.clone_from(&numbers.sum),
                    false => grad.fill(Num::ZERO),
                }
            }
            if grad.is_none() && self.is(Mutation::NoneIsZero) {
                *grad = Some(vec![Num::ZERO; param.param.len as usize]);
            }
        }
        grads
    }

    /// Gradients without loss scale, their mean if they were added up, and clipped by value.
    fn unscaled(&self, raw: Vec<Option<Vec<Num>>>, added: u32) -> Vec<Option<Vec<Num>>> {
        let control = &self.host.control;
        let scale = if self.is(Mutation::ScaleIgnored) { 1.0 } else { self.scale() };
        let added = match self.wrong {
            Some(Mutation::SumForMean) => 1,
            Some(Mutation::MeanOfSubmitted) => added.min(self.next.parts),
            _ => added,
        };
        let by = scale * divisor(control, added);
        let exact = by.log2().fract() == 0.0;
        let inverse = Num { x: 1.0 / by, e: if exact { 0.0 } else { 4.0 * ULP / by } };
        let change = |g: Num| {
            let Some(mut limit) = control.clip_value else { return g * inverse };
            if self.is(Mutation::ClipBeforeScale) {
                limit /= by;
            }
            let g = g * inverse;
            let e = g.e + 4.0 * ULP * limit;
            if g.x.is_nan() || g.x.abs() + e < limit {
                return g;
            }
            Num {
                x: g.x.clamp(-limit, limit),
                e: if g.e.is_finite() { e } else { 4.0 * ULP * limit },
            }
        };
        let all = |grad: Vec<Num>| grad.into_iter().map(change).collect();
        raw.into_iter().map(|grad| grad.map(all)).collect()
    }

    /// The loss scale of the next step's gradients.
    pub(crate) fn scale(&self) -> f64 {
        match self.host.control.loss_scale {
            LossScale::Fixed(scale) => scale,
            LossScale::Dynamic { init, .. } if self.is(Mutation::ScaleAtOnce) => {
                if self.next.scales == self.host.scales { self.next.scale } else { init }
            }
            LossScale::Dynamic { .. } => self.next.scale,
            other => panic!("{other:?} is not simulated"),
        }
    }

    fn skip(&mut self, grads: &[Option<Vec<Num>>]) {
        if self.is(Mutation::SkippedCounts) {
            return;
        }
        let forgets = self.is(Mutation::SkippedForgets);
        self.next.skipped += 1;
        for (numbers, _) in self.next.params.iter_mut().zip(grads).filter(|(_, g)| g.is_some()) {
            numbers.skipped += 1;
            if forgets {
                numbers.slots.iter_mut().for_each(|slot| slot.fill(Num::ZERO));
            }
        }
    }

    fn take(&mut self, grads: &[Option<Vec<Num>>], coefficient: Num) {
        let wrong = self.wrong;
        let world = &mut self.next;
        for (i, grad) in grads.iter().enumerate() {
            let Some(grad) = grad else { continue };
            let param = &self.host.params[i];
            let group = &self.host.groups[param.group];
            let numbers = &mut world.params[i];
            let recorded = match wrong {
                Some(Mutation::ClockOfGroup) => group.recorded,
                _ => param.recorded,
            };
            // A mistake may have it before its first step.
            let t = recorded.saturating_sub(numbers.skipped).max(1);
            let mut spec = group.spec.clone();
            match wrong {
                Some(Mutation::RateOfFirstGroup) => spec.lr = self.host.groups[0].spec.lr,
                Some(Mutation::MaximizeIgnored) => spec.maximize = false,
                Some(Mutation::DecayCoupled) => spec.decoupled = false,
                _ => {}
            }
            let mut kept = vec![Num::ZERO; numbers.slots.len()];
            for (j, g) in grad.iter().enumerate() {
                for (kept, slot) in kept.iter_mut().zip(&numbers.slots) {
                    *kept = slot[j];
                }
                let old = numbers.value[j];
                let new = update(&spec, old, *g * coefficient, &mut kept, t, wrong);
                numbers.value[j] = new;
                for (kept, slot) in kept.iter().zip(&mut numbers.slots) {
                    slot[j] = *kept;
                }
                if let (Some(decay), Some(ema)) = (spec.ema, numbers.ema.get_mut(j)) {
                    let debias = 1.0 - decay.powf(t as f64);
                    let gain = match wrong {
                        Some(Mutation::EmaWithoutDebias) => 1.0 - decay,
                        _ => (1.0 - decay) / debias,
                    };
                    let of = if wrong == Some(Mutation::EmaOfOldParameter) { old } else { new };
                    *ema = *ema + Num::scalar(gain) * (of - *ema);
                }
            }
            numbers.copied = param.copy;
            if let Some(spot) = param.copy {
                let values = numbers.value.iter().map(|x| stored(spot.format, *x)).collect();
                world.memory[spot.buffer].mark(&spot);
                match world.copies.iter_mut().find(|(known, _)| *known == spot) {
                    Some(known) => known.1 = values,
                    None => world.copies.push((spot, values)),
                }
            }
        }
    }

    /// The loss scale after a step.
    fn rescale(&mut self, bad: bool) {
        let scale = self.scale();
        let late = u32::from(self.is(Mutation::GrowthIsLate));
        let (host, world) = (&self.host, &mut self.next);
        world.scale = scale;
        if let LossScale::Dynamic { init, growth, backoff, interval } = host.control.loss_scale {
            world.good += 1;
            if bad {
                world.scale = (scale * backoff).max(LEAST_SCALE);
                world.good = 0;
            } else if world.good >= interval + late {
                let grown = scale * growth;
                world.scale = if grown <= f64::from(f32::MAX) { grown } else { scale };
                world.good = 0;
            }
            if world.scales != host.scales {
                (world.scale, world.good) = (init, 0);
            }
        }
        world.scales = host.scales;
    }
}

/// The factor of gradients that are clipped to a norm.
fn limited(most: f64, norm: Num) -> Num {
    let x = most / (norm.x + 1e-6);
    if x.is_nan() {
        return Num { x, e: 0.0 };
    }
    if norm.x.is_infinite() || x == 0.0 {
        return Num::ZERO;
    }
    let off = x * (norm.e / (norm.x + 1e-6) + OFF);
    match x {
        x if x - off > 1.0 => Num::exact(1.0),
        x => Num { x: x.min(1.0), e: off },
    }
}

/// One element's step.
fn update(spec: &Spec, p: Num, g: Num, kept: &mut [Num], t: u64, wrong: Option<Mutation>) -> Num {
    let g = if spec.maximize { Num::ZERO - g } else { g };
    let (l2, decay) = if spec.decoupled { (0.0, spec.decay) } else { (spec.decay, 0.0) };
    let g = g + Num::scalar(l2) * p;
    let u = spec.rule.direction(g, kept, t, wrong);
    p - (Num::scalar(spec.lr) * u + Num::scalar(spec.lr * decay) * p)
}

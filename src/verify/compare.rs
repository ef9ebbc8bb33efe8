//! This module compares one step of one view with the formula.

use super::blocks::{Encoded, codes};
use super::spot::{Numbered, Spot};
use super::{Case, Row};
use crate::control::Control;
use crate::cpu::Controller;
use crate::error::Error;
use crate::group::Group;
use crate::num::{Format, Master, Number, OneStep};
use crate::rule::{MAX_SLOTS, Past};

/// The relative error that a norm, a coefficient or a sum's share may have. `docs/NUMERICS.md` derives it.
const COEFFICIENT: f64 = 64.0 / (1_u64 << 24) as f64;

/// The gradients that rules see, in f64, with the bound of the gradients that a kernel computes.
pub(super) struct Seen {
    case: Case,
    controller: Controller,
    /// The sums of gradients, view by view, if a step adds up several.
    sums: Vec<Vec<OneStep>>,
}

impl Seen {
    pub(super) fn new(case: &Case) -> Result<Self, Error> {
        let controller = Controller::new(case.control)?;
        Ok(Self { case: case.clone(), controller, sums: Vec::new() })
    }

    /// Adds one gradient to those of the next step.
    pub(super) fn add(&mut self, grads: &[Vec<f32>]) {
        let loaded = |g: &f32| OneStep::loaded(*g);
        if self.sums.is_empty() {
            self.sums = grads.iter().map(|grad| grad.iter().map(loaded).collect()).collect();
            return;
        }
        let pairs = self.sums.iter_mut().flatten().zip(grads.iter().flatten());
        pairs.for_each(|(sum, g)| *sum = *sum + loaded(g));
    }

    /// Returns whether a step is taken for which `added` gradients were added up, and its gradients.
    pub(super) fn take(&mut self, added: u32) -> (bool, Vec<Vec<OneStep>>) {
        let sums = std::mem::take(&mut self.sums);
        let values = |sums: &[OneStep]| sums.iter().map(|sum| sum.value).collect::<Vec<f64>>();
        let mut grads: Vec<Vec<f64>> = sums.iter().map(|sums| values(sums)).collect();
        let untouched = Control { zero_grad: false, ..self.case.control } == Control::default();
        if added == 0 && untouched {
            return (true, sums);
        }
        let share = 1.0 / self.case.control.divisor(added);
        let scale = self.controller.stats(&[]).loss_scale;
        grads.iter_mut().flatten().for_each(|g| *g *= share);
        let takes = self.controller.apply(&mut grads);
        let coefficient = self.controller.stats(&[]).coefficient;
        let limits = self.case.control.clip_value.map(|most| [-most, most].map(OneStep::scalar));
        let seen = grads.iter().zip(&sums).map(|(grads, sums)| {
            let pairs = grads.iter().zip(sums);
            let bounded = pairs.map(|(&value, sum)| {
                let [scaled, error] = [sum.value, sum.error].map(|x| x * share / scale);
                let scaled = OneStep { value: scaled, error };
                // A gradient beyond its limit becomes the limit, which is exact, however inexact the sum was.
                let limited = limits.map_or(scaled, |[low, high]| scaled.clamp(low, high));
                let brought = coefficient * limited.error * (1.0 + COEFFICIENT);
                let own = value.abs() * COEFFICIENT + f64::from(f32::MIN_POSITIVE);
                OneStep { value, error: brought + own }
            });
            bounded.collect()
        });
        (takes, seen.collect())
    }
}

/// A step of one view.
pub(super) struct Step<'a> {
    pub(super) spot: &'a Spot,
    pub(super) group: &'a Group,
    /// The number of the step among the recorded steps.
    pub(super) step: u64,
    /// The number of the step among the taken steps.
    pub(super) taken: u64,
    /// The rule's memory of the learning rates, if it does not follow from that number.
    pub(super) past: Option<Past>,
}

impl Step<'_> {
    /// Compares the numbers that a step has written with the formula.
    pub(super) fn compare(
        &self,
        row: &mut Row,
        grads: &[OneStep],
        before: &Numbered,
        after: &Numbered,
    ) {
        let Self { spot, group, taken, past, .. } = self;
        let group = group.now(*taken);
        let at = group.at(*taken, *past);
        let format = spot.param.format;
        let master = group.master.of(&spot.name, format).unwrap_or_default();
        let mut state = [OneStep::loaded(0.0); MAX_SLOTS];
        let state = &mut state[..before.slots.len()];
        let formats: Vec<_> =
            group.rule.slots().iter().map(|slot| slot.format(&group.state_format)).collect();
        let mut blocks: Vec<Vec<OneStep>> = vec![Vec::new(); state.len()];
        for i in 0..grads.len() {
            for (number, slot) in state.iter_mut().zip(&before.slots) {
                *number = OneStep::loaded(slot[i]);
            }
            let p = OneStep::loaded(before.weight[i]);
            let p = group.update(p, grads[i], state, at);
            let mut column = 0..;
            let mut hold = |ratio: Option<f64>, is: f32, expected: &dyn std::fmt::Debug| {
                self.hold(row, column.next().unwrap_or(0), i, ratio, is, expected);
            };
            let is = after.weight[i];
            match (master, group.stochastic_rounding) {
                (Master::None, Some(seed)) if format != Format::F32 => {
                    hold(self.dithered(p, seed, i, is), is, &p);
                }
                (Master::None, _) => hold(ratio(p.stored(format), is), is, &p.stored(format)),
                _ => {
                    let rounded = rounded(master, format, is);
                    let same = rounded.to_bits() == after.param[i].to_bits();
                    hold(if same { ratio(p, is) } else { Some(f64::INFINITY) }, is, &p);
                }
            }
            for (k, (number, slot)) in state.iter().zip(&after.slots).enumerate() {
                if after.scales[k].is_some() {
                    blocks[k].push(*number); // compared when the block is complete
                    hold(Some(0.0), slot[i], number);
                    continue;
                }
                let expected = number.stored(formats[k].plain().unwrap_or_default());
                hold(ratio(expected, slot[i]), slot[i], &expected);
            }
            if let (Some(old), Some(new)) = (&before.ema, &after.ema) {
                let (old, weight) = (OneStep::loaded(old[i]), OneStep::loaded(is));
                let expected = group.average(old, weight, *taken);
                hold(ratio(expected, new[i]), new[i], &expected);
            }
            if let (Some(copy), Some(view)) = (&after.copy, &spot.copy) {
                let expected = view.format.decode(view.format.encode(is));
                let same = expected.to_bits() == copy[i].to_bits();
                hold(Some(if same { 0.0 } else { f64::INFINITY }), copy[i], &expected);
            }
        }
        self.compare_blocks(row, &blocks, after);
    }

    /// Compares the slots in blocks, of which a step by the formula gives `expected`.
    fn compare_blocks(&self, row: &mut Row, expected: &[Vec<OneStep>], after: &Numbered) {
        for (k, code) in codes(&self.group.now(self.taken)).into_iter().enumerate() {
            let (Some(code), Some(scales)) = (code, &after.scales[k]) else { continue };
            let first = self.spot.param.at() as u32;
            let seed = self.group.stochastic_state;
            let random = seed.map(|seed| (seed, self.step, k as u32, first));
            let encoded = Encoded { code, scales, numbers: &after.slots[k], random };
            for (i, x) in expected[k].iter().enumerate() {
                // The column of the parameter comes first. The number is counted already.
                row.compared -= 1;
                let is = after.slots[k][i];
                self.hold(row, 1 + k, i, encoded.ratio(i, &expected[k]), is, x);
            }
        }
    }

    /// Checks that a skipped step has changed no bit.
    pub(super) fn same(&self, row: &mut Row, before: &Numbered, after: &Numbered) {
        let all = |of: &Numbered| -> Vec<Vec<f32>> {
            let weight = std::iter::once(&of.weight).chain(&of.slots);
            weight.chain(&of.ema).chain(&of.copy).cloned().collect()
        };
        for (column, (before, after)) in all(before).iter().zip(all(after)).enumerate() {
            for (i, (was, is)) in before.iter().zip(after).enumerate() {
                let same = was.to_bits() == is.to_bits();
                self.hold(row, column, i, Some(if same { 0.0 } else { f64::INFINITY }), is, was);
            }
        }
    }

    /// Whether some number within the bound is rounded at random to `is`.
    fn dithered(&self, p: OneStep, seed: u64, i: usize, is: f32) -> Option<f64> {
        if !p.is_bounded() {
            return None;
        }
        let format = self.spot.param.format;
        let element = self.spot.param.at() as u32 + i as u32;
        let round = |x: f64| {
            let dithered = format.dither(x as f32, seed, self.step, element);
            format.decode(format.encode(dithered))
        };
        // Rounding is monotonic for the same random bits. A number between two f32s goes to either.
        let low = round(f64::from(((p.value - p.error) as f32).next_down()));
        let high = round(f64::from(((p.value + p.error) as f32).next_up()));
        Some(if (low..=high).contains(&is) { 0.0 } else { f64::INFINITY })
    }

    /// Enters a comparison. There is no ratio if WGSL promises nothing.
    fn hold(
        &self,
        row: &mut Row,
        column: usize,
        i: usize,
        ratio: Option<f64>,
        is: f32,
        expected: &dyn std::fmt::Debug,
    ) {
        row.compared += 1;
        let Some(ratio) = ratio else {
            row.unbounded += 1;
            return;
        };
        let worst = &mut row.worst[column];
        if ratio > worst.ratio {
            worst.ratio = ratio;
            let (name, step) = (&self.spot.name, self.step);
            worst.place =
                format!("element {i} of `{name}` at step {step}: {is:e} in place of {expected:?}");
        }
    }
}

/// The part of a master that the parameter shows.
fn rounded(master: Master, format: Format, whole: f32) -> f32 {
    match master {
        Master::Remainder => f32::from_bits((whole.to_bits() + 0x8000) & 0xffff_0000),
        _ => format.decode(format.encode(whole)),
    }
}

/// The error in bounds, if WGSL promises a bound.
fn ratio(expected: OneStep, is: f32) -> Option<f64> {
    expected.is_bounded().then(|| expected.ratio(is))
}

//! Compares downloads from the device with the simulation.

use wgpu_optim::{LossScale, Stats};

use super::calls::{BLAME_LASTS, STATS_NEED_A_STEP};
use super::memory::{load, rounded};
use super::number::Num;
use super::simulation::{Numbers, Simulation};

/// Downloads from the device.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Every buffer.
    pub(crate) words: Vec<Vec<u32>>,
    /// Slots and average of every parameter.
    pub(crate) kept: Vec<Kept>,
    /// The dynamic loss scale.
    pub(crate) scale: Option<f32>,
}

#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) slots: Vec<Vec<f32>>,
    pub(crate) ema: Option<Vec<f32>>,
}

/// How many numbers were compared, and how many of those could be almost anything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) compared: u64,
    pub(crate) vague: u64,
}

impl Simulation {
    /// Returns the first number or byte of a download that is wrong, in words.
    pub(crate) fn check(&self, found: &Observed, tally: &mut Tally) -> Result<(), String> {
        self.check_memory(found)?;
        for (i, numbers) in self.done.params.iter().enumerate() {
            let spot = &self.host.params[i].param;
            let values = load(&found.words[spot.buffer], spot);
            compare(tally, &format!("parameter {i}"), &numbers.value, &values)?;
            self.check_kept(i, numbers, &found.kept[i], tally)?;
            if let Some(copy) = &numbers.copied {
                let is = load(&found.words[copy.buffer], copy);
                for (j, (x, is)) in values.iter().zip(is).enumerate() {
                    let must = rounded(copy.format, *x);
                    if must.to_bits() != is.to_bits() && !(must.is_nan() && is.is_nan()) {
                        return Err(format!("copy of {i}[{j}]: {is} in place of {must} for {x}"));
                    }
                }
            }
        }
        for (spot, values) in &self.done.copies {
            let found = load(&found.words[spot.buffer], spot);
            compare(tally, &format!("copy at {spot:?}"), values, &found)?;
        }
        let dynamic = matches!(self.host.control.loss_scale, LossScale::Dynamic { .. });
        match found.scale {
            Some(scale) => near("loss_scale()", scale.into(), self.done.scale, 1e-5),
            None if dynamic => Err("loss_scale() is None".to_owned()),
            None => Ok(()),
        }
    }

    /// Whether everything that no step computes has its bytes.
    fn check_memory(&self, found: &Observed) -> Result<(), String> {
        for (buffer, (memory, found)) in self.done.memory.iter().zip(&found.words).enumerate() {
            for (word, (is, must)) in found.iter().zip(&memory.words).enumerate() {
                let halves = &memory.computed[2 * word..2 * word + 2];
                let mask = halves
                    .iter()
                    .rev()
                    .fold(0, |mask, computed| mask << 16 | if *computed { 0 } else { 0xffff_u32 });
                if (is ^ must) & mask != 0 {
                    let place = self.whose(buffer, word as u64);
                    return Err(format!(
                        "buffer {buffer}, word {word} ({place}): {is:#010x} in place of {must:#010x}"
                    ));
                }
            }
        }
        Ok(())
    }

    fn whose(&self, buffer: usize, word: u64) -> String {
        let has = |spot: &super::memory::Spot| {
            spot.buffer == buffer && spot.words().contains(&(word as usize))
        };
        let found = self.host.params.iter().position(|param| param.spots().any(has));
        found.map_or("between views".to_owned(), |i| format!("of parameter {i}"))
    }

    fn check_kept(
        &self,
        i: usize,
        numbers: &Numbers,
        found: &Kept,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let spec = &self.host.groups[self.host.params[i].group].spec;
        for ((name, values), found) in
            spec.rule.slots().iter().zip(&numbers.slots).zip(&found.slots)
        {
            compare(tally, &format!("{name} of {i}"), values, found)?;
        }
        match &found.ema {
            Some(found) => compare(tally, &format!("average of {i}"), &numbers.ema, found),
            None => Ok(()),
        }
    }

    /// Returns the first statistic that is wrong, in words.
    pub(crate) fn check_stats(&self, found: Option<&Stats>) -> Result<(), String> {
        let Some(last) = self.done.last else {
            let must_not = STATS_NEED_A_STEP || !self.host.counts;
            return match found {
                Some(stats) if must_not => Err(format!("{stats:?} before any step looked")),
                _ => Ok(()),
            };
        };
        let Some(stats) = found else { return Err("no statistics".to_owned()) };
        let at_most = self.host.recorded - self.done.skipped;
        if ![last.taken, at_most].contains(&stats.taken) || stats.skipped != self.done.skipped {
            let (taken, skipped) = (last.taken, self.done.skipped);
            return Err(format!("{stats:?}: {taken} were taken, {skipped} skipped"));
        }
        let mut scale = near("stats: loss scale", stats.loss_scale, self.done.scale, 1e-5);
        if let LossScale::Fixed(fixed) = self.host.control.loss_scale
            && stats.loss_scale == f64::from(fixed as f32)
        {
            scale = Ok(());
        }
        scale?;
        if !last.looked || !BLAME_LASTS && last.version != self.host.version {
            return Ok(());
        }
        let first = last.first.map(|i| format!("w{i}"));
        if stats.nonfinite != first {
            return Err(format!("{stats:?}: the first with Inf or NaN is {first:?}"));
        }
        for (what, is, must) in
            [("norm", stats.norm, last.norm), ("coefficient", stats.coefficient, last.coefficient)]
        {
            if !must.allows(is as f32) {
                return Err(format!("{stats:?}: {what} in place of {must:?}"));
            }
        }
        Ok(())
    }
}

fn near(what: &str, is: f64, must: f64, relative: f64) -> Result<(), String> {
    let off = (is - must).abs();
    if off <= relative * must.abs() { Ok(()) } else { Err(format!("{what}: {is} for {must}")) }
}

fn compare(tally: &mut Tally, what: &str, values: &[Num], found: &[f32]) -> Result<(), String> {
    tally.compared += values.len() as u64;
    tally.vague += values.iter().filter(|value| value.is_vague()).count() as u64;
    if values.len() != found.len() {
        return Err(format!("{what}: {} numbers for {}", found.len(), values.len()));
    }
    let mut pairs = values.iter().zip(found).enumerate();
    match pairs.find(|(_, (value, found))| !value.allows(**found)) {
        Some((j, (value, found))) => {
            let (x, e) = (value.x, value.e);
            let off = (f64::from(*found) - x).abs();
            Err(format!("{what}[{j}]: {found} in place of {x}, {off:.1e} off, allowed {e:.1e}"))
        }
        None => Ok(()),
    }
}

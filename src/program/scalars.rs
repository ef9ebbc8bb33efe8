//! This module computes the scalars of a step, block by block.

use crate::control::Control;
use crate::group::{DRIVER_SCALARS, DriverScalars};
use crate::kernel::BLOCK_WORDS;
use crate::model::{GroupState, Model};
use crate::num::noise;
use crate::rule::Past;

/// The arguments of one step that are not options.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepArgs {
    /// The factor by which the buffers exceed the step's gradients, which is above 1 if a step takes the mean of a
    /// sum.
    pub(super) multiplied: f64,
    /// The sums that the step takes.
    pub(super) sums: u32,
}

impl StepArgs {
    /// The arguments of a step whose buffers hold `multiplied` times the gradients.
    pub(super) fn of(model: &Model, multiplied: f64) -> Self {
        let sums = if *model.sums.taken { model.sums.generation } else { 0 };
        Self { multiplied, sums }
    }
}

/// The step of a cohort.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The number of the cohort's step.
    pub(super) t: u64,
    /// The steps that the cohort's group took without the cohort.
    pub(super) missed: u64,
    /// The rule's memory of the learning rates, if it does not follow from t.
    pub(super) past: Option<Past>,
}

/// Computes the scalars of a cohort at a step, as bits. Without `control`, the scalars leave gradients as they are,
/// because gradients need no scaling or `prepare` scales them.
pub(super) fn block(
    of: &GroupState,
    Step { t, missed, past }: Step,
    args: StepArgs,
    control: Option<&Control>,
) -> [u32; BLOCK_WORDS] {
    let GroupState { group, declared, .. } = of;
    let group = group.now(t + missed);
    let mut scalars = [0.0; BLOCK_WORDS];
    let (driver, hyper) = scalars.split_at_mut(DRIVER_SCALARS);
    let mut own = group.driver_scalars(t, control.map(|control| (control, args.multiplied)));
    own.start = declared.starts.map(|start| start.number(group.lr));
    own.sums = f64::from(args.sums);
    if let Some(seed) = group.stochastic_rounding {
        own.noise = noise::key(seed, t).map(f64::from);
    }
    if let Some(seed) = group.stochastic_state {
        own.state_noise = noise::state_key(seed, t).into();
    }
    driver.copy_from_slice(&own.words());
    group.rule.scalars(group.at(t, past), &mut hyper[..declared.scalars]);
    scalars.map(|scalar| (scalar as f32).to_bits())
}

/// Appends the scalars of every cohort at the step that its clock has just counted.
pub(super) fn write(model: &Model, args: StepArgs, control: Option<&Control>, into: &mut Vec<u32>) {
    for cohort in model.cohorts.all() {
        let steps = model.steps_of(cohort);
        if cohort.members == 0 || !cohort.is_running() || steps == 0 {
            // A kernel reads at most the word `skip` of this block.
            into.extend([0; BLOCK_WORDS]);
            continue;
        }
        let state = &model.groups[cohort.group];
        let missed = model.missed(cohort);
        // A group remembers the rates of its own steps. Parameters that have not taken part in all of them go by the
        // present rate.
        let past = state.past.filter(|_| missed == 0);
        into.extend(block(state, Step { t: steps, missed, past }, args, control));
    }
}

/// Appends the blocks of the kernel `blend`: for each cohort the weight of its move, and whether it has taken no step,
/// as far as the host knows.
pub(super) fn write_blend(model: &Model, to_average: bool, into: &mut Vec<u32>) {
    for cohort in model.cohorts.all() {
        let average = model.groups[cohort.group].group.rule.average();
        let weight =
            average.map_or(0.0, |average| if to_average { average.eval } else { average.train });
        let first = if model.steps_of(cohort) == 0 { 1.0 } else { 0.0 };
        let words = DriverScalars { lr: weight, first, ..DriverScalars::default() }.words();
        into.extend(words.map(|word| (word as f32).to_bits()));
        into.extend([0; BLOCK_WORDS - DRIVER_SCALARS]);
    }
}

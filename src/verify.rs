//! This module checks an adapter: it runs every rule on the adapter, and compares the numbers with the f64 reference.
//!
//! Each step starts from the numbers that the device itself has written. So every step of every element is a test of
//! its own, and its bound is that of a single step ([`OneStep`](crate::OneStep)). The bound is derived from WGSL's
//! accuracy table, relative to the operands, and never tuned. `docs/NUMERICS.md` has the reasons and the figures.

mod blocks;
mod cases;
mod compare;
mod layout;
mod long;
mod numbers;
mod spot;

pub use blocks::block_cases;
pub use cases::{Case, cases};
use compare::{Seen, Step};
use layout::Layout;
pub use long::{long_run, long_run_of};
use numbers::Numbers;
use spot::Spot;

use crate::error::Error;
use crate::group::{Group, all_groups};
use crate::headless::Gpu;
use crate::optimizer::Optimizer;
use crate::rule::Memory;

/// The findings of [`verify`] on one adapter.
#[derive(Clone, Debug)]
pub struct Report {
    /// The adapter, its driver, and whether it is software.
    pub adapter: String,
    /// One row for each case.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether every row is within its bounds.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(Row::passed)
    }

    /// The worst |Δ| / bound of all rows.
    pub fn worst(&self) -> f64 {
        self.rows.iter().flat_map(|row| &row.worst).map(|worst| worst.ratio).fold(0.0, f64::max)
    }
}

/// The findings for one group: a rule with its options.
#[derive(Clone, Debug)]
pub struct Row {
    /// The rule, its switches and its kind of weight decay; several rows may share it.
    pub group: String,
    /// The rule with all its options.
    pub rule: String,
    /// The count of compared numbers: elements × steps × numbers that a step writes of each element.
    pub compared: u64,
    /// The count of compared numbers for which WGSL promises nothing, as after a division by a subnormal.
    pub unbounded: u64,
    /// The worst |Δ| / bound of the parameter, of each slot, and of each other number that the step writes.
    pub worst: Vec<Worst>,
    /// The count of changed bytes outside every parameter. Each of them is an error.
    pub strays: u64,
}

impl Row {
    /// Whether every number was within its bound, no byte was changed by mistake, and at most one number in a thousand
    /// had no bound.
    pub fn passed(&self) -> bool {
        let within = self.worst.iter().all(|worst| worst.ratio <= 1.0);
        within && self.strays == 0 && self.unbounded * 1000 <= self.compared
    }
}

/// The place where |Δ| / bound was largest.
#[derive(Clone, Debug, Default)]
pub struct Worst {
    /// The kind of number: `param`, the slot's PyTorch name, `ema` or `copy`.
    pub what: String,
    /// |Δ| / bound. Above 1, the kernel is wrong.
    pub ratio: f64,
    /// The element, its view and the step, in words.
    pub place: String,
}

/// Runs every rule in every variant on `gpu`, over a spread of lengths and offsets, and compares every number of every
/// step with the reference. Calls `done` with each row when it is finished.
///
/// # Errors
/// If the device lacks something or fails. The report has wrong results, which are no errors.
pub fn verify(gpu: &Gpu, mut done: impl FnMut(&Row)) -> Result<Report, Error> {
    let mut rows = Vec::new();
    for case in cases().into_iter().chain(block_cases()) {
        let row = verify_case(gpu, &case)?;
        done(&row);
        rows.push(row);
    }
    let row = long_run(gpu)?;
    done(&row);
    rows.push(row);
    Ok(Report { adapter: gpu.describe(), rows })
}

/// The number of rows that [`verify`] has.
pub fn rows() -> usize {
    cases().len() + block_cases().len() + long::ROWS
}

/// Every group that [`verify`] runs in f32: all variants of all rules.
pub fn groups() -> Vec<Group> {
    all_groups()
}

/// Makes one row of [`verify`] for any group, also one with a rule of your own.
///
/// # Errors
/// As [`verify`].
pub fn verify_group(gpu: &Gpu, group: &Group) -> Result<Row, Error> {
    verify_case(gpu, &Case::new(group.clone()))
}

/// Makes one row of [`verify`] for a case.
///
/// # Errors
/// As [`verify`].
pub fn verify_case(gpu: &Gpu, case: &Case) -> Result<Row, Error> {
    let worst = case.compared().map(|what| Worst { what: what.to_owned(), ..Worst::default() });
    let rule = format!("{:?}", case.group.rule);
    let worst = worst.collect();
    let mut row = Row { group: case.label(), rule, compared: 0, unbounded: 0, worst, strays: 0 };
    let [small, long] = case.steps();
    run(gpu, case, Layout::small(gpu, case)?, small, &mut row)?;
    run(gpu, case, Layout::long(gpu, case)?, long, &mut row)?;
    Ok(row)
}

fn run(gpu: &Gpu, case: &Case, layout: Layout, steps: u64, row: &mut Row) -> Result<(), Error> {
    let Case { group, .. } = case;
    let mut optimizer = Optimizer::new(&gpu.device);
    optimizer.set_control(case.control)?;
    // A second group gives tables several blocks of scalars to tell apart.
    let other = group.clone().lr(group.lr / 3.0).weight_decay(group.weight_decay + 0.02);
    let mut groups = [group.clone(), other];
    let ids = [optimizer.add_group(groups[0].clone())?, optimizer.add_group(groups[1].clone())?];
    for Spot { name, group, param, grad, copy } in &layout.spots {
        let id = optimizer.add_param(ids[*group], name, param.clone(), grad.clone())?;
        optimizer.set_copy(id, copy.clone())?;
    }
    let kept = layout.kept(&mut optimizer, case)?;
    let mut seen = Seen::new(case)?;
    let mut numbers = Numbers::new(case);
    layout.fill_params(gpu, &mut numbers);
    let mut before = layout.snapshot(gpu, &kept)?;
    let mut taken = 0;
    let (mut memories, mut pasts) = ([Memory::default(); 2], [None; 2]);
    for step in 1..=steps {
        for (id, group) in ids.iter().zip(&mut groups) {
            // The rate moves at every step, so that a stale rate shows; a schedule moves it, too.
            if group.schedules.is_empty() {
                *group = group.clone().lr(group.lr * if step % 2 == 0 { 1.5 } else { 0.7 });
            }
            optimizer.set_group(*id, group.clone())?;
        }
        // A step in four takes gradients as they are, if the others take sums.
        let added = if step % 4 == 3 { 0 } else { case.accumulate };
        for part in 0..added.max(1) {
            let bad = case.control.skip_nonfinite && step % 5 == 2 && part + 1 == added.max(1);
            let t = step + u64::from(part) * 1000;
            layout.fill_grads(gpu, &mut numbers, t, bad, &mut before);
            let all: Vec<_> = (0..layout.spots.len()).map(|i| layout.of(i, &before).grad).collect();
            seen.add(&all);
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            if added > 0 {
                optimizer.accumulate(&mut encoder)?;
            }
            if part + 1 == added.max(1) {
                optimizer.step(&mut encoder);
            }
            gpu.queue.submit([encoder.finish()]);
        }
        let (takes, grads) = seen.take(added);
        taken += u64::from(takes);
        for ((group, memory), past) in groups.iter().zip(&mut memories).zip(&mut pasts) {
            // Where the GPU counts, only a schedule tells the rates of all steps.
            let known = !case.control.skips() || !group.schedules.is_empty();
            if takes && known {
                *past = group.now(taken).note(taken, memory);
            }
        }
        let after = layout.snapshot(gpu, &kept)?;
        row.strays += layout.strays(&before, &after, case.control.zero_grad);
        for (i, spot) in layout.spots.iter().enumerate() {
            let (group, past) = (&groups[spot.group], pasts[spot.group]);
            let of = Step { spot, group, step, taken, past };
            let (before, after) = (layout.of(i, &before), layout.of(i, &after));
            match takes {
                true => of.compare(row, &grads[i], &before, &after),
                false => of.same(row, &before, &after),
            }
        }
        before = after;
    }
    Ok(())
}

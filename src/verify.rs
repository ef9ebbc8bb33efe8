//! Whether an adapter computes what it should: every rule on it against the f64 reference.
//!
//! Each step starts from what the device itself has written, so every step of every element is a
//! test of its own, and the bound is that of a single step ([`OneStep`]): derived from WGSL's accuracy
//! table, relative to operands, never tuned. `docs/NUMERICS.md` tells why and shows figures.

mod layout;
mod numbers;

use layout::{Layout, Spot};
use numbers::Numbers;

use crate::error::Error;
use crate::format::Format;
use crate::group::Group;
use crate::headless::Gpu;
use crate::kernel::all_formats;
use crate::number::OneStep;
use crate::optimizer::Optimizer;
use crate::rule;

/// What [`verify`] found on one adapter.
#[derive(Clone, Debug)]
pub struct Report {
    /// The adapter, its driver, and whether it is software.
    pub adapter: String,
    /// One row a group.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether every row is within its bounds.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(Row::passed)
    }

    /// The worst |Δ| / bound of all.
    pub fn worst(&self) -> f64 {
        self.rows.iter().flat_map(|row| &row.worst).map(|worst| worst.ratio).fold(0.0, f64::max)
    }
}

/// What came of one group: a rule with its options.
#[derive(Clone, Debug)]
pub struct Row {
    /// The rule, its switches and its kind of weight decay; several rows may share it.
    pub group: String,
    /// The rule with all its options.
    pub rule: String,
    /// Numbers compared: elements × steps × (1 + slots).
    pub compared: u64,
    /// Of those, the numbers of which WGSL promises nothing, as after a division by a subnormal.
    pub unbounded: u64,
    /// The worst |Δ| / bound of the parameter and of each slot.
    pub worst: Vec<Worst>,
    /// Bytes outside every parameter that were written to, which is always wrong.
    pub strays: u64,
}

impl Row {
    /// Whether everything was within its bound, and nearly everything had one.
    pub fn passed(&self) -> bool {
        let within = self.worst.iter().all(|worst| worst.ratio <= 1.0);
        within && self.strays == 0 && self.unbounded * 1000 <= self.compared
    }
}

/// Where |Δ| / bound was largest.
#[derive(Clone, Debug, Default)]
pub struct Worst {
    /// `param`, or the slot's PyTorch name.
    pub what: String,
    /// |Δ| / bound: above 1, the kernel is wrong.
    pub ratio: f64,
    /// Which element of which view at which step, in words.
    pub place: String,
}

/// A group, and how its numbers are stored; the state as the group says.
#[derive(Clone, Debug)]
pub struct Case {
    /// A rule with its options.
    pub group: Group,
    /// Of the parameters.
    pub param: Format,
    /// Of their gradients.
    pub grad: Format,
}

impl Case {
    /// In f32.
    fn new(group: Group) -> Self {
        Self { group, param: Format::F32, grad: Format::F32 }
    }

    /// Steps of each layout: many small views for long, one past 65 536 elements for short. What
    /// formats add shows in a few.
    fn steps(&self) -> [u64; 2] {
        match [self.param, self.grad, self.group.state_format] {
            [Format::F32, Format::F32, Format::F32] => [150, 6],
            _ => [30, 2],
        }
    }
}

/// Runs every rule in every variant on `gpu`, over a spread of lengths and offsets, and compares
/// every number of every step with the reference. `done` is told of each row as it is finished.
///
/// # Errors
/// If the device lacks something or fails; a wrong result is not an error but in the report.
pub fn verify(gpu: &Gpu, mut done: impl FnMut(&Row)) -> Result<Report, Error> {
    let mut rows = Vec::new();
    for case in cases() {
        let row = verify_case(gpu, &case)?;
        done(&row);
        rows.push(row);
    }
    Ok(Report { adapter: gpu.describe(), rows })
}

/// Every group that [`verify`] runs in f32: all variants of all rules.
pub fn groups() -> Vec<Group> {
    rule::ALL.iter().flat_map(|entry| (entry.variants)()).collect()
}

/// Every row of [`verify`]: each group in f32, then every combination of formats, each with another
/// group. Kernels are joined of files that know nothing of each other, so that these cover the rest.
pub fn cases() -> Vec<Case> {
    let groups = groups();
    let others = all_formats().zip(groups.iter().cycle()).skip(1);
    let others = others.map(|([param, grad, state], group)| {
        let group = group.clone().state_format(state);
        Case { group, param, grad }
    });
    groups.iter().cloned().map(Case::new).chain(others).collect()
}

/// One row of [`verify`], for any group, a rule of your own included.
///
/// # Errors
/// As [`verify`].
pub fn verify_group(gpu: &Gpu, group: &Group) -> Result<Row, Error> {
    verify_case(gpu, &Case::new(group.clone()))
}

/// The same with numbers stored in any format.
///
/// # Errors
/// As [`verify`].
pub fn verify_case(gpu: &Gpu, case: &Case) -> Result<Row, Error> {
    let Case { group, .. } = case;
    let what = std::iter::once("param").chain(group.rule.slots().iter().copied());
    let worst = what.map(|what| Worst { what: what.to_owned(), ..Worst::default() }).collect();
    let rule = format!("{:?}", group.rule);
    let mut row = Row { group: case.label(), rule, compared: 0, unbounded: 0, worst, strays: 0 };
    let [small, long] = case.steps();
    run(gpu, case, Layout::small(gpu, case)?, small, &mut row)?;
    run(gpu, case, Layout::long(gpu, case)?, long, &mut row)?;
    Ok(row)
}

fn run(gpu: &Gpu, case: &Case, layout: Layout, steps: u64, row: &mut Row) -> Result<(), Error> {
    let Case { group, grad, .. } = case;
    let mut optimizer = Optimizer::new(&gpu.device);
    // A second group, so that tables have several blocks of scalars to tell apart.
    let other = group.clone().lr(group.lr / 3.0).weight_decay(group.weight_decay + 0.02);
    let mut groups = [group.clone(), other];
    let ids = [optimizer.add_group(groups[0].clone())?, optimizer.add_group(groups[1].clone())?];
    for spot in &layout.spots {
        let (param, grad) = (spot.param.clone(), spot.grad.clone());
        optimizer.add_param(ids[spot.group], &spot.name, param, grad)?;
    }
    let state = layout.state(&mut optimizer, group.rule.slots())?;

    let mut numbers = Numbers::new(*grad, group.state_format);
    layout.fill_params(gpu, &mut numbers);
    let mut before = layout.snapshot(gpu, &state)?;
    for t in 1..=steps {
        for (id, group) in ids.iter().zip(&mut groups) {
            // A rate that moves, so that a stale one shows.
            *group = group.clone().lr(group.lr * if t % 2 == 0 { 1.5 } else { 0.7 });
            optimizer.set_group(*id, group.clone())?;
        }
        layout.fill_grads(gpu, &mut numbers, t, &mut before);
        gpu.step(&mut optimizer);
        let after = layout.snapshot(gpu, &state)?;
        row.strays += layout.strays(&before, &after);
        for (i, spot) in layout.spots.iter().enumerate() {
            let (before, after) = (layout.of(i, &before), layout.of(i, &after));
            compare(row, spot, &groups[spot.group], t, &before, &after);
        }
        before = after;
    }
    Ok(())
}

/// One view's numbers: the gradient it is about to be updated by, and each array a step writes, the
/// parameter first.
struct Numbered {
    grad: Vec<f32>,
    written: Vec<Vec<f32>>,
}

fn compare(row: &mut Row, spot: &Spot, group: &Group, t: u64, before: &Numbered, after: &Numbered) {
    let mut state = [OneStep::loaded(0.0); rule::MAX_SLOTS];
    let state = &mut state[..before.written.len() - 1];
    for i in 0..before.grad.len() {
        for (number, slot) in state.iter_mut().zip(&before.written[1..]) {
            *number = OneStep::loaded(slot[i]);
        }
        let p = OneStep::loaded(before.written[0][i]);
        let p = group.update(p, OneStep::loaded(before.grad[i]), state, t);
        let p = p.stored(spot.param.format);
        state.iter_mut().for_each(|number| *number = number.stored(group.state_format));
        let expected = std::iter::once(&p).chain(&*state);
        for ((worst, expected), after) in row.worst.iter_mut().zip(expected).zip(&after.written) {
            row.compared += 1;
            if !expected.is_bounded() {
                row.unbounded += 1;
                continue;
            }
            let ratio = expected.ratio(after[i]);
            if ratio > worst.ratio {
                worst.ratio = ratio;
                worst.place = format!(
                    "element {i} of `{}` at step {t}: {:e} in place of {:e}, bound {:e}",
                    spot.name, after[i], expected.value, expected.error
                );
            }
        }
    }
}

impl Case {
    /// The rule and what distinguishes the group, in a few words.
    fn label(&self) -> String {
        let Self { group, param, grad } = self;
        let mut label = group.rule.name().to_owned();
        for (switch, _) in group.rule.switches().iter().filter(|(_, on)| *on) {
            label += &format!(" {}", switch.to_lowercase());
        }
        if group.weight_decay != 0.0 {
            label += if group.decoupled { " decoupled-decay" } else { " l2-decay" };
        }
        if group.maximize {
            label += " maximize";
        }
        let formats = [*param, *grad, group.state_format];
        if formats != [Format::F32; 3] {
            label += &formats.map(|format| format!(" {}", format.name())).concat();
        }
        label
    }
}

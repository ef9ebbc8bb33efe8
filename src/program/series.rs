//! This module computes the scalars that depend on the number of steps taken, if the GPU counts those steps. The host
//! computes a window of steps in f64, and the GPU picks one.
//!
//! A cohort with n recorded steps has taken n steps less the skipped ones. Its window holds the scalars from step
//! n − [`BACK`] on, and some steps to come, so that it is seldom made anew. The buffer never changes once it is made,
//! because recorded commands go on reading it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use wgpu::util::DeviceExt;

use super::scalars::{Step, StepArgs, block};
use crate::group::{DRIVER_SCALARS, DriverScalars, Group};
use crate::kernel::BLOCK_WORDS;
use crate::model::{Cohort, GroupState, Model};
use crate::rule::{At, Memory, Start, Varies};

/// The most skipped steps that a window allows for.
pub(crate) const BACK: u64 = 8192;

/// The number of steps to come in a new window.
const AHEAD: u64 = 256;

/// The most bytes of all windows together.
const BUDGET: u64 = 16 << 20;

/// A row of `dependents` in `shaders/control/prepare.wgsl`.
type Dependent = [u32; 4];

/// The windows of all cohorts.
#[derive(Debug, Default)]
pub(super) struct Series {
    rows: Vec<Rows>,
    /// The windows that the GPU has. They are valid until a cohort leaves its window.
    pub(super) made: Option<MadeSeries>,
}

/// The windows that the GPU has.
#[derive(Debug)]
pub(super) struct MadeSeries {
    pub(super) values: wgpu::Buffer,
    pub(super) dependents: wgpu::Buffer,
    pub(super) count: u32,
    /// The window of each cohort.
    cohorts: Vec<Placed>,
    /// The number of all recorded steps when the windows were made.
    recorded: u64,
}

/// The window of one cohort.
#[derive(Clone, Copy, Debug, Default)]
struct Placed {
    generation: u32,
    /// The last step of the window.
    last: u64,
    /// The place of the window's rows.
    rows: usize,
}

/// The scalars of one rule that depend on the step, for consecutive steps.
#[derive(Debug)]
struct Rows {
    /// A group with these numbers. It holds the rule, so that no other rule gets the same address.
    of: GroupState,
    missed: u64,
    /// For each scalar, its word in a block, and its numbers step by step.
    columns: Vec<(usize, VecDeque<f32>)>,
    first: u64,
    len: u64,
    /// The memory of the rates of these steps, which only schedules change.
    memory: Memory,
    /// The first step of the windows that were last made from these numbers, and the first step behind them.
    used: Option<(u64, u64)>,
}

impl Rows {
    fn key(&self) -> Key<'_> {
        key((&self.of, self.missed))
    }

    fn new((of, missed): Of<'_>, first: u64) -> Self {
        Self {
            of: of.clone(),
            missed,
            columns: columns(of).map(|column| (column, VecDeque::new())).collect(),
            first,
            len: 0,
            memory: memory(of, missed, first),
            used: None,
        }
    }

    fn end(&self) -> u64 {
        self.first + self.len
    }

    fn add(&mut self) {
        let t = self.end();
        let now = self.of.group.now(t + self.missed);
        let past = now.note(t, &mut self.memory);
        let step = Step { t, missed: self.missed, past };
        let scalars = block(&self.of, step, StepArgs { multiplied: 1.0, sums: 0 }, None);
        for (column, numbers) in &mut self.columns {
            numbers.push_back(f32::from_bits(scalars[*column]));
        }
        self.len += 1;
    }

    /// Holds the steps up to `end`.
    fn hold(&mut self, end: u64) {
        if self.columns.is_empty() {
            self.len = self.len.max(end.saturating_sub(self.first));
        }
        while self.end() < end {
            self.add();
        }
    }

    fn forget_before(&mut self, first: u64) {
        let gone = first.saturating_sub(self.first).min(self.len);
        for (_, numbers) in &mut self.columns {
            numbers.drain(..gone as usize);
        }
        (self.first, self.len) = (self.first + gone, self.len - gone);
    }
}

/// The memory of the rates before step `first`. Only a schedule tells them; without one, rates count as if they had
/// always been the present ones. The cost grows with `first`, but only where rows begin late: after a checkpoint was
/// loaded, or options have changed.
fn memory(of: &GroupState, missed: u64, first: u64) -> Memory {
    let mut memory = Memory::default();
    let remembers = || of.group.rule.remember(At::new(1, of.group.lr), None).is_some();
    if of.scheduled.is_some() && remembers() {
        for t in 1..first {
            of.group.now(t + missed).note(t, &mut memory);
        }
    }
    memory
}

impl Series {
    /// Makes windows anew if the recorded steps of some cohort have left them. At least `skipped` of a cohort's steps
    /// were not taken. Returns true if the GPU has new windows.
    pub(super) fn refresh(&mut self, model: &Model, skipped: impl Fn(&Cohort) -> u64) -> bool {
        let running: Vec<(usize, &Cohort)> = (model.cohorts.all().iter().enumerate())
            .filter(|(_, cohort)| cohort.members > 0)
            .collect();
        let of = |cohort: &Cohort| (&model.groups[cohort.group], model.missed(cohort));
        let is_current = |made: &MadeSeries| {
            running.iter().all(|(number, cohort)| {
                made.cohorts.get(*number).is_some_and(|placed| {
                    placed.generation == cohort.generation
                        && model.steps_of(cohort) <= placed.last
                        && self.rows[placed.rows].key() == key(of(cohort))
                })
            })
        };
        if let Some(made) = self.made.as_ref().filter(|made| is_current(made)) {
            // Each step computes some rows ahead of time, so that no single step computes many.
            let more = model.recorded - made.recorded + AHEAD;
            let mut fed = vec![false; self.rows.len()];
            for (number, _) in &running {
                let at = made.cohorts[*number].rows;
                let rows = &mut self.rows[at];
                let wanted = rows.used.map_or(0, |(_, end)| end + more);
                if !std::mem::replace(&mut fed[at], true) {
                    rows.hold(wanted.min(rows.end() + 2));
                }
            }
            return false;
        }
        self.make(model, &running, skipped);
        true
    }

    /// The rows of a rule that hold step `first`, or begin or end there. If there are none, makes new rows.
    fn rows_at(&mut self, of: Of<'_>, first: u64) -> usize {
        let key = key(of);
        let holds = |rows: &Rows| rows.key() == key && (rows.first..=rows.end()).contains(&first);
        self.rows.iter().position(holds).unwrap_or_else(|| {
            self.rows.push(Rows::new(of, first));
            self.rows.len() - 1
        })
    }

    /// Forgets rows that no window has. Forgets steps that no window has or will have, even if a read-back shows more
    /// skipped steps.
    fn forget(&mut self, cohorts: &mut [Placed]) {
        let mut place = 0;
        let mut places = Vec::with_capacity(self.rows.len());
        self.rows.retain_mut(|rows| {
            places.push(place);
            place += usize::from(rows.used.is_some());
            if let Some((first, _)) = rows.used {
                rows.forget_before(first.saturating_sub(BACK));
            }
            rows.used.is_some()
        });
        for placed in cohorts {
            placed.rows = places.get(placed.rows).copied().unwrap_or_default();
        }
    }

    fn make(
        &mut self,
        model: &Model,
        running: &[(usize, &Cohort)],
        skipped: impl Fn(&Cohort) -> u64,
    ) {
        let of = |cohort: &Cohort| (&model.groups[cohort.group], model.missed(cohort));
        let clocks = running.iter().map(|(number, cohort)| {
            let steps = model.steps_of(cohort).max(1);
            let newest = steps.saturating_sub(skipped(cohort)).max(1);
            Clocked { number: *number, cohort, of: of(cohort), steps, newest }
        });
        let mut clocks: Vec<Clocked<'_>> = clocks.collect();
        clocks.sort_unstable_by_key(|clock| (key(clock.of), clock.newest));
        let limits = model.device.limits();
        let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(BUDGET);
        let (windows, ahead) = windows(&clocks, most / 4);

        self.rows.iter_mut().for_each(|rows| rows.used = None);
        let mut values: Vec<f32> = Vec::new();
        let mut dependents: Vec<Dependent> = Vec::new();
        let mut cohorts = vec![Placed::default(); model.cohorts.all().len()];
        for Window { first, end, members } in windows {
            let members = &clocks[members];
            let Some(&Clocked { of, .. }) = members.first() else { continue };
            let at = self.rows_at(of, first);
            let rows = &mut self.rows[at];
            rows.hold(end);
            let used = rows.used.get_or_insert((first, end));
            *used = (used.0.min(first), used.1.max(end));
            let (begin, len) = (values.len() as u32, (end - first) as u32);
            let range = (first - rows.first) as usize..(end - rows.first) as usize;
            for (_, numbers) in &rows.columns {
                values.extend(numbers.range(range.clone()));
            }
            for Clocked { number, cohort, steps, .. } in members {
                let last = steps + ahead - 1;
                cohorts[*number] = Placed { generation: cohort.generation, last, rows: at };
                for (i, (column, _)) in (0..).zip(&rows.columns) {
                    let word = (number * BLOCK_WORDS + column) as u32;
                    let zero = (begin + i * len).wrapping_sub(first as u32);
                    dependents.push([word, *number as u32, zero, first as u32]);
                }
            }
        }
        self.forget(&mut cohorts);
        let table = |label, contents: &[u8]| {
            // A binding must not be empty.
            let contents = if contents.is_empty() { &[0; 16][..] } else { contents };
            model.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some(label),
                contents,
                usage: wgpu::BufferUsages::STORAGE,
            })
        };
        self.made = Some(MadeSeries {
            values: table("wgpu-optim series", bytemuck::cast_slice(&values)),
            dependents: table("wgpu-optim dependents", bytemuck::cast_slice(&dependents)),
            count: dependents.len() as u32,
            cohorts,
            recorded: model.recorded,
        });
    }
}

/// A cohort, its recorded steps, and the most steps that it can have taken.
struct Clocked<'a> {
    number: usize,
    cohort: &'a Cohort,
    of: Of<'a>,
    steps: u64,
    newest: u64,
}

/// The steps of some neighbouring cohorts that have one rule, and are so near each other that they share numbers.
struct Window {
    first: u64,
    /// The first step behind the span.
    end: u64,
    members: Range<usize>,
}

/// Chooses the windows of cohorts, in order, and the number of steps to come in each. All windows together have at
/// most `most` numbers, so they reach less far back if there are many cohorts.
fn windows(clocks: &[Clocked<'_>], most: u64) -> (Vec<Window>, u64) {
    let mut room = BACK + AHEAD;
    loop {
        let ahead = AHEAD.min(room / 2).max(1);
        let back = room.saturating_sub(ahead).max(1);
        let mut windows: Vec<Window> = Vec::new();
        let mut numbers = 0;
        for (i, Clocked { of, newest, .. }) in clocks.iter().enumerate() {
            let (first, end) = (newest.saturating_sub(back - 1).max(1), newest + ahead);
            let columns = columns(of.0).count() as u64;
            match windows.last_mut() {
                Some(last) if key(clocks[i - 1].of) == key(*of) && first <= last.end => {
                    numbers += (end - last.end) * columns;
                    (last.end, last.members.end) = (end, i + 1);
                }
                _ => {
                    numbers += (end - first) * columns;
                    windows.push(Window { first, end, members: i..i + 1 });
                }
            }
        }
        if numbers <= most || room <= 1 {
            return (windows, ahead);
        }
        room = room * 3 / 4;
    }
}

/// A group, and the steps of the group that a cohort has not taken part in.
type Of<'a> = (&'a GroupState, u64);

/// Everything that the scalars by step depend on. Groups that agree in it have the same numbers. A rule from outside
/// this crate may have options that its text does not show, so it agrees only with itself, by address.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Key<'a> {
    rule: Result<&'a str, usize>,
    ema: Option<u64>,
    rates: Option<[u64; 2]>,
    scheduled: Option<(&'a str, u64)>,
}

fn key((of, missed): Of<'_>) -> Key<'_> {
    let address = || Arc::as_ptr(&of.group.rule).cast::<()>() as usize;
    let rule = of.options.as_deref().ok_or_else(address);
    // The learning rate and the weight decay count if scalars by step depend on them.
    let Group { lr, weight_decay, .. } = of.group;
    let by_rate = of.declared.varies().contains(&Varies::StepsAndRate);
    let rates = by_rate.then_some([lr, weight_decay].map(f64::to_bits));
    let scheduled = of.scheduled.as_deref().map(|text| (text, missed));
    Key { rule, ema: of.group.ema.map(f64::to_bits), rates, scheduled }
}

/// Counts the scalars of these groups that depend on the step.
pub(crate) fn dependents<'a>(groups: impl Iterator<Item = &'a GroupState>) -> u64 {
    groups.map(|of| columns(of).count() as u64).sum()
}

/// The words of a block that depend on the step. A schedule makes the factors depend on it, and all of the rule's
/// scalars, because they may depend on the learning rate.
fn columns(of: &GroupState) -> impl Iterator<Item = usize> {
    let GroupState { group, declared, scheduled, .. } = of;
    let follows = scheduled.is_some();
    let starts = declared.starts.iter().any(|start| *start != Start::Zero);
    let driver = [
        ("lr", follows),
        ("decay", follows),
        ("l2", follows),
        ("ema", group.ema.is_some()),
        ("first", starts),
    ];
    let from_rate = declared.starts.iter().map(move |start| follows && *start == Start::Rate);
    let from_rate = ["start_0", "start_1", "start_2", "start_3"].into_iter().zip(from_rate);
    let driver = driver.into_iter().chain(from_rate).filter(|(_, varies)| *varies);
    let driver =
        driver.filter_map(|(name, _)| DriverScalars::NAMES.iter().position(|other| *other == name));
    let varying = declared.varies().iter().enumerate();
    let varying = varying.filter(move |(_, varies)| follows || **varies != Varies::Never);
    driver.chain(varying.map(|(i, _)| DRIVER_SCALARS + i))
}

#[cfg(test)]
mod tests {
    use super::Rows;
    use crate::group::{Group, all_groups};
    use crate::model::GroupState;
    use crate::rule::At;
    use crate::schedule::{Schedule, Target};

    /// Rows that begin late, as after a load, have the numbers of rows that began with the first step.
    #[test]
    fn late_rows_know_the_rates_before_them() {
        let remembers = |of: &Group| of.rule.remember(At::new(1, of.lr), None).is_some();
        let mut tested = 0;
        for group in all_groups().into_iter().filter(remembers) {
            let group = group.schedule(Target::Lr, Schedule::cosine(0.1, 1e-3, 300));
            let of = GroupState::new(group, 0);
            let [early, late] = [1, 150].map(|first| {
                let mut rows = Rows::new((&of, 0), first);
                rows.hold(200);
                rows.columns
            });
            for ((column, early), (_, late)) in early.iter().zip(&late) {
                assert!(early.iter().skip(149).eq(late), "word {column} of {:?}", of.group);
                tested += 1;
            }
        }
        assert!(tested > 10, "{tested}");
    }
}

//! This module counts steps. A cohort is the parameters of a group that share a clock.

use std::collections::HashMap;

/// Parameters of one group that have taken the same steps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cohort {
    pub(crate) group: usize,
    clock: Clock,
    /// The number of parameters; 0 if the cohort's index is free.
    pub(crate) members: usize,
    /// A number that no other cohort ever has. The GPU keeps skipped steps by it.
    pub(crate) generation: u32,
    /// The number of steps that the cohort was known to have skipped when it was made. The true number may be larger.
    pub(crate) skipped: u64,
    /// The cohort that this cohort was split from, with its skipped steps.
    pub(crate) parent: Option<usize>,
}

/// The number of steps recorded for a cohort.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Clock {
    /// The steps of the group less `born`. All running clocks of a group advance at once.
    Running { born: u64 },
    /// A fixed number, for as long as the parameters have no gradient.
    Paused { steps: u64 },
}

impl Cohort {
    /// The number of steps recorded for this cohort, if `recorded` steps were recorded for its group.
    pub(crate) fn steps(&self, recorded: u64) -> u64 {
        self.clock.steps(recorded)
    }

    /// Whether the clock counts the group's next step.
    pub(crate) fn is_running(&self) -> bool {
        self.clock.is_running()
    }
}

impl Clock {
    fn steps(self, recorded: u64) -> u64 {
        match self {
            Self::Running { born } => recorded - born,
            Self::Paused { steps } => steps,
        }
    }

    fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// A clock with the same steps that stands still if this one runs, and runs if this one stands still.
    fn turned(self, recorded: u64) -> Self {
        let steps = self.steps(recorded);
        match self {
            Self::Running { .. } => Self::Paused { steps },
            Self::Paused { .. } => Self::Running { born: recorded - steps },
        }
    }
}

/// All cohorts of an optimizer, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cohorts {
    all: Vec<Cohort>,
    free: Vec<usize>,
    index: HashMap<(usize, Clock), usize>,
    made: u32,
    /// Whether a step may have been skipped. If so, only the GPU knows how many steps each cohort has skipped, and
    /// cohorts with equal clocks stay apart.
    counted: bool,
}

impl Cohorts {
    pub(crate) fn all(&self) -> &[Cohort] {
        &self.all
    }

    /// Notes that steps may be skipped from now on.
    pub(crate) fn count(&mut self) {
        self.counted = true;
        // The GPU takes cohorts in the order in which they were made, so that free indices are not used again.
        self.free.clear();
    }

    pub(crate) fn is_counted(&self) -> bool {
        self.counted
    }

    /// The number of cohorts after `more` new ones.
    pub(crate) fn after(&self, more: usize) -> usize {
        self.all.len() + more.saturating_sub(self.free.len())
    }

    /// The cohort of a new parameter, if `recorded` steps were recorded for its group.
    pub(crate) fn born(&mut self, group: usize, recorded: u64) -> usize {
        let clock = Clock::Running { born: recorded };
        let known = self.index.get(&(group, clock)).copied();
        // A clock at 0 has skipped no step.
        let cohort = known.unwrap_or_else(|| self.make(group, clock, None, 0));
        self.all[cohort].members += 1;
        cohort
    }

    /// A parameter leaves its cohort.
    pub(crate) fn leave(&mut self, number: usize) {
        self.all[number].members -= 1;
        if self.all[number].members == 0 && !self.counted {
            self.unindex(number);
            self.free.push(number);
        }
    }

    /// Moves a parameter to a cohort whose clock is at 0, and runs if that of its cohort does.
    pub(crate) fn restart(&mut self, number: usize, recorded: u64) -> usize {
        let Cohort { group, clock, .. } = self.all[number];
        let new = match clock {
            Clock::Running { .. } => Clock::Running { born: recorded },
            Clock::Paused { .. } => Clock::Paused { steps: 0 },
        };
        let known = self.index.get(&(group, new)).copied();
        // A clock that stands at 0 has skipped nothing.
        let cohort = known.unwrap_or_else(|| self.make(group, new, None, 0));
        self.all[cohort].members += 1;
        self.leave(number);
        cohort
    }

    /// Whether the next new parameter of a group needs a new cohort.
    pub(crate) fn is_known(&self, group: usize, recorded: u64) -> bool {
        self.index.contains_key(&(group, Clock::Running { born: recorded }))
    }

    fn make(&mut self, group: usize, clock: Clock, parent: Option<usize>, skipped: u64) -> usize {
        self.made += 1;
        let cohort = Cohort { group, clock, members: 0, generation: self.made, skipped, parent };
        let number = match self.free.pop() {
            Some(number) => {
                self.all[number] = cohort;
                number
            }
            None => {
                self.all.push(cohort);
                self.all.len() - 1
            }
        };
        self.index.entry((group, clock)).or_insert(number);
        number
    }

    /// Stops or starts the clocks of some members of each cohort: `turning` members of cohort `number`. Returns the
    /// new cohort of these members, by the number of their old one. `skipped` gives the number of steps that a cohort
    /// is known to have skipped.
    pub(crate) fn turn(
        &mut self,
        turning: &HashMap<usize, usize>,
        recorded: impl Fn(usize) -> u64,
        skipped: impl Fn(&Cohort) -> u64,
    ) -> HashMap<usize, usize> {
        let mut numbers: Vec<(usize, usize)> = turning.iter().map(|(a, b)| (*a, *b)).collect();
        numbers.sort_unstable();
        let mut new = HashMap::new();
        for (number, leaving) in numbers {
            let Cohort { group, clock, members, .. } = self.all[number];
            let turned = clock.turned(recorded(group));
            let known = self.index.get(&(group, turned)).copied();
            let target = match known.filter(|other| !self.counted && *other != number) {
                Some(other) => other,
                None if leaving == members => {
                    self.unindex(number);
                    self.all[number].clock = turned;
                    self.index.entry((group, turned)).or_insert(number);
                    new.insert(number, number);
                    continue;
                }
                None => {
                    let skipped = skipped(&self.all[number]);
                    self.make(group, turned, self.counted.then_some(number), skipped)
                }
            };
            self.all[target].members += leaving;
            self.all[number].members -= leaving;
            new.insert(number, target);
            if self.all[number].members == 0 && !self.counted {
                self.unindex(number);
                self.free.push(number);
            }
        }
        new
    }

    fn unindex(&mut self, number: usize) {
        let key = (self.all[number].group, self.all[number].clock);
        if self.index.get(&key) == Some(&number) {
            self.index.remove(&key);
        }
    }

    /// Sets the steps of every running cohort of a group to those recorded for the group.
    pub(crate) fn set_steps(&mut self, group: usize) {
        for cohort in self.all.iter_mut().filter(|cohort| cohort.group == group) {
            if cohort.is_running() {
                cohort.clock = Clock::Running { born: 0 };
            }
        }
        self.reindex();
    }

    fn reindex(&mut self) {
        self.index = (self.all.iter().enumerate())
            .filter(|(_, cohort)| cohort.members > 0)
            .map(|(number, cohort)| ((cohort.group, cohort.clock), number))
            .collect();
    }
}

/// The part of a checkpoint.
#[cfg(feature = "checkpoint")]
impl Cohorts {
    /// Removes all cohorts, for others to take their place. No later cohort gets the generation of one of these.
    pub(crate) fn clear(&mut self) {
        (self.all, self.free, self.index) = (Vec::new(), Vec::new(), HashMap::new());
    }

    /// Has the clocks of a group keep their steps while those recorded for the group change from `old` to `new`, which
    /// is no less.
    pub(crate) fn rebase(&mut self, group: usize, old: u64, new: u64) {
        for cohort in self.all.iter_mut().filter(|cohort| cohort.group == group) {
            if let Clock::Running { born } = &mut cohort.clock {
                *born += new - old;
            }
        }
        self.reindex();
    }

    /// Makes a cohort, still without members, with the steps that a checkpoint has.
    pub(crate) fn restore(
        &mut self,
        group: usize,
        steps: [u64; 2],
        runs: bool,
        recorded: u64,
    ) -> usize {
        let [steps, skipped] = steps;
        let clock = match runs {
            true => Clock::Running { born: recorded - steps },
            false => Clock::Paused { steps },
        };
        self.make(group, clock, None, skipped)
    }

    /// A parameter joins a cohort.
    pub(crate) fn join(&mut self, number: usize) {
        self.all[number].members += 1;
    }
}

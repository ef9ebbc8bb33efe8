//! This bench times what a step costs the host: handing over gradients and options, and recording the
//! step. The rows of a table are measured in turn, and each row stands beside its counterpart and its target.
//! `scripts/bench-record` adds the figures of an older commit.
//!
//! Arguments pick tables: `cargo bench --bench record -- motions changes stalls`. Without the argument
//! `--bench`, as under `cargo test`, every row runs once with few parameters.

#[path = "record/api.rs"]
mod api;
#[path = "record/beside.rs"]
mod beside;
#[path = "record/case.rs"]
mod case;

#[path = "record/figures.rs"]
mod figures;
#[path = "record/rows.rs"]
mod rows;

use beside::{Ask, Beside};
use case::{Motion, Spec};
use figures::{Figures, Tally, least_of, microseconds, slowest};
use rows::{Rows, TIMES, Table, each};

/// The bench has another commit beside it, a number of rounds, and a tally of targets.
struct Bench {
    beside: Beside,
    rounds: usize,
    tally: Tally,
}

fn main() {
    if ok(beside::answer(in_earnest())) {
        return;
    }
    println!("{}", ok(wgpu_optim::headless::Gpu::headless()).describe());
    let rounds = if in_earnest() { 21 } else { 1 };
    let mut bench = Bench { beside: ok(Beside::start()), rounds, tally: Tally::new(in_earnest()) };
    let (sizes, usual, few) = match in_earnest() {
        true => (&[100, 1000, 10_000][..], 1000, 100),
        false => (&[10][..], 10, 10),
    };
    if asked("motions") {
        sizes.iter().for_each(|params| bench.motions(*params));
    }
    if asked("changes") {
        bench.changes(usual);
    }
    if asked("stalls") {
        bench.stalls(few);
    }
    println!("\n{}", bench.tally);
}

/// The value; an error ends the bench with its own words.
pub(crate) fn ok<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}

/// Tells whether `cargo bench` runs this; `cargo test` only wants to see that it does.
fn in_earnest() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

/// Tells whether the command line names this table, or names none.
fn asked(table: &str) -> bool {
    let mut names = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    names.peek().is_none() || names.any(|name| name == table)
}

impl Bench {
    /// Measures every row of a table, round after round: here at each of `TIMES`, then the other commit.
    fn measure(&mut self, table: Table) -> Vec<Figures> {
        let specs = table.specs();
        let mut rows = ok(Rows::new(table, in_earnest()));
        ok(self.beside.ask(Ask::Make(table)));
        let mut all = vec![Figures::default(); specs.len()];
        for round in 0..self.rounds {
            for (row, figures) in all.iter_mut().enumerate() {
                // The order alternates, because a measurement leaves its traces in the next one.
                let mut order = [Some(0), Some(1), None];
                if round % 2 == 1 {
                    order.reverse();
                }
                for which in order {
                    match which {
                        Some(i) => figures.here[i].extend(ok(rows.least(row, TIMES[i]))),
                        None => {
                            let old = ok(self.beside.ask(Ask::Least(row, TIMES[0])));
                            figures.old.extend(old.into_iter().flatten());
                        }
                    }
                }
            }
        }
        all
    }

    /// Prints the table of gradients that stay and that move.
    fn motions(&mut self, params: u64) {
        let table = Table::Motions(params);
        let (specs, all) = (table.specs(), self.measure(table));
        println!("\n{params} parameters");
        println!(
            "| gradients | looked at | µs a step | µs a parameter | old µs | compared | is | target | | t = {} ÷ t = {}, ≤ 1.2 | |",
            TIMES[1], TIMES[0]
        );
        println!("|---|---|---:|---:|---:|---|---:|---:|---|---:|---|");
        for (spec, figures) in specs.iter().zip(&all) {
            let (counterpart, each) = match spec.motion {
                Motion::Arena | Motion::Own => (None, 0.0),
                Motion::Inside | Motion::AnyOrder | Motion::Halves => (Some(Motion::Arena), 0.2),
                Motion::Others => (Some(Motion::Own), if spec.look.clips() { 2.0 } else { 1.0 }),
            };
            let (compared, is, target, met) = match counterpart {
                None => {
                    let is = figures.times_old();
                    let met = self.tally.at_most(&spec.name(), is, 1.1);
                    ("÷ old".to_owned(), figures::times(is), "1.1".to_owned(), met)
                }
                Some(motion) => {
                    let fixed = specs.iter().position(|s| *s == Spec { motion, ..*spec });
                    let above = fixed.and_then(|fixed| figures.above(&all[fixed]));
                    // The constant is for the call; where every buffer is another, there is none.
                    let constant = if motion == Motion::Arena { 20.0 } else { 0.0 };
                    let most = each * params as f64 + constant;
                    let met = self.tally.at_most(&spec.name(), above, most);
                    (format!("− {motion}"), microseconds(above), microseconds(Some(most)), met)
                }
            };
            let later = figures.later();
            let steady = self.tally.at_most(&format!("{}, t", spec.name()), later, 1.2);
            let us = figures.here();
            println!(
                "| {} | {} | {} | {} | {} | {compared} | {is} | {target} | {met} | {} | {steady} |",
                spec.motion,
                spec.look,
                microseconds(us),
                us.map_or(String::new(), |us| format!("{:.3}", us / params as f64)),
                microseconds(figures.old()),
                figures::times(later),
            );
        }
    }

    /// Prints the table of options that change with every step.
    fn changes(&mut self, params: u64) {
        let table = Table::Changes(params);
        let (specs, all) = (table.specs(), self.measure(table));
        println!("\n{params} parameters in an arena, clip_norm: what changes with every step");
        println!(
            "| changes | µs a step | old µs | ÷ nothing | t = {} ÷ t = {}, ≤ 1.2 | |",
            TIMES[1], TIMES[0]
        );
        println!("|---|---:|---:|---:|---:|---|");
        for (spec, figures) in specs.iter().zip(&all) {
            let still = Spec { change: spec.change.still(), ..*spec };
            let still = specs.iter().position(|s| *s == still).map(|still| &all[still]);
            let later = figures.later();
            let steady = self.tally.at_most(&format!("{}, t", spec.name()), later, 1.2);
            println!(
                "| {} | {} | {} | {} | {} | {steady} |",
                spec.change,
                microseconds(figures.here()),
                microseconds(figures.old()),
                figures::times(still.and_then(|still| figures.over(still))),
                figures::times(later),
            );
        }
    }

    /// Prints the slowest of many steps. The time of a step is the least that the same step took in several
    /// runs, because other programs delay a step of one run only.
    fn stalls(&mut self, params: u64) {
        let (runs, count) = if in_earnest() { (3, 10_000) } else { (1, 3) };
        println!(
            "\n{params} parameters in an arena: the slowest of {count} steps, each submitted, the least of {runs} runs"
        );
        println!(
            "| looked at | changes | from t | median µs | slowest µs | at step | ÷ median, ≤ 5 | | old ÷ median |"
        );
        println!("|---|---|---:|---:|---:|---:|---:|---|---:|");
        let table = Table::Stalls(params);
        for (row, spec) in table.specs().into_iter().enumerate() {
            for steps in TIMES {
                let (mut here, mut old) = (None, None);
                for _ in 0..runs {
                    least_of(&mut here, ok(each(spec, steps, count)));
                    // The other commit's changes may cost it minutes.
                    if spec.change.still() == spec.change && steps == TIMES[0] {
                        least_of(
                            &mut old,
                            ok(self.beside.ask(Ask::Each(table, row, steps, count))),
                        );
                    }
                }
                let (Some(here), old) = (slowest(here), slowest(old)) else { continue };
                let name = format!("{}, slowest step from {steps}", spec.name());
                let met = self.tally.at_most(&name, Some(here.ratio), 5.0);
                println!(
                    "| {} | {} | {steps} | {:.1} | {:.1} | {} | {:.2} | {met} | {} |",
                    spec.look,
                    spec.change,
                    here.median,
                    here.most,
                    here.at,
                    here.ratio,
                    figures::times(old.map(|old| old.ratio)),
                );
            }
        }
    }
}

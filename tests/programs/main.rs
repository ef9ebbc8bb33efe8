//! Random programs of public calls run on the device and in a simulation in f64, which is written from
//! the documentation alone. After each submission the tests compare every parameter, slot, average and
//! copy within a bound on f32 arithmetic, the statistics, and every byte between views.
//!
//! The environment variable `PROPTEST_CASES` sets the number of programs (100 by default), and
//! `PROPTEST_RNG_SEED` chooses them. proptest shortens a program that fails and prints it, one call a
//! line. Tests that run each program several times take a quarter of the programs.

mod calls;
mod check;
mod limits;
mod memory;
mod moves;
mod mutation;
mod number;
mod observe;
mod program;
mod rule;
mod runner;
mod same;
mod simulation;
mod step;
mod store;
mod targeted;
mod wrong;

use std::sync::OnceLock;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use wgpu_optim::headless::Gpu;

use mutation::Mutation;
use program::{Program, programs};
use runner::{How, Runner};

/// Programs of a test, if `PROPTEST_CASES` does not say otherwise.
const CASES: u32 = 100;

fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::headless().unwrap_or_else(|e| panic!("{e}")))
}

/// A share of the programs, for tests that run each several times.
fn config(share: u32) -> Config {
    let config = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { CASES };
    Config {
        cases: (cases / share).max(1),
        failure_persistence: None,
        // In milliseconds.
        max_shrink_time: 120_000,
        ..config
    }
}

/// Runs what each program is tested for.
fn for_all(
    share: u32,
    programs: impl Strategy<Value = Program>,
    test: impl Fn(&Program) -> Result<(), String>,
) {
    let mut runner = TestRunner::new(config(share));
    let test = |program: Program| test(&program).map_err(TestCaseError::fail);
    if let Err(failure) = runner.run(&programs, test) {
        panic!("{failure}");
    }
}

#[test]
fn programs_do_what_the_simulation_does() {
    for_all(1, programs(4..40), |program| Runner::run(gpu(), program, How::default()).map(|_| ()));
}

/// The same programs each time notice every mistake in the simulation.
#[test]
fn every_mutation_is_noticed() {
    let mut runner = TestRunner::deterministic();
    let wrong = Mutation::ALL.to_vec();
    let mut noticed = vec![0; wrong.len()];
    let (mut compared, mut vague) = (0, 0);
    let mut random = || {
        let tree = programs(20..40).new_tree(&mut runner);
        tree.unwrap_or_else(|e| panic!("{e}")).current()
    };
    let random: Vec<Program> = (0..24).map(|_| random()).collect();
    for program in random.into_iter().chain(targeted::programs()) {
        let how = How { wrong: wrong.clone(), ..How::default() };
        let report =
            Runner::run(gpu(), &program, how).unwrap_or_else(|e| panic!("{e}\n{program:?}"));
        for (noticed, now) in noticed.iter_mut().zip(report.noticed) {
            *noticed += u32::from(now);
        }
        compared += report.tally.compared;
        vague += report.tally.vague;
    }
    let list: Vec<_> = wrong.iter().zip(&noticed).collect();
    println!("{compared} numbers, {vague} vague; {list:?}");
    for (mutation, noticed) in list {
        assert!(*noticed > 0 || !mutation.can_show(), "nobody noticed {mutation:?}");
    }
    assert!(vague < compared / 20, "{vague} of {compared} numbers could be almost anything");
}

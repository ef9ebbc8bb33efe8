//! The contract of a rule: what a rule declares, and where its slots start.

use support::ByName;
use support::{gpu, ok, read, set};
use wgpu_optim::{
    At, Control, Error, Formula, Group, Number, Optimizer, Rates, Reference, Rule, Scalar, Slot,
    Start, Varies, View,
};

const WGSL: &str = "
    const ZERO = 0u;
    const NUMBER = 1u;
    const RATE = 2u;
    const PARAM = 3u;

    const HYPER_LENGTH = 1u;
    struct Hyper {
        one: f32,
    }

    fn direction(p: real, g: real, hyper: Hyper) -> real {
        state = State(state[ZERO] + g, state[NUMBER] + g, state[RATE] + g, state[PARAM] + g);
        return hyper.one * p + state[ZERO] + state[NUMBER] + state[RATE] + state[PARAM];
    }
";

/// A rule that adds up gradients in slots which start at different numbers, and sees the parameter.
#[derive(Clone, Debug)]
struct Sums {
    scalar: Scalar,
    of: fn(At) -> f64,
    rates: fn(At) -> Rates,
}

impl Default for Sums {
    fn default() -> Self {
        let rates = |at: At| Rates { lr: at.lr, decay: at.lr };
        Self { scalar: Scalar::fixed("one"), of: |_| 1.0, rates }
    }
}

impl Formula for Sums {
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N {
        let mut u = N::scalar((self.of)(at)) * p;
        for slot in state {
            *slot = *slot + g;
            u = u + *slot;
        }
        u
    }
}

impl Rule for Sums {
    fn name(&self) -> &'static str {
        "sums"
    }

    fn wgsl(&self) -> &'static str {
        WGSL
    }

    fn slots(&self) -> Vec<Slot> {
        vec![
            Slot::zero("zero"),
            Slot::starting("number", Start::Number(0.25)),
            Slot::starting("rate", Start::Rate),
            Slot::starting("param", Start::Param),
        ]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![self.scalar]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        out[0] = (self.of)(at);
    }

    fn rates(&self, at: At) -> Rates {
        (self.rates)(at)
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

const SLOTS: [&str; 4] = ["zero", "number", "rate", "param"];
const GRADS: [f32; 2] = [0.5, -1.0];

/// The parameter that starts at 3 and its slots after both gradients, at rates of 0.125 and 0.5.
fn expected() -> (f64, [f64; 4]) {
    let (mut p, mut slots) = (3.0, [0.0, 0.25, 0.125, 3.0]);
    for (g, lr) in GRADS.into_iter().zip([0.125, 0.5]) {
        slots.iter_mut().for_each(|slot| *slot += f64::from(g));
        p -= lr * (p + slots.iter().sum::<f64>());
    }
    (p, slots)
}

#[test]
fn slots_start_where_the_rule_says() {
    let group = Group::new(0.125, Sums::default());
    let mut reference = Reference::new(&group, &[3.0]).unwrap_or_else(|e| panic!("{e}"));
    for (g, lr) in GRADS.into_iter().zip([0.125, 0.5]) {
        let stepped = reference.set_lr(lr).and_then(|()| reference.step(&[f64::from(g)]));
        stepped.unwrap_or_else(|e| panic!("{e}"));
    }
    let (p, slots) = expected();
    assert_eq!(reference.param(), [p]);
    let found = SLOTS.map(|slot| reference.state(slot).unwrap_or_default()[0]);
    assert_eq!(found, slots);
}

#[cfg(feature = "cpu")]
#[test]
fn slots_start_there_on_the_cpu_too() {
    use wgpu_optim::Cpu;

    // More than one task. Every number here is exact in f32.
    const LEN: usize = 20_000;
    let group = Group::new(0.125, Sums::default());
    let mut cpu = Cpu::new(&group, LEN).unwrap_or_else(|e| panic!("{e}"));
    let mut param = vec![3.0; LEN];
    for (g, lr) in GRADS.into_iter().zip([0.125, 0.5]) {
        let stepped = cpu.set_lr(lr).and_then(|()| cpu.step(&mut param, &[g; LEN]));
        stepped.unwrap_or_else(|e| panic!("{e}"));
    }
    let (p, slots) = expected();
    assert!(param.iter().all(|x| f64::from(*x) == p));
    for (slot, expected) in SLOTS.into_iter().zip(slots) {
        let found = cpu.state(slot).unwrap_or_default();
        assert_eq!(found.len(), LEN);
        assert!(found.iter().all(|x| f64::from(*x) == expected), "{slot}");
    }
}

/// Elements of a parameter: some vectors, and a rest.
const LEN: usize = 11;

/// Steps the parameter called so with both gradients at their rates, and compares all numbers with `expected`.
#[track_caller]
fn train(optimizer: &mut Optimizer, name: &str, param: &View, grad: &View) {
    let gpu = gpu();
    for (g, lr) in GRADS.into_iter().zip([0.125, 0.5]) {
        set(gpu, grad, &[g; LEN]);
        ok(optimizer.set_lr(lr));
        gpu.step(optimizer);
    }
    let (p, slots) = expected();
    assert_eq!(read(gpu, param), [p as f32; LEN], "{name}");
    for (slot, number) in SLOTS.into_iter().zip(slots) {
        let view = ok(optimizer.state_of(name, slot));
        assert_eq!(read(gpu, &view), [number as f32; LEN], "{slot} of {name}");
    }
}

/// Whether the host counts steps or the GPU, and however many are skipped before the first that is taken: its
/// rate counts, and the parameter before it. A parameter that is added later has a first step of its own.
#[test]
fn slots_start_on_the_gpu_at_the_first_step_that_is_taken() {
    let gpu = gpu();
    // The last is more steps than scalars are computed ahead.
    for (skips, skipped) in [(false, 0), (true, 0), (true, 1), (true, 300)] {
        let new = |number: f32| View::f32(&support::upload(gpu, &[number; LEN]));
        let [w, late, grad] = [3.0, 3.0, f32::INFINITY].map(new);
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(Control { skip_nonfinite: skips, ..Control::default() }));
        let group = ok(optimizer.add_group(Group::new(8.0, Sums::default())));
        ok(optimizer.add_param(group, "w", w.clone(), grad.clone()));
        (0..skipped).for_each(|_| gpu.step(&mut optimizer));
        for slot in SLOTS {
            let view = ok(optimizer.state_of("w", slot));
            assert_eq!(read(gpu, &view), [0.0; LEN], "{slot} after {skipped} skipped");
        }
        train(&mut optimizer, "w", &w, &grad);
        ok(optimizer.add_param(group, "late", late.clone(), grad.clone()));
        set(gpu, &grad, &[f32::NAN; LEN]);
        (0..skipped).for_each(|_| gpu.step(&mut optimizer));
        train(&mut optimizer, "late", &late, &grad);
    }
}

/// The check finds it at a learning rate of 0 too, which would hide a product with the rate.
#[test]
fn a_wrong_declaration_is_refused() {
    let with = |scalar, of| Sums { scalar, of, ..Sums::default() };
    let by_step: fn(At) -> f64 = |at| 1.0 / at.t as f64;
    let by_rate: fn(At) -> f64 = |at| at.lr;
    let by_both: fn(At) -> f64 = |at| at.lr / at.t as f64;
    let late: fn(At) -> f64 = |at| if at.t < 10 { 0.0 } else { 1.0 };
    let right = [
        with(Scalar::fixed("x"), by_rate),
        with(Scalar::by_step("x"), by_step),
        with(Scalar { name: "x", varies: Varies::StepsAndRate }, by_both),
        // Declaring more is no error.
        with(Scalar::by_step_and_rate("x"), by_step),
    ];
    for rule in right {
        assert_eq!(Group::new(0.0, rule).check(), Ok(()));
    }
    let wrong = [
        (
            with(Scalar::fixed("x"), by_step),
            "`x` depends on the step, which is not declared; declare it `Varies::Steps`",
        ),
        (
            with(Scalar::fixed("x"), late),
            "`x` depends on the step, which is not declared; declare it `Varies::Steps`",
        ),
        (
            with(Scalar::fixed("x"), by_both),
            "`x` depends on the step, which is not declared; declare it `Varies::StepsAndRate`",
        ),
        (
            with(Scalar::by_step("x"), by_both),
            "`x` depends on the learning rate, which is not declared; declare it `Varies::StepsAndRate`",
        ),
        (
            Sums { rates: |at| Rates { lr: at.lr / at.t as f64, decay: 0.0 }, ..Sums::default() },
            "`rates.lr` depends on the step, which is not declared; put what varies into a scalar of `hyper`",
        ),
        (
            Sums { rates: |at| Rates { lr: at.lr, decay: at.t as f64 }, ..Sums::default() },
            "`rates.decay` depends on the step, which is not declared; put what varies into a scalar of `hyper`",
        ),
    ];
    for (rule, expected) in wrong {
        let error = Group::new(0.0, rule).check().expect_err(expected);
        assert_eq!(error.to_string(), format!("rule `sums`: {expected}"));
    }
}

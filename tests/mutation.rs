//! `verify` fails when a kernel is wrong: each mutation of a rule's WGSL must exceed its bound.
//!
//! The mutants are also what a rule from another crate looks like.

use support::{gpu, ok};
use wgpu_optim::verify::{Row, long_run, long_run_of, verify_group};
use wgpu_optim::{
    Adagrad, Adam, At, Error, Formula, Group, Lion, Number, Optimizer, Rates, RmsProp, Rule,
    Scalar, Sgd, Slot,
};

/// A rule with other WGSL than its own formula's.
#[derive(Clone, Debug)]
struct Mutant<R> {
    rule: R,
    wgsl: &'static str,
}

impl<R: Formula> Formula for Mutant<R> {
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N {
        self.rule.direction(p, g, state, at)
    }
}

impl<R: Rule + Formula> Rule for Mutant<R> {
    fn name(&self) -> &'static str {
        "mutant"
    }

    fn wgsl(&self) -> &'static str {
        self.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        self.rule.slots()
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        self.rule.switches()
    }

    fn hyper(&self) -> Vec<Scalar> {
        self.rule.hyper()
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        self.rule.scalars(at, out);
    }

    fn rates(&self, at: At) -> Rates {
        self.rule.rates(at)
    }

    fn decays_after(&self) -> bool {
        self.rule.decays_after()
    }

    fn check(&self) -> Result<(), Error> {
        self.rule.check()
    }
}

/// `rule` with one piece of its WGSL replaced.
fn mutant<R: Rule + Formula>(rule: R, from: &str, to: &str) -> Mutant<R> {
    let wgsl = rule.wgsl();
    assert_eq!(wgsl.matches(from).count(), 1, "`{from}` must occur once in {}", rule.name());
    // Leaked: a rule's WGSL is a constant of its crate.
    let wgsl = Box::leak(wgsl.replace(from, to).into_boxed_str());
    Mutant { rule, wgsl }
}

fn verified(rule: impl Rule) -> Row {
    ok(verify_group(gpu(), &Group::new(1e-2, rule).weight_decay(0.05)))
}

fn must_fail<R: Rule + Formula>(rule: R, from: &str, to: &str) {
    let row = verified(mutant(rule, from, to));
    let worst = row.worst.iter().map(|worst| worst.ratio).fold(0.0, f64::max);
    println!("{from} → {to}: {worst:.3e} bounds off");
    assert!(!row.passed(), "`{from}` → `{to}` went unnoticed: {row:?}");
}

#[test]
fn a_rule_of_another_crate_passes_if_it_is_right() {
    let row = verified(mutant(Adam::default(), "// ADAM", "// Mutated nowhere: ADAM"));
    assert!(row.passed(), "{row:?}");
}

#[test]
fn wrong_adams_are_caught() {
    let adam = Adam::default;
    let amsgrad = || Adam { amsgrad: true, ..Adam::default() };
    let corrected = || Adam { amsgrad_corrected: true, ..Adam::default() };
    let nesterov = || Adam { nesterov: true, ..Adam::default() };
    // β₁ and β₂ exchanged in one place.
    must_fail(adam(), "hyper.gain1 * g)", "hyper.gain2 * g)");
    // No bias correction of m, of v.
    must_fail(adam(), "hyper.m_scale * m", "m");
    must_fail(adam(), "hyper.v_scale * v", "v");
    // ε not added, or in the other place.
    must_fail(adam(), "+ hyper.eps_root)", ")");
    must_fail(adam(), "+ hyper.eps_root) + hyper.eps", ") + hyper.eps_root");
    // 1 − β computed in f32, as most shaders do.
    must_fail(adam(), "hyper.gain2 * g * g", "(1.0 - hyper.beta2) * g * g");
    // The old v in place of the new one.
    must_fail(adam(), "state[EXP_AVG_SQ] = v;", "state[EXP_AVG_SQ] = v; v = v * 0.999;");
    // The running maximum forgotten, or not kept.
    must_fail(amsgrad(), "v = larger(state[MAX_EXP_AVG_SQ], v);", "");
    must_fail(amsgrad(), "state[MAX_EXP_AVG_SQ] = v;", "");
    must_fail(corrected(), "v_hat = larger(state[MAX_EXP_AVG_SQ], v_hat);", "");
    must_fail(corrected(), "state[MAX_EXP_AVG_SQ] = v_hat;", "state[MAX_EXP_AVG_SQ] = v;");
    // The part of the gradient forgotten, or not corrected.
    must_fail(nesterov(), "m_hat += hyper.g_scale * g;", "");
    must_fail(nesterov(), "hyper.g_scale", "hyper.gain1");
}

#[test]
fn wrong_rmsprops_are_caught() {
    let centered = || RmsProp { centered: true, momentum: 0.9, ..RmsProp::default() };
    let nesterov = || RmsProp { momentum: 0.9, nesterov: true, ..RmsProp::optax() };
    must_fail(nesterov(), "inner + hyper.momentum * b", "u + hyper.momentum * b");
    must_fail(nesterov(), "inner + hyper.momentum * b", "inner + b");
    must_fail(RmsProp::default(), "hyper.gain * g * g", "hyper.gain * g");
    must_fail(RmsProp::pytorch(), "+ hyper.eps)", ")");
    must_fail(centered(), "s - a * a", "s - a");
    must_fail(centered(), "state[GRAD_AVG] = a;", "");
    must_fail(centered(), "hyper.inner_lr * u", "u * 1.000002");
    must_fail(
        centered(),
        "override MOMENTUM_BUFFER: u32 = 1u + u32(CENTERED);",
        "const MOMENTUM_BUFFER = 1u;",
    );
}

#[test]
fn wrong_sgds_and_adagrads_are_caught() {
    let nesterov = || Sgd { momentum: 0.9, nesterov: true, ..Sgd::default() };
    let dampened = || Sgd { momentum: 0.9, dampening: 0.5, ..Sgd::default() };
    must_fail(nesterov(), "return part + hyper.momentum * b;", "return part + b;");
    must_fail(nesterov(), "state[MOMENTUM_BUFFER] = b;", "");
    must_fail(dampened(), "hyper.gain * g", "g");
    must_fail(Adagrad::default(), "state[SUM] + g * g", "g * g");
    must_fail(Adagrad::default(), "hyper.scale * g", "g * sign(g)");
}

/// Either sign is right only where the bound of the sum has 0 in it, which is seldom.
#[test]
fn wrong_lions_are_caught() {
    let of = |beta: u32| {
        format!("decayed(m, hyper.beta{beta}, hyper.beta{beta}_low, hyper.gain{beta} * g)")
    };
    let caught = |from: &str, to: &str| must_fail(Lion::default(), from, to);
    // β₂ in place of β₁, β₁ in place of β₂.
    caught(&of(1), &of(2));
    caught(&of(2), &of(1));
    // The sign of the old average alone, of the gradient alone, of the new average.
    caught(&of(1), "m");
    caught(&of(1), "g");
    caught(&of(1), "state[EXP_AVG]");
    // A sign of 0 that is 1, and none at all.
    caught("return sign_of(", "return select(real(-1.0), real(1.0), real() <= ");
    caught("return sign_of(", "return (");
    // An average that is not kept.
    caught("state[EXP_AVG] = ", "let lost = ");
}

/// A rule that keeps the parameter after a step of its own, by the driver's text with one piece replaced.
#[derive(Clone, Debug)]
struct Stepped {
    after: bool,
    wgsl: &'static str,
}

/// The factors of the direction and of the parameter in that step.
const FACTORS: [f64; 2] = [0.125, 0.25];

impl Stepped {
    fn new(after: bool, from: &str, to: &str) -> Self {
        let driver = include_str!("../shaders/step.wgsl");
        let begins = driver.find("fn stepped(").unwrap_or_else(|| panic!("no `stepped`"));
        let ends = driver[begins..].find("\n}\n").unwrap_or_else(|| panic!("no end of `stepped`"));
        let function = &driver[begins..begins + ends];
        assert_eq!(function.matches(from).count(), 1, "`{from}` must occur once in `stepped`");
        let function = function.replace("stepped", "own_stepped").replace(from, to);
        let wgsl = format!(
            "const STEPPED = 0u;
            const HYPER_LENGTH = 2u;
            struct Hyper {{
                rate: f32,
                decay: f32,
            }}
            {function}
            }}
            fn direction(p: real, g: real, hyper: Hyper) -> real {{
                state[STEPPED] = own_stepped(p, g, hyper.rate, hyper.decay);
                return g;
            }}"
        );
        // Leaked: a rule's WGSL is a constant of its crate.
        Self { after, wgsl: Box::leak(wgsl.into_boxed_str()) }
    }

    fn verified(self, cautious: bool) -> Row {
        let group = Group::new(1e-2, self).weight_decay(0.05).decoupled(true);
        ok(verify_group(gpu(), &group.cautious_weight_decay(cautious)))
    }
}

impl Formula for Stepped {
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N {
        let [rate, decay] = FACTORS.map(N::scalar);
        state[0] = at.stepped(p, g, rate, decay);
        g
    }
}

impl Rule for Stepped {
    fn name(&self) -> &'static str {
        "stepped"
    }

    fn wgsl(&self) -> &'static str {
        self.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("stepped")]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        ["rate", "decay"].map(Scalar::fixed).into()
    }

    fn scalars(&self, _: At, out: &mut [f64]) {
        out.copy_from_slice(&FACTORS);
    }

    fn decays_after(&self) -> bool {
        self.after
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// The driver's step is no part of a rule's text, so the rule here has a copy of it.
#[test]
fn wrong_steps_of_the_driver_are_caught() {
    type Shows = fn(bool, bool) -> bool;
    let mutants: [(&str, &str, Shows); 8] = [
        ("moved + taken", "moved", |_, _| true),
        // Decay off the other parameter, or with the wrong sign of the step.
        ("if DECAY_AFTER", "if !DECAY_AFTER", |_, _| true),
        ("base = p - moved", "base = p", |_, after| after),
        ("base = p - moved", "base = p + moved", |_, after| after),
        // Decay where there should be none, or none where there should be.
        ("if CAUTIOUS", "if !CAUTIOUS", |_, _| true),
        ("u * p > real()", "u * p < real()", |cautious, _| cautious),
        ("u * p > real()", "u * p >= real()", |cautious, _| cautious),
        ("u * p > real()", "u * base > real()", |cautious, after| cautious && after),
    ];
    for (cautious, after) in [(false, false), (false, true), (true, false), (true, true)] {
        let right = Stepped::new(after, "var base", "var base").verified(cautious);
        assert!(right.passed(), "{right:?}");
        for (from, to, _) in mutants.iter().filter(|(.., shows)| shows(cautious, after)) {
            let row = Stepped::new(after, from, to).verified(cautious);
            assert!(!row.passed(), "{cautious}, {after}: `{from}` → `{to}` went unnoticed");
        }
    }
}

#[test]
fn the_lower_half_of_beta_keeps_a_long_average_unbiased() {
    // One step cannot tell: a β of f32 is only 1.3e-8 off. But 1 / (1 − β) multiplies that.
    let without = mutant(Adam::default(), "hyper.beta2_low, hyper.gain2", "0.0, hyper.gain2");
    let with = ok(long_run(gpu()));
    let without = ok(long_run_of(gpu(), without));
    println!("with both halves {:?}, with one {:?}", with.worst, without.worst);
    assert!(with.passed() && !without.passed());
    assert!(with.worst[0].ratio < 0.5 && without.worst[0].ratio > 5.0);
}

#[test]
fn a_rule_that_is_too_large_is_refused() {
    /// More state than a kernel binds.
    #[derive(Clone, Debug)]
    struct Large;

    impl Formula for Large {
        fn direction<N: Number>(&self, _: N, g: N, _: &mut [N], _: At) -> N {
            g
        }
    }

    impl Rule for Large {
        fn name(&self) -> &'static str {
            "large"
        }

        fn wgsl(&self) -> &'static str {
            ""
        }

        fn slots(&self) -> Vec<Slot> {
            ["a", "b", "c", "d", "e"].map(Slot::zero).into()
        }

        fn switches(&self) -> Vec<(&'static str, bool)> {
            Vec::new()
        }

        fn hyper(&self) -> Vec<Scalar> {
            Vec::new()
        }

        fn scalars(&self, _: At, _: &mut [f64]) {}

        fn check(&self) -> Result<(), Error> {
            Ok(())
        }
    }

    let error = Optimizer::new(&gpu().device).add_group(Group::new(1e-3, Large));
    let message = error.expect_err("it must be refused").to_string();
    assert_eq!(message, "rule `large` has 5 slots, a kernel at most 4; split the rule");
}

#[test]
fn a_rule_that_does_not_compile_is_refused_when_it_is_given() {
    let broken = mutant(Adam::default(), "let m =", "let m: u32 =");
    let error = Optimizer::new(&gpu().device).add_group(Group::new(1e-3, broken));
    let message = error.expect_err("it must be refused").to_string();
    assert!(message.starts_with("rule `mutant`: its kernel does not compile: "), "{message}");
}

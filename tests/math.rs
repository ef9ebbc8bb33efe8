//! The functions that rules share, on the GPU: `shaders/math.wgsl` against `Number`, by a rule that uses
//! all of them and keeps as many slots as a rule can.

use support::ByName;
use support::{gpu, ok, read};
use wgpu_optim::verify::verify_group;
use wgpu_optim::{At, Error, Formula, Group, Number, Optimizer, Rule, Scalar, Slot, View};

const WGSL: &str = "
    const SIGN = 0u;
    const LIMITED = 1u;
    const LARGER = 2u;
    const OR_ZERO = 3u;

    const HYPER_LENGTH = 1u;
    struct Hyper {
        half: f32,
    }

    fn direction(p: real, g: real, hyper: Hyper) -> real {
        state[SIGN] = sign_of(g);
        state[LIMITED] = limited(state[LIMITED] + g, real(-1.0), real(1.0));
        state[LARGER] = larger(state[LARGER], abs(g));
        state[OR_ZERO] = sign_or_zero(g);
        return hyper.half * state[SIGN] + state[LIMITED] + select(p, g, g >= p);
    }
";

#[derive(Clone, Debug)]
struct Shared {
    wgsl: &'static str,
}

impl Formula for Shared {
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], _: At) -> N {
        state[0] = g.sign();
        state[1] = (state[1] + g).clamp(N::scalar(-1.0), N::scalar(1.0));
        state[2] = state[2].larger(g.abs());
        state[3] = g.sign_or_zero();
        N::scalar(0.5) * state[0] + state[1] + g.select_ge(p, g, p)
    }
}

impl Rule for Shared {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn wgsl(&self) -> &'static str {
        self.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        ["sign", "limited", "larger", "or_zero"].map(Slot::zero).into()
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![Scalar::fixed("half")]
    }

    fn scalars(&self, _: At, out: &mut [f64]) {
        out[0] = 0.5;
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn a_rule_that_uses_them_is_within_its_bounds() {
    let row = ok(verify_group(gpu(), &Group::new(1e-2, Shared { wgsl: WGSL })));
    assert!(row.passed(), "{row:?}");
}

#[test]
fn a_wrong_use_is_caught() {
    let mutants = [
        ("sign_of(g)", "sign_of(-g)"),
        ("sign_of(g)", "select(real(-1.0), real(1.0), g >= real(0.0))"),
        ("real(1.0));", "real(1.001));"),
        ("g >= p", "g <= p"),
        ("sign_or_zero(g)", "sign_or_zero(-g)"),
        ("larger(state[LARGER], abs(g))", "larger(state[LARGER], g)"),
        ("larger(state[LARGER], abs(g))", "abs(g)"),
    ];
    for (from, to) in mutants {
        assert_eq!(WGSL.matches(from).count(), 1, "{from}");
        // Leaked: a rule's WGSL is a constant of its crate.
        let wgsl = Box::leak(WGSL.replace(from, to).into_boxed_str());
        let row = ok(verify_group(gpu(), &Group::new(1e-2, Shared { wgsl })));
        assert!(!row.passed(), "`{from}` → `{to}` went unnoticed");
    }
}

#[test]
fn a_nan_stays_one() {
    let gpu = gpu();
    let grads = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 2.0, -0.25];
    let (w, g) = (ok(gpu.zeros("w", 8)), ok(gpu.upload("g", &grads)));
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(Group::new(0.0, Shared { wgsl: WGSL })));
    ok(optimizer.add_param(group, "w", View::f32(&w), View::f32(&g)));
    gpu.step(&mut optimizer);
    let signs = read(gpu, &ok(optimizer.state_of("w", "sign")));
    let limited = read(gpu, &ok(optimizer.state_of("w", "limited")));
    for numbers in [&signs, &limited] {
        assert!(numbers[..2].iter().all(|x| x.is_nan()), "{numbers:?}");
    }
    assert_eq!(signs[2..], [1.0, -1.0, 0.0, 0.0, 1.0, -1.0]);
    let larger = read(gpu, &ok(optimizer.state_of("w", "larger")));
    assert!(larger[..2].iter().all(|x| x.is_nan()), "{larger:?}");
    assert_eq!(larger[2..], [f32::INFINITY, f32::INFINITY, 0.0, 0.0, 2.0, 0.25]);
    let or_zero = read(gpu, &ok(optimizer.state_of("w", "or_zero")));
    assert_eq!(or_zero, [0.0, 0.0, 1.0, -1.0, 0.0, 0.0, 1.0, -1.0]);
    assert_eq!(limited[2..], [1.0, -1.0, 0.0, 0.0, 1.0, -0.25]);
}

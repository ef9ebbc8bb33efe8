//! The functions that rules use, on the GPU: `shaders/math.wgsl` against `Number`, by a rule that uses all of them and
//! keeps as many slots as a rule can, and by another rule the functions that single rules have.

use support::ByName;
use support::{gpu, ok, read};
use wgpu_optim::verify::verify_group;
use wgpu_optim::{
    AdamAtan2, At, Error, Formula, Group, Madgrad, Number, OneStep, Optimizer, Rule, Scalar, Slot,
    View,
};

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

/// The functions of single rules, without the rules.
const OWN: &str = "
    const ROOT = 0u;
    const ANGLE = 1u;
    const LAST = 2u;

    const HYPER_LENGTH = 1u;
    struct Hyper {
        one: f32,
    }

    fn direction(p: real, g: real, hyper: Hyper) -> real {
        state[ROOT] = cube_root(abs(g));
        state[ANGLE] = arc_tangent(g, state[LAST]);
        state[LAST] = abs(g);
        return hyper.one * state[ROOT] + state[ANGLE];
    }
";

/// The constants and functions that stand between the scalars and the direction of a rule.
fn functions(wgsl: &str) -> &str {
    let (_, rest) = wgsl.split_once("struct Hyper").unwrap_or_else(|| panic!("{wgsl}"));
    let (_, rest) = rest.split_once("}\n").unwrap_or_else(|| panic!("{wgsl}"));
    rest.split("fn direction").next().unwrap_or_default()
}

#[derive(Clone, Debug)]
struct Own {
    wgsl: &'static str,
}

impl Own {
    /// The rule with one piece of its WGSL replaced.
    fn changed(from: &str, to: &str) -> Self {
        let texts = [Madgrad::default().wgsl(), AdamAtan2::default().wgsl()].map(functions);
        let wgsl = texts.concat() + OWN;
        assert_eq!(wgsl.matches(from).count(), 1, "{from}");
        // Leaked: a rule's WGSL is a constant of its crate.
        Self { wgsl: Box::leak(wgsl.replace(from, to).into_boxed_str()) }
    }
}

impl Default for Own {
    fn default() -> Self {
        Self::changed("one: f32", "one: f32")
    }
}

impl Formula for Own {
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], _: At) -> N {
        state[0] = g.abs().cbrt();
        state[1] = g.atan2(state[2]);
        state[2] = g.abs();
        N::scalar(1.0) * state[0] + state[1]
    }
}

impl Rule for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn wgsl(&self) -> &'static str {
        self.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        ["root", "angle", "last"].map(Slot::zero).into()
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![Scalar::fixed("one")]
    }

    fn scalars(&self, _: At, out: &mut [f64]) {
        out[0] = 1.0;
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
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

/// The cube roots of all numbers of `y`, and the angles of the points (|x|, y).
fn own(x: &[f32], y: &[f32]) -> [Vec<f32>; 2] {
    let gpu = gpu();
    let (w, grad) = (ok(gpu.zeros("w", x.len() as u64)), ok(gpu.upload("g", x)));
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(Group::new(0.0, Own::default())));
    ok(optimizer.add_param(group, "w", View::f32(&w), View::f32(&grad)));
    gpu.step(&mut optimizer);
    // An infinite step leaves a NaN, which would be in the next gradient.
    gpu.queue.write_buffer(&w, 0, &vec![0; 4 * x.len()]);
    gpu.queue.write_buffer(&grad, 0, bytemuck::cast_slice(y));
    gpu.step(&mut optimizer);
    ["root", "angle"].map(|slot| read(gpu, &ok(optimizer.state_of("w", slot))))
}

#[test]
fn cube_roots_and_angles_are_within_their_bounds_for_numbers_of_every_size() {
    // Every exponent with many mantissas, then many more mantissas of three exponents, which a cube root repeats.
    let wide = (f32::MIN_POSITIVE.to_bits()..=f32::MAX.to_bits()).step_by(1013);
    let dense = (1.0_f32.to_bits()..8.0_f32.to_bits()).step_by(13);
    let bits: Vec<u32> = wide.chain(dense).collect();
    let numbers: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
    // Beside each number another one, from 2⁻¹² to 2¹² times as large.
    const NEAR: i64 = 12 << 23;
    let beside = |(i, bits): (usize, &u32)| {
        let shift = (i as u64 * 2_654_435_761 % (2 * NEAR as u64)) as i64 - NEAR;
        let range = i64::from(f32::MIN_POSITIVE.to_bits())..=i64::from(2e37_f32.to_bits());
        f32::from_bits((i64::from(*bits) + shift).clamp(*range.start(), *range.end()) as u32)
    };
    let others: Vec<f32> = bits.iter().enumerate().map(beside).collect();
    let [roots, angles] = own(&others, &numbers);
    let mut worst = [0.0_f64; 2];
    let mut ulps = [0.0_f64; 2];
    for (i, (g, p)) in numbers.iter().zip(&others).enumerate() {
        let [g, p] = [*g, *p].map(OneStep::loaded);
        for (kind, (bound, is)) in
            [(g.cbrt(), roots[i]), (g.atan2(p), angles[i])].into_iter().enumerate()
        {
            if bound.is_bounded() {
                worst[kind] = worst[kind].max(bound.ratio(is));
                let off = (f64::from(is) - bound.value).abs() / bound.value;
                ulps[kind] = ulps[kind].max(off / f64::from(f32::EPSILON));
            }
        }
    }
    println!("{} numbers: {worst:?} of the bounds, {ulps:?} ulp", numbers.len());
    assert!(worst.iter().all(|worst| *worst <= 1.0), "{worst:?}");
}

#[test]
fn a_rule_that_uses_cube_roots_and_angles_is_within_its_bounds() {
    let row = ok(verify_group(gpu(), &Group::new(1e-2, Own::default())));
    assert!(row.passed(), "{row:?}");
    // With WGSL's own functions, and with less exact ones.
    let mutants = [
        ("cube_root(abs(g))", "pow(abs(g), real(0.33333333))"),
        (
            "bits / real_bits(3u) + real_bits(0x2a510800u)",
            "bits / real_bits(3u) + real_bits(0x2a000000u)",
        ),
        ("0.0432118401", "0.0432"),
        ("1.57079633", "1.570794"),
        ("bitcast<real_bits>(turned) | sign", "bitcast<real_bits>(turned)"),
    ];
    for (from, to) in mutants {
        let row = ok(verify_group(gpu(), &Group::new(1e-2, Own::changed(from, to))));
        assert!(!row.passed(), "`{from}` → `{to}` went unnoticed");
    }
}

#[test]
fn cube_roots_and_angles_keep_a_nan_an_infinity_and_a_zero() {
    const INF: f32 = f32::INFINITY;
    let y = [f32::NAN, -f32::NAN, INF, -INF, 0.0, -0.0, -INF, 1.0];
    let x = [1.0, 1.0, 1.0, INF, 0.0, 1.0, f32::NAN, INF];
    let [roots, angles] = own(&x, &y);
    assert!(roots[..2].iter().all(|x| x.is_nan()), "{roots:?}");
    assert_eq!(roots[2..], [INF, INF, 0.0, 0.0, INF, 1.0]);
    assert!([0, 1, 6].iter().all(|i| angles[*i].is_nan()), "{angles:?}");
    let quarter = std::f32::consts::FRAC_PI_4;
    assert_eq!(angles[2..6], [2.0 * quarter, -quarter, 0.0, 0.0]);
    assert!(angles[7].abs() < 1e-37, "{angles:?}");
}

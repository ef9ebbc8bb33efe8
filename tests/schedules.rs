//! Schedules against the numbers of PyTorch's and Optax's (`tools/golden_schedules.py` made the file), their ends,
//! and every refusal.

use proptest::prelude::*;
use serde_json::Value;
use support::ok;
use wgpu_optim::{PlateauMode, ReduceOnPlateau, Schedule, SchedulePart, ThresholdMode};

fn goldens() -> Value {
    ok(serde_json::from_str(include_str!("golden_schedules.json")))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The numbers of a list. JSON has none that are not finite, so that these are words.
fn numbers(value: &Value) -> Vec<f64> {
    let number = |value: &Value| {
        let word = || value.as_str().and_then(|word| word.parse().ok());
        value.as_f64().or_else(word).unwrap_or_else(|| panic!("{value} is no number"))
    };
    list(value).iter().map(number).collect()
}

/// A schedule from its object, read here without the crate's own reader.
fn read(value: &Value) -> Schedule {
    let number =
        |key: &str| value[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {value}"));
    let count =
        |key: &str| value[key].as_u64().unwrap_or_else(|| panic!("no count `{key}` in {value}"));
    let counts =
        |key: &str| -> Vec<u64> { list(&value[key]).iter().filter_map(Value::as_u64).collect() };
    let steps = || count("steps");
    let [start, end, gamma, peak] =
        ["start", "end", "gamma", "peak"].map(|key| move || number(key));
    match value["schedule"].as_str().unwrap_or_default() {
        "constant" => Schedule::constant(number("value")),
        "linear" => Schedule::linear(start(), end(), steps()),
        "polynomial" => Schedule::polynomial(start(), end(), number("power"), steps()),
        "cosine" => Schedule::cosine(start(), end(), steps()),
        "cosine_restarts" => Schedule::cosine_restarts(start(), end(), steps(), count("factor")),
        "exponential" => Schedule::exponential(start(), gamma()),
        "step" => Schedule::step(start(), gamma(), count("every")),
        "multi_step" => Schedule::multi_step(start(), gamma(), counts("milestones")),
        "one_cycle" => {
            let [pct_start, div, final_div] = ["pct_start", "div", "final_div"].map(number);
            Schedule::one_cycle(peak(), steps(), pct_start, div, final_div)
        }
        "cyclic" => Schedule::cyclic(number("low"), number("high"), count("up"), count("down")),
        "inverse_sqrt" => Schedule::inverse_sqrt(peak(), count("warmup")),
        "wsd" => {
            Schedule::wsd(peak(), count("warmup"), count("stable"), count("decay"), number("end"))
        }
        "piecewise" => Schedule::piecewise(counts("boundaries"), numbers(&value["values"])),
        "warmup" => Schedule::warmup(steps(), number("from"), read(&value["then"])),
        "sequence" => {
            let part =
                |part: &Value| SchedulePart { steps: part["for"].as_u64(), schedule: read(part) };
            Schedule::Sequence { parts: list(&value["parts"]).iter().map(part).collect() }
        }
        name => panic!("a schedule `{name}` in the goldens"),
    }
}

#[test]
fn schedules_agree_with_their_origins() {
    let goldens = goldens();
    let mut seen = std::collections::BTreeSet::new();
    let mut worst = (0.0, String::new());
    for row in list(&goldens["rows"]) {
        let schedule = read(&row["schedule"]);
        ok(schedule.check());
        seen.insert(schedule.name());
        let values = numbers(&row["values"]);
        let peak = values.iter().copied().fold(0.0, f64::max);
        assert!(!values.is_empty(), "{row}");
        for (t, value) in (1..).zip(&values) {
            let found = schedule.at(t);
            let off = (found - value).abs() / peak;
            assert!(
                off <= 1e-10,
                "{} at {t}: {found} in place of {value}: {schedule:?}",
                row["origin"]
            );
            if off > worst.0 {
                worst = (off, format!("{} at {t}", row["origin"]));
            }
        }
    }
    println!("worst distance from an origin, relative to the peak: {:e}, {}", worst.0, worst.1);
    assert_eq!(seen.len(), 15, "{seen:?}");
}

#[test]
fn the_plateau_is_pytorchs() {
    let goldens = goldens();
    let rows = list(&goldens["plateau"]);
    assert!(rows.len() > 10);
    for row in rows {
        let options = &row["options"];
        let number = |key: &str| options[key].as_f64().unwrap_or_else(|| panic!("{key}"));
        let count = |key: &str| options[key].as_u64().unwrap_or_else(|| panic!("{key}"));
        let mut plateau = ReduceOnPlateau {
            mode: if options["mode"] == "max" { PlateauMode::Max } else { PlateauMode::Min },
            factor: number("factor"),
            patience: count("patience"),
            threshold: number("threshold"),
            threshold_mode: match options["threshold_mode"].as_str() {
                Some("abs") => ThresholdMode::Abs,
                _ => ThresholdMode::Rel,
            },
            cooldown: count("cooldown"),
            min_lr: number("min_lr"),
            eps: number("eps"),
            ..ReduceOnPlateau::new(number("lr"))
        };
        ok(plateau.check());
        let (metrics, values) = (numbers(&row["metrics"]), numbers(&row["values"]));
        assert_eq!(metrics.len(), values.len());
        for (i, (metric, value)) in metrics.iter().zip(&values).enumerate() {
            let found = plateau.step(*metric);
            // JSON's reader may be a unit in the last place off.
            let same = (found - value).abs() <= 1e-15 * value;
            assert!(same, "metric {i}: {found} in place of {value}: {options}");
        }
    }
}

/// One of each, with the step that has the end, and the end.
fn ending() -> Vec<(Schedule, u64, f64)> {
    let cosine = Schedule::cosine(1e-3, 1e-5, 900);
    vec![
        (Schedule::constant(0.3), 1, 0.3),
        (Schedule::linear(0.1, 0.3, 7), 8, 0.3),
        (Schedule::linear(0.7, 0.1, 3), 4, 0.1),
        (Schedule::polynomial(0.1, 0.3, 0.7, 11), 12, 0.3),
        (Schedule::cosine(1e-3, 1e-7, 13), 14, 1e-7),
        (Schedule::multi_step(0.5, 0.5, [3, 9]), 10, 0.125),
        (Schedule::one_cycle(0.1, 50, 0.37, 8.0, 16.0), 50, 0.1 / 8.0 / 16.0),
        (Schedule::wsd(0.1, 3, 4, 5, 0.01), 12, 0.01),
        (Schedule::piecewise([3, 9], [1.0, 2.0, 0.7]), 10, 0.7),
        (Schedule::warmup(100, 0.0, cosine.clone()), 1001, 1e-5),
        (Schedule::sequence([(5, 1.0.into()), (7, cosine.clone())], cosine), 913, 1e-5),
    ]
}

/// No rounding, and no step before.
#[test]
fn ends_are_exact() {
    for (schedule, last, end) in ending() {
        for t in [last, last + 1, 1_000_000_000_000_000, u64::MAX - 1, u64::MAX] {
            assert_eq!(schedule.at(t), end, "{schedule:?} at {t}");
        }
        if last > 1 {
            assert_ne!(schedule.at(last - 1), end, "{schedule:?}");
        }
        assert_eq!(schedule.at(0), schedule.at(1), "{schedule:?}");
    }
    for (schedule, first) in [
        (Schedule::linear(0.7, 0.1, 3), 0.7),
        (Schedule::polynomial(0.7, 0.1, 0.3, 3), 0.7),
        (Schedule::cosine(0.7, 0.1, 3), 0.7),
        (Schedule::cosine_restarts(0.7, 0.1, 3, 2), 0.7),
        (Schedule::one_cycle(0.7, 100, 0.3, 7.0, 2.0), 0.7 / 7.0),
        (Schedule::one_cycle(0.7, 100, 0.01, 7.0, 2.0), 0.7),
        (Schedule::inverse_sqrt(0.7, 10), 0.7 * 0.1),
        (Schedule::wsd(0.7, 10, 3, 4, 0.0), 0.7 * 0.1),
        (Schedule::warmup(9, 0.123, 0.7), 0.123),
    ] {
        assert_eq!(schedule.at(1), first, "{schedule:?}");
    }
}

/// Each value is that of the formula, as the documentation has it.
#[test]
fn peaks_are_where_they_should_be() {
    let noam = Schedule::inverse_sqrt(0.3, 40);
    assert_eq!([noam.at(40), noam.at(160)], [0.3, 0.15]);
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    let wsd = Schedule::wsd(0.3, 4, 2, 2, 0.1);
    assert_eq!([4, 5, 6, 8].map(|t| wsd.at(t)), [0.3, 0.3, 0.3, 0.1]);
    let values: Vec<f64> = (1..=9).map(|t| rounded(wsd.at(t))).collect();
    assert_eq!(values, [0.075, 0.15, 0.225, 0.3, 0.3, 0.3, 0.2, 0.1, 0.1]);
    assert_eq!(Schedule::wsd(0.3, 4, 0, 2, 0.1).at(5), 0.2);
    let cycle = Schedule::one_cycle(0.3, 100, 0.3, 25.0, 1e4);
    assert_eq!(cycle.at(30), 0.3);
    assert!(cycle.at(29) < 0.3 && cycle.at(31) < 0.3);
    let cyclic = Schedule::cyclic(0.1, 0.5, 2, 4);
    let values: Vec<f64> = (1..=8).map(|t| rounded(cyclic.at(t))).collect();
    assert_eq!(values, [0.1, 0.3, 0.5, 0.4, 0.3, 0.2, 0.1, 0.3]);
    assert_eq!(cyclic.at(3), 0.5);
    let warmup = Schedule::warmup(4, 0.0, Schedule::linear(1.0, 0.0, 4));
    let values: Vec<f64> = (1..=9).map(|t| warmup.at(t)).collect();
    assert_eq!(values, [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]);
    // The first boundary's steps have the first value.
    let piecewise = Schedule::piecewise([3], [1.0, 0.5]);
    assert_eq!([1, 3, 4].map(|t| piecewise.at(t)), [1.0, 1.0, 0.5]);
}

/// Cycles of 3, 3·2, 3·4, … begin exactly where sums of a geometric series say, however late.
#[test]
fn restarts_are_exact_and_take_no_loop_over_steps() {
    for factor in [2_u64, 3, 10] {
        let schedule = Schedule::cosine_restarts(1.0, 0.25, 3, factor);
        let (mut begin, mut length) = (1_u64, 3_u64);
        while let (Some(next), Some(longer)) =
            (begin.checked_add(length), length.checked_mul(factor))
        {
            assert_eq!(schedule.at(begin), 1.0, "factor {factor}, step {begin}");
            assert!(schedule.at(next - 1) < 1.0, "factor {factor}, step {}", next - 1);
            assert_eq!(schedule.at(next), 1.0, "factor {factor}, step {next}");
            (begin, length) = (next, longer);
        }
        assert!(begin > 1 << 56);
    }
    let same = Schedule::cosine_restarts(1.0, 0.25, 1000, 1);
    let late = 1_000_000_000_000_000;
    assert_eq!(same.at(late + 1), 1.0);
    assert_eq!(same.at(late + 501), same.at(501));
    let cyclic = Schedule::cyclic(0.0, 1.0, 400, 600);
    assert_eq!(cyclic.at(late + 401), 1.0);
}

/// No step, late or early, is anything but a finite f32 number, 0 or more; growth ends at the largest.
#[test]
fn values_are_finite_however_late() {
    let grown = Schedule::exponential(1e-7, 1.1);
    assert_eq!(grown.at(1_000_000_000_000_000), f64::from(f32::MAX));
    assert_eq!(Schedule::exponential(0.0, 2.0).at(u64::MAX), 0.0);
    assert_eq!(Schedule::step(1.0, 0.5, 10).at(u64::MAX), 0.0);
    assert_eq!(Schedule::exponential(1.0, 1.0).at(u64::MAX), 1.0);
    assert_eq!(grown.range(), [1e-7, f64::from(f32::MAX)]);
    let part = Schedule::sequence([(11, Schedule::exponential(1.0, 2.0))], 0.5);
    assert_eq!(part.range(), [0.5, 1024.0]);
    let tiny = Schedule::one_cycle(1.0, 10, 0.3, 1e-300, 1e-300);
    assert_eq!([tiny.at(1), tiny.at(99)], [f64::from(f32::MAX); 2]);
}

#[test]
fn parts_begin_at_their_own_beginning() {
    let parts = [
        (10, Schedule::linear(0.0, 1.0, 10)),
        (1, Schedule::constant(0.5)),
        (20, Schedule::cosine_restarts(1.0, 0.0, 5, 2)),
    ];
    let last = Schedule::exponential(1.0, 0.9);
    let whole = Schedule::sequence(parts.clone(), last.clone());
    let mut before = 0;
    for (steps, part) in parts {
        for t in 1..=steps {
            assert_eq!(whole.at(before + t), part.at(t), "{part:?} at {t}");
        }
        before += steps;
    }
    for t in [1, 2, 3, 1000] {
        assert_eq!(whole.at(before + t), last.at(t));
    }
    let [inner, outer] = [(3, 0.5), (5, 0.25)];
    let nested =
        Schedule::warmup(outer.0, outer.1, Schedule::warmup(inner.0, inner.1, last.clone()));
    assert_eq!([1, 6, 9, 10].map(|t| nested.at(t)), [0.25, 0.5, last.at(1), last.at(2)]);
}

/// A schedule that was not checked gives some number, and never panics.
#[test]
fn wrong_schedules_do_not_panic() {
    for schedule in [
        Schedule::linear(1.0, 0.5, 0),
        Schedule::cosine(1.0, 0.5, 0),
        Schedule::polynomial(1.0, 0.5, -1.0, 0),
        Schedule::cosine_restarts(1.0, 0.5, 0, 0),
        Schedule::cosine_restarts(1.0, 0.5, 0, 2),
        Schedule::step(1.0, 0.5, 0),
        Schedule::multi_step(1.0, 0.5, []),
        Schedule::one_cycle(1.0, 0, 0.0, 0.0, 0.0),
        Schedule::cyclic(1.0, 0.5, 0, 0),
        Schedule::inverse_sqrt(1.0, 0),
        Schedule::wsd(1.0, 0, 0, 0, 0.0),
        Schedule::wsd(1.0, u64::MAX, u64::MAX, u64::MAX, 0.0),
        Schedule::piecewise([], []),
        Schedule::piecewise([1, 2], [1.0]),
        Schedule::warmup(0, 0.0, f64::NAN),
        Schedule::Sequence { parts: Vec::new() },
    ] {
        for t in [0, 1, 2, 3, u64::MAX] {
            let _ = schedule.at(t);
        }
        let _ = schedule.range();
    }
}

fn steps() -> impl Strategy<Value = u64> {
    prop_oneof![1..20_u64, 1..2000_u64]
}

fn rates() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 1e-6..1.0]
}

/// Any schedule that is one way, with its ends.
fn one_way() -> impl Strategy<Value = (Schedule, [f64; 2])> {
    (rates(), rates(), steps(), 0.2..4.0, 0..3).prop_map(|(start, end, steps, power, kind)| {
        let schedule = match kind {
            0 => Schedule::linear(start, end, steps),
            1 => Schedule::polynomial(start, end, power, steps),
            _ => Schedule::cosine(start, end, steps),
        };
        (schedule, [start, end])
    })
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let rising = |gaps: Vec<u64>| -> Vec<u64> {
        gaps.into_iter()
            .scan(0, |sum, gap| {
                Some({
                    *sum += gap;
                    *sum
                })
            })
            .collect()
    };
    let gaps = || prop::collection::vec(1..50_u64, 1..6);
    let leaf = prop_oneof![
        rates().prop_map(Schedule::constant),
        one_way().prop_map(|(schedule, _)| schedule),
        (rates(), rates(), 1..50_u64, 1..4_u64)
            .prop_map(|(a, b, n, f)| Schedule::cosine_restarts(a, b, n, f)),
        (rates(), 0.5..1.1).prop_map(|(a, gamma)| Schedule::exponential(a, gamma)),
        (rates(), 0.1..2.0, 1..50_u64).prop_map(|(a, gamma, n)| Schedule::step(a, gamma, n)),
        (rates(), 0.1..2.0, gaps()).prop_map(move |(a, g, m)| Schedule::multi_step(
            a,
            g,
            rising(m)
        )),
        (rates(), steps(), 0.0..1.0, 0.5..30.0, 0.5..1e4)
            .prop_map(|(peak, n, pct, div, last)| Schedule::one_cycle(peak, n, pct, div, last)),
        (rates(), rates(), 1..50_u64, 1..50_u64)
            .prop_map(|(a, b, up, down)| Schedule::cyclic(a, b, up, down)),
        (rates(), steps()).prop_map(|(peak, n)| Schedule::inverse_sqrt(peak, n)),
        (rates(), 1..50_u64, 0..50_u64, 1..50_u64, rates())
            .prop_map(|(peak, w, s, d, end)| Schedule::wsd(peak, w, s, d, end)),
        (gaps(), prop::collection::vec(rates(), 6)).prop_map(move |(gaps, values)| {
            let boundaries = rising(gaps);
            let values = values[..=boundaries.len()].to_vec();
            Schedule::piecewise(boundaries, values)
        }),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            (1..60_u64, rates(), inner.clone())
                .prop_map(|(n, from, then)| Schedule::warmup(n, from, then)),
            (prop::collection::vec((1..60_u64, inner.clone()), 1..4), inner)
                .prop_map(|(parts, last)| Schedule::sequence(parts, last)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A way begins and ends exactly, turns nowhere, and leaves the range between its ends nowhere.
    #[test]
    fn ways_go_one_way((schedule, [start, end]) in one_way()) {
        prop_assert_eq!(schedule.at(1), start);
        prop_assert_eq!(schedule.at(1_000_000), end);
        let rising = end >= start;
        // Neighbours may be nearer than rounding.
        let slack = 4.0 * f64::EPSILON * start.max(end);
        for t in 1..2100 {
            let [now, next] = [t, t + 1].map(|t| schedule.at(t));
            let goes_on = if rising { next >= now - slack } else { next <= now + slack };
            prop_assert!(goes_on, "{} after {} at {}", next, now, t);
            prop_assert!((start.min(end)..=start.max(end)).contains(&now));
        }
    }

    /// Every schedule of right numbers passes its check, and every value lies in its range.
    #[test]
    fn values_lie_in_the_range(schedule in any_schedule(), t in 1..u64::MAX) {
        prop_assert!(schedule.check().is_ok(), "{:?}", schedule.check());
        let [low, high] = schedule.range();
        for t in (1..1500).chain([t]) {
            let value = schedule.at(t);
            prop_assert!((low..=high).contains(&value), "{} at {}: {:?}", value, t, [low, high]);
        }
    }

    /// A warm-up and a sequence are what they hold, later: so a resumed run needs only its step.
    #[test]
    fn what_follows_is_the_same_later(schedule in any_schedule(), n in 1..500_u64, t in 1..5000_u64) {
        let later = Schedule::warmup(n, 0.5, schedule.clone());
        prop_assert_eq!(later.at(n + t), schedule.at(t));
        let later = Schedule::sequence([(n, Schedule::constant(0.5))], schedule.clone());
        prop_assert_eq!(later.at(n + t), schedule.at(t));
    }
}

#[test]
#[rustfmt::skip]
fn every_refusal_names_the_key() {
    let count = "a whole number, 1 or more";
    let value = "a finite f32 number, 0 or more";
    let factor = "a finite number above 0";
    let nan = f64::NAN;
    let part = |steps: Option<u64>| SchedulePart { steps, schedule: 1.0.into() };
    let rows = [
        (Schedule::constant(-1.0), "constant", format!("`value` is -1; it must be {value}")),
        (Schedule::constant(nan), "constant", format!("`value` is NaN; it must be {value}")),
        (Schedule::constant(f64::INFINITY), "constant", format!("`value` is inf; it must be {value}")),
        (Schedule::linear(-1e-3, 0.0, 1), "linear", format!("`start` is -0.001; it must be {value}")),
        (Schedule::linear(1.0, nan, 1), "linear", format!("`end` is NaN; it must be {value}")),
        (Schedule::linear(1.0, 0.0, 0), "linear", format!("`steps` is 0; it must be {count}")),
        (Schedule::polynomial(nan, 0.0, 1.0, 1), "polynomial", format!("`start` is NaN; it must be {value}")),
        (Schedule::polynomial(1.0, -2.0, 1.0, 1), "polynomial", format!("`end` is -2; it must be {value}")),
        (Schedule::polynomial(1.0, 0.0, 0.0, 1), "polynomial", format!("`power` is 0; it must be {factor}")),
        (Schedule::polynomial(1.0, 0.0, 1.0, 0), "polynomial", format!("`steps` is 0; it must be {count}")),
        (Schedule::cosine(-1.0, 0.0, 1), "cosine", format!("`start` is -1; it must be {value}")),
        (Schedule::cosine(1.0, -1.0, 1), "cosine", format!("`end` is -1; it must be {value}")),
        (Schedule::cosine(1.0, 0.0, 0), "cosine", format!("`steps` is 0; it must be {count}")),
        (Schedule::cosine_restarts(-1.0, 0.0, 1, 1), "cosine_restarts", format!("`start` is -1; it must be {value}")),
        (Schedule::cosine_restarts(1.0, -1.0, 1, 1), "cosine_restarts", format!("`end` is -1; it must be {value}")),
        (Schedule::cosine_restarts(1.0, 0.0, 0, 1), "cosine_restarts", format!("`steps` is 0; it must be {count}")),
        (Schedule::cosine_restarts(1.0, 0.0, 1, 0), "cosine_restarts", format!("`factor` is 0; it must be {count}")),
        (Schedule::exponential(-1.0, 0.5), "exponential", format!("`start` is -1; it must be {value}")),
        (Schedule::exponential(1.0, -0.5), "exponential", format!("`gamma` is -0.5; it must be {factor}")),
        (Schedule::exponential(1.0, nan), "exponential", format!("`gamma` is NaN; it must be {factor}")),
        (Schedule::step(-1.0, 0.5, 1), "step", format!("`start` is -1; it must be {value}")),
        (Schedule::step(1.0, 0.0, 1), "step", format!("`gamma` is 0; it must be {factor}")),
        (Schedule::step(1.0, 0.5, 0), "step", format!("`every` is 0; it must be {count}")),
        (Schedule::multi_step(-1.0, 0.5, [1]), "multi_step", format!("`start` is -1; it must be {value}")),
        (Schedule::multi_step(1.0, -0.5, [1]), "multi_step", format!("`gamma` is -0.5; it must be {factor}")),
        (Schedule::multi_step(1.0, 0.5, []), "multi_step", "`milestones` is a list of 0 numbers; it must be a list of at least 1 step, or the schedule `constant`".into()),
        (Schedule::multi_step(1.0, 0.5, [0, 1]), "multi_step", format!("`milestones[0]` is 0; it must be {count}")),
        (Schedule::multi_step(1.0, 0.5, [10, 30, 30]), "multi_step", "`milestones[2]` is 30; it must be above `milestones[1]`, which is 30".into()),
        (Schedule::one_cycle(-1.0, 1, 0.3, 25.0, 1e4), "one_cycle", format!("`peak` is -1; it must be {value}")),
        (Schedule::one_cycle(1.0, 0, 0.3, 25.0, 1e4), "one_cycle", format!("`steps` is 0; it must be {count}")),
        (Schedule::one_cycle(1.0, 1, 1.0, 25.0, 1e4), "one_cycle", "`pct_start` is 1; it must be at least 0 and below 1".into()),
        (Schedule::one_cycle(1.0, 1, nan, 25.0, 1e4), "one_cycle", "`pct_start` is NaN; it must be at least 0 and below 1".into()),
        (Schedule::one_cycle(1.0, 1, 0.3, 0.0, 1e4), "one_cycle", format!("`div` is 0; it must be {factor}")),
        (Schedule::one_cycle(1.0, 1, 0.3, 25.0, -1.0), "one_cycle", format!("`final_div` is -1; it must be {factor}")),
        (Schedule::cyclic(-1.0, 1.0, 1, 1), "cyclic", format!("`low` is -1; it must be {value}")),
        (Schedule::cyclic(0.0, -1.0, 1, 1), "cyclic", format!("`high` is -1; it must be {value}")),
        (Schedule::cyclic(0.0, 1.0, 0, 1), "cyclic", format!("`up` is 0; it must be {count}")),
        (Schedule::cyclic(0.0, 1.0, 1, 0), "cyclic", format!("`down` is 0; it must be {count}")),
        (Schedule::inverse_sqrt(-1.0, 1), "inverse_sqrt", format!("`peak` is -1; it must be {value}")),
        (Schedule::inverse_sqrt(1.0, 0), "inverse_sqrt", format!("`warmup` is 0; it must be {count}")),
        (Schedule::wsd(-1.0, 1, 0, 1, 0.0), "wsd", format!("`peak` is -1; it must be {value}")),
        (Schedule::wsd(1.0, 1, 0, 1, -1.0), "wsd", format!("`end` is -1; it must be {value}")),
        (Schedule::wsd(1.0, 0, 0, 1, 0.0), "wsd", format!("`warmup` is 0; it must be {count}")),
        (Schedule::wsd(1.0, 1, 0, 0, 0.0), "wsd", format!("`decay` is 0; it must be {count}")),
        (Schedule::piecewise([], [1.0]), "piecewise", "`boundaries` is a list of 0 numbers; it must be a list of at least 1 step, or the schedule `constant`".into()),
        (Schedule::piecewise([5, 4], [1.0, 2.0, 3.0]), "piecewise", "`boundaries[1]` is 4; it must be above `boundaries[0]`, which is 5".into()),
        (Schedule::piecewise([5, 6], [1.0, 2.0]), "piecewise", "`values` is a list of 2 numbers; it must be a list of 3, one more than `boundaries`".into()),
        (Schedule::piecewise([5], [1.0, 2.0, 3.0]), "piecewise", "`values` is a list of 3 numbers; it must be a list of 2, one more than `boundaries`".into()),
        (Schedule::piecewise([5], [1.0, -2.0]), "piecewise", format!("`values[1]` is -2; it must be {value}")),
        (Schedule::warmup(0, 0.0, 1.0), "warmup", format!("`steps` is 0; it must be {count}")),
        (Schedule::warmup(1, -1.0, 1.0), "warmup", format!("`from` is -1; it must be {value}")),
        (Schedule::warmup(1, 0.0, Schedule::cosine(1.0, 0.0, 0)), "cosine", format!("`then.steps` is 0; it must be {count}")),
        (Schedule::Sequence { parts: Vec::new() }, "sequence", "`parts` is an empty list; it must be a list of schedules".into()),
        (Schedule::sequence([(0, 1.0.into())], 1.0), "sequence", format!("`parts[0].for` is 0; it must be {count}")),
        (Schedule::Sequence { parts: vec![part(None), part(None)] }, "sequence", format!("`parts[0].for` is missing; it must be {count}; only the last part has no end")),
        (Schedule::Sequence { parts: vec![part(Some(1)), part(Some(7))] }, "sequence", "`parts[1].for` is 7; it must be left out, because the last part has no end".into()),
        (Schedule::sequence([(1, Schedule::warmup(1, 0.0, Schedule::piecewise([2, 1], [0.0; 3])))], 1.0), "piecewise", "`parts[0].then.boundaries[1]` is 1; it must be above `parts[0].then.boundaries[0]`, which is 2".into()),
    ];
    for (schedule, name, expected) in rows {
        let error = schedule.check().expect_err(&expected);
        assert_eq!(error.to_string(), format!("schedule `{name}`: {expected}"));
    }
    let plateau = || ReduceOnPlateau::new(1e-3);
    let rows = [
        (ReduceOnPlateau::new(-1.0), format!("`lr` is -1; it must be {value}")),
        (ReduceOnPlateau { min_lr: nan, ..plateau() }, format!("`min_lr` is NaN; it must be {value}")),
        (ReduceOnPlateau { threshold: -0.1, ..plateau() }, format!("`threshold` is -0.1; it must be {value}")),
        (ReduceOnPlateau { eps: -0.1, ..plateau() }, format!("`eps` is -0.1; it must be {value}")),
        (ReduceOnPlateau { factor: 1.0, ..plateau() }, "`factor` is 1; it must be at least 0 and below 1".into()),
    ];
    for (plateau, expected) in rows {
        let error = plateau.check().expect_err(&expected);
        assert_eq!(error.to_string(), format!("schedule `reduce_on_plateau`: {expected}"));
    }
}

/// The form is that of CONFIG, and state is part of a plateau's.
#[cfg(feature = "serde")]
#[test]
fn serde_has_the_form_of_config() {
    let cosine = Schedule::cosine(1e-3, 0.5, 10);
    let text = r#"{"schedule":"cosine","start":0.001,"end":0.5,"steps":10}"#;
    assert_eq!(ok(serde_json::to_string(&cosine)), text);
    let sequence = Schedule::sequence([(5, Schedule::warmup(2, 0.0, 1.5))], cosine);
    let text = format!(
        r#"{{"schedule":"sequence","parts":[{{"for":5,"schedule":"warmup","steps":2,"from":0.0,"then":{{"schedule":"constant","value":1.5}}}},{text}]}}"#
    );
    assert_eq!(ok(serde_json::to_string(&sequence)), text);
    assert_eq!(ok(serde_json::from_str::<Schedule>(&text)), sequence);
    for row in list(&goldens()["rows"]) {
        let read: Schedule = ok(serde_json::from_value(row["schedule"].clone()));
        assert_eq!(read, self::read(&row["schedule"]));
    }
    let refused = |text: &str| serde_json::from_str::<Schedule>(text).is_err();
    assert!(refused(&text.replace("\"for\":5", "\"fro\":5")));
    assert!(refused(&text.replace("\"steps\":2", "\"steps\":-2")));
    assert!(refused(&text.replace("\"steps\":2", "\"steps\":2.5")));

    let mut plateau = ReduceOnPlateau { patience: 1, cooldown: 2, ..ReduceOnPlateau::new(1e-2) };
    let fresh = ok(serde_json::to_string(&plateau));
    assert_eq!(ok(serde_json::from_str::<ReduceOnPlateau>(&fresh)), plateau);
    for metric in [1.0, 0.5, 0.5, 0.5, 0.5] {
        plateau.step(metric);
        let mut other: ReduceOnPlateau =
            ok(serde_json::from_str(&ok(serde_json::to_string(&plateau))));
        assert_eq!(other, plateau);
        let mut plateau = plateau.clone();
        for metric in [0.5, 0.4, 0.4, 0.4, 0.4] {
            assert_eq!(other.step(metric), plateau.step(metric));
        }
    }
}

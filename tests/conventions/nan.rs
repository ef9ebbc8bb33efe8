//! A NaN gradient in each origin, as `tools/golden_nan.py` recorded it, in the reference here, and in the document.

use std::collections::BTreeMap;

use approx::relative_eq;
use serde::Deserialize;
use support::{ok, slots};
use wgpu_optim::Reference;
use wgpu_optim::config::rules;

use crate::document::{Section, codes};
use crate::group;

/// `tests/golden_nan.json`; `None` is NaN.
#[derive(Deserialize)]
struct Recorded {
    grads: Vec<Option<f64>>,
    runs: BTreeMap<String, Run>,
}

#[derive(Deserialize)]
struct Run {
    config: serde_json::Value,
    param: Vec<Option<f64>>,
    state: BTreeMap<String, Option<f64>>,
}

/// The words of the document for the parameter after a NaN gradient.
const FOR_GOOD: &str = "NaN for good";
const STANDS: &str = "stands still";
const MOVES: &str = "misses a step";

/// A parameter's fate, from its numbers after each step. The second gradient is NaN.
fn fate(param: &[Option<f64>]) -> &'static str {
    if param[1..].iter().all(Option::is_none) {
        FOR_GOOD
    } else if param[1..].iter().all(|p| *p == param[0]) {
        STANDS
    } else {
        assert!(param.iter().all(Option::is_some) && param[1] == param[0], "{param:?}");
        MOVES
    }
}

/// Whether two numbers are the same, or both NaN.
fn same(x: f64, y: Option<f64>) -> bool {
    match y {
        Some(y) => relative_eq!(x, y, max_relative = 1e-12, epsilon = 1e-14),
        None => x.is_nan(),
    }
}

/// Checks that the reference does as the origins, but for rows that say otherwise, and that the section's table has
/// every origin whose parameter does not stay NaN. Its columns: framework, the parameter there, the parameter here.
pub(crate) fn check(section: &Section) {
    let text =
        ok(std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden_nan.json")));
    let recorded: Recorded = ok(serde_json::from_str(&text));
    let rows: BTreeMap<String, (String, String)> = section
        .rows
        .iter()
        .map(|row| (codes(&row.cells[0]).remove(0), (row.cells[1].clone(), row.cells[2].clone())))
        .collect();
    let described = ok(rules());
    let mut listed = 0;
    for (build, run) in &recorded.runs {
        let name = run.config["optimizer"].as_str().unwrap_or_default();
        let convention = run.config["convention"].as_str();
        let Some(rule) = described.iter().find(|rule| rule.name == name) else { continue };
        if convention.is_some_and(|known| rule.conventions.iter().all(|c| c.name != known)) {
            continue;
        }
        let there = fate(&run.param);
        let row = rows.get(build);
        let (said_there, said_here) = match row {
            Some((there, here)) => (&**there, &**here),
            None => (FOR_GOOD, FOR_GOOD),
        };
        assert_eq!(said_there, there, "{build}");
        listed += usize::from(row.is_some());
        let part = group(&run.config.to_string());
        let mut reference = ok(Reference::new(&part.group, &[1.0]));
        let mut params = Vec::new();
        for grad in &recorded.grads {
            ok(reference.step(&[grad.unwrap_or(f64::NAN)]));
            params.push(Some(reference.param()[0]).filter(|p| !p.is_nan()));
        }
        assert_eq!(said_here, fate(&params), "{build}, here");
        if said_here != said_there {
            continue;
        }
        for (ours, theirs) in params.iter().zip(&run.param) {
            assert!(same(ours.unwrap_or(f64::NAN), *theirs), "{build}: {ours:?}, {theirs:?}");
        }
        for slot in slots(&part.group) {
            let ours = reference.state(slot).unwrap_or_default()[0];
            // The gradient here has a part of 0 · p, which is NaN with the parameter.
            let follows = params.last() == Some(&None) && ours.is_nan();
            let theirs = run.state[slot].map(f64::abs);
            assert!(follows || same(ours.abs(), theirs), "{build}: {slot}, {ours}, {theirs:?}");
        }
    }
    assert_eq!(listed, rows.len(), "rows of frameworks that no run has");
}

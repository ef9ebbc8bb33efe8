//! This module saves and loads the state of a rule that is not of this crate, in blocks.

use support::{Case, ok};
use wgpu_optim::checkpoint::LoadOptions;
use wgpu_optim::{At, Error, Formula, Group, Number, Rule, Scalar, Slot, StateFormat};

use crate::exact::resume_in;
use crate::file::Parts;
use crate::scene::Scene;

const WGSL: &str = "
    const KEPT = 0u;
    const SEEN = 1u;

    const HYPER_LENGTH = 1u;
    struct Hyper {
        beta: f32,
    }

    fn direction(p: real, g: real, hyper: Hyper) -> real {
        state[KEPT] = hyper.beta * state[KEPT] + g;
        state[SEEN] = state[SEEN] + g;
        return state[KEPT];
    }
";

/// A rule with a slot that may be in blocks, and one that may not.
#[derive(Clone, Debug)]
struct Own;

impl Formula for Own {
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], _: At) -> N {
        state[0] = N::scalar(0.5) * state[0] + g;
        state[1] = state[1] + g;
        state[0]
    }
}

impl Rule for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn wgsl(&self) -> &'static str {
        WGSL
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("kept").signed(), Slot::zero("seen")]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![Scalar::fixed("beta")]
    }

    fn scalars(&self, _: At, out: &mut [f64]) {
        out[0] = 0.5;
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// The file's groups name slots that no rule of this crate has.
#[test]
fn blocks_of_a_rule_of_the_callers_resume() {
    let all = Group::new(1e-3, Own).state_format(StateFormat::Block8);
    let each = Group::new(1e-3, Own).state_format([("kept", StateFormat::Block4)]);
    for (index, group) in [all, each.stochastic_state(3)].into_iter().enumerate() {
        let case = Case::new(group);
        resume_in(&case, index, |layout| Scene::odd(&case, layout));
    }
}

#[test]
fn formats_of_a_rule_of_the_callers_are_checked() {
    let group = Group::new(1e-3, Own).state_format([("kept", StateFormat::Block4)]);
    let mut scene = Scene::odd(&Case::new(group), 0);
    let good = scene.bytes();
    for (format, words) in [
        (r#""block5""#, "`state_format` is \"block5\"; it must be"),
        (r#"{"kept": 4}"#, "`state_format` is {\"kept\":4}; it must be"),
        (
            r#"{"lost": "block4"}"#,
            "`state_format` names `lost`, which is no slot of it; name one of `kept`, `seen` or leave it out",
        ),
        (r#"{"kept": "block8"}"#, "keeps kept, seen in kept: block8, seen: f32"),
    ] {
        let mut parts = Parts::of(&good);
        parts.host["groups"][0]["options"]["state_format"] = ok(serde_json::from_str(format));
        let refused = scene.try_load(&parts.bytes(), &LoadOptions::default());
        let text = refused.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    scene.load(&good);
}

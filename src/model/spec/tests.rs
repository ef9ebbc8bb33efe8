//! Trust: a kernel goes unchecked only if all that makes its text is this crate's.

use super::*;
use crate::Adam;
use crate::rule::{ALL, At, Formula, Scalar, Slot};
use crate::{Error, Number};

/// Adam's text, and other slots, switches or scalars.
#[derive(Clone, Debug, Default)]
struct Like {
    slots: Option<Vec<Slot>>,
    switches: Option<Vec<(&'static str, bool)>>,
    more_hyper: bool,
    more_text: bool,
}

impl Formula for Like {
    fn direction<N: Number>(&self, _: N, g: N, _: &mut [N], _: At) -> N {
        g
    }
}

impl Rule for Like {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn wgsl(&self) -> &'static str {
        let own = Adam::default().wgsl();
        if self.more_text { own.trim_end() } else { own }
    }

    fn slots(&self) -> Vec<Slot> {
        self.slots.clone().unwrap_or_else(|| Adam::default().slots())
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        self.switches.clone().unwrap_or_else(|| Adam::default().switches())
    }

    fn hyper(&self) -> Vec<Scalar> {
        let more = self.more_hyper.then_some(Scalar::fixed("more"));
        Adam::default().hyper().into_iter().chain(more).collect()
    }

    fn scalars(&self, _: At, out: &mut [f64]) {
        out.fill(0.0);
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn every_rule_of_this_crate_is_ours() {
    for entry in ALL {
        for variant in (entry.variants)() {
            assert!(RuleKey::of(&*variant.rule).is_ours(), "{variant:?}");
        }
    }
}

#[test]
fn what_is_not_all_ours_is_foreign() {
    let own = Like::default();
    assert!(RuleKey::of(&own).is_ours(), "the same text, slots, switches and number of scalars");
    let [slots, switches] = [own.slots().len(), own.switches().len()];
    assert!(slots > 0 && switches > 0);
    let more = [own.slots(), vec![Slot::zero("more"); MORE]].concat();
    let foreign = [
        Like { slots: Some(more), ..own.clone() },
        Like { slots: Some(own.slots()[1..].to_vec()), ..own.clone() },
        Like { slots: Some(Vec::new()), ..own.clone() },
        Like { switches: Some(Vec::new()), ..own.clone() },
        Like { switches: Some(vec![("OTHER", true)]), ..own.clone() },
        // AMSGrad's switch without its slot.
        Like { switches: Some(vec![("AMSGRAD", true)]), ..own.clone() },
        Like { more_hyper: true, ..own.clone() },
        Like { more_text: true, ..own },
    ];
    for rule in foreign {
        assert!(!RuleKey::of(&rule).is_ours(), "{rule:?}");
    }
}

/// More slots than any variant of Adam keeps.
const MORE: usize = 2;

//! The declaration of a rule: looked up once, and checked against what the rule's scalars depend on.

use super::contract::{MAX_SCALARS, Rates, Rule, Start, Varies};
use super::formula::At;
use crate::error::Error;
use crate::num::MAX_SLOTS;

/// The part of a rule's declaration that the driver needs at every step, where asking the rule would allocate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared {
    /// How many scalars the rule has.
    pub(crate) scalars: usize,
    /// The dependence of each scalar.
    varies: [Varies; MAX_SCALARS],
    /// Where each slot starts.
    pub(crate) starts: [Start; MAX_SLOTS],
}

impl Declared {
    pub(crate) fn of(rule: &dyn Rule) -> Self {
        let mut starts = [Start::Zero; MAX_SLOTS];
        for (start, slot) in starts.iter_mut().zip(rule.slots()) {
            *start = slot.start;
        }
        let mut varies = [Varies::Never; MAX_SCALARS];
        let hyper = rule.hyper();
        for (varies, scalar) in varies.iter_mut().zip(&hyper) {
            *varies = scalar.varies;
        }
        // A rule that says otherwise now than when it was checked has no more either.
        Self { scalars: hyper.len().min(MAX_SCALARS), varies, starts }
    }

    /// The dependence of each scalar.
    pub(crate) fn varies(&self) -> &[Varies] {
        &self.varies[..self.scalars]
    }
}

/// The steps at which scalars are sampled.
const SAMPLES: [u64; 4] = [1, 2, 3, 1000];

/// `Ok` if nothing undeclared shows at a few steps, two learning rates, of which one is `lr`, and two weight decays.
pub(crate) fn check_declared(rule: &dyn Rule, lr: f64) -> Result<(), Error> {
    let hyper = rule.hyper();
    let undeclared =
        |scalar, on, remedy| Err(Error::Undeclared { rule: rule.name(), scalar, on, remedy });
    // The numbers of one step, as the kernel gets them: the rule's, then the factors.
    let sample = |at: At| {
        let mut row = vec![0.0; hyper.len()];
        let at = at.looking_ahead(rule);
        rule.scalars(at, &mut row);
        let Rates { lr, decay } = rule.rates(at);
        row.extend([lr, decay]);
        row.into_iter().map(|x| (x as f32).to_bits()).collect::<Vec<_>>()
    };
    let [own, other] = [(lr, 0.0), (2.0 * lr + 1.0, 0.5)]
        .map(|(lr, weight_decay)| SAMPLES.map(|t| sample(At { weight_decay, ..At::new(t, lr) })));
    let by_step =
        |i: usize| [&own, &other].iter().any(|rows| rows.iter().any(|row| row[i] != rows[0][i]));
    let by_rate = |i: usize| own.iter().zip(&other).any(|(own, other)| own[i] != other[i]);
    const BOTH: &str = "declare it `Varies::StepsAndRate`";
    for (i, scalar) in hyper.iter().enumerate() {
        match scalar.varies {
            Varies::Never if by_step(i) => {
                let remedy = if by_rate(i) { BOTH } else { "declare it `Varies::Steps`" };
                return undeclared(scalar.name, "the step", remedy);
            }
            Varies::Steps if by_rate(i) => {
                return undeclared(scalar.name, "the learning rate", BOTH);
            }
            _ => {}
        }
    }
    for (i, factor) in (hyper.len()..).zip(["rates.lr", "rates.decay"]) {
        if by_step(i) {
            return undeclared(factor, "the step", "put what varies into a scalar of `hyper`");
        }
    }
    Ok(())
}

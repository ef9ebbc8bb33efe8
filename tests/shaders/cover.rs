//! A pairwise cover: a few of many kernels, which have every two values of two choices that any kernel has.
//! A fault that takes two choices to show shows in one of them.

use std::collections::HashSet;

use wgpu_optim::kernel::Facts;

/// The values of a kernel's choices: numbers that only tell them apart.
pub(crate) type Choices = Vec<usize>;

/// Two choices, and a value of each.
pub(crate) type Pair = ([usize; 2], [usize; 2]);

/// The choices that made a kernel, all but its rule.
pub(crate) fn choices(facts: &Facts) -> Choices {
    let operand = |name: &str| facts.operands.iter().find(|operand| operand.name == name);
    let copy = operand("copy").map_or(0, |copy| 1 + copy.format.unwrap_or_default() as usize);
    let shared = operand("grad").is_some_and(|grad| grad.written && !grad.stores);
    let [param, grad, state] = facts.formats.map(|format| format as usize);
    let numbers = [
        facts.body as usize,
        facts.width as usize,
        facts.address as usize,
        facts.slots.len(),
        param,
        grad,
        state,
        facts.master as usize,
        copy,
    ];
    let flags = [
        facts.stochastic,
        operand("ema").is_some(),
        facts.joined,
        shared,
        facts.clear,
        facts.summed,
        facts.clip_value,
        facts.cautious,
    ];
    numbers.into_iter().chain(flags.map(usize::from)).collect()
}

/// Every two choices with their values.
pub(crate) fn pairs(choices: &[usize]) -> impl Iterator<Item = Pair> {
    let of = move |b: usize| (0..b).map(move |a| ([a, b], [choices[a], choices[b]]));
    (1..choices.len()).flat_map(of)
}

/// A cover of `all`: in their order, each that has a pair which none before it has.
pub(crate) fn cover<T>(
    all: impl IntoIterator<Item = T>,
    choices: impl Fn(&T) -> Choices,
) -> Vec<T> {
    let mut seen = HashSet::new();
    let adds = |one: &T| pairs(&choices(one)).fold(false, |adds, pair| seen.insert(pair) | adds);
    all.into_iter().filter(adds).collect()
}

/// A cover has every pair, is smaller than the product, and is the same every time.
#[test]
fn a_cover_has_every_pair() {
    let product: Vec<Choices> = (0..3 * 4 * 5 * 2)
        .map(|i| vec![i % 3, i / 3 % 4, i / 12 % 5, i / 60])
        // Two choices that exclude each other.
        .filter(|choices| choices[0] != 2 || choices[3] == 0)
        .collect();
    let chosen = cover(product.clone(), Choices::clone);
    let all = |of: &[Choices]| -> HashSet<Pair> { of.iter().flat_map(|one| pairs(one)).collect() };
    assert_eq!(all(&chosen), all(&product));
    assert!(chosen.len() < product.len() / 2, "{} of {}", chosen.len(), product.len());
    assert_eq!(chosen, cover(product, Choices::clone));
}

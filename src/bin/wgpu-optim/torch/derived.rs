//! The numbers that PyTorch keeps in a state and that follow from the steps and the options.

use serde_json::{Map, Value as Json};

/// A number that PyTorch keeps.
#[derive(Debug)]
pub(super) struct Derived {
    /// The key in the state.
    pub(super) key: &'static str,
    pub(super) value: f64,
    /// How far from it PyTorch may be, which computes step by step in f32.
    pub(super) allowed: f64,
}

/// Half the distance of f32 numbers, relative to them, with room for a few roundings.
const ROUNDING: f64 = 1.0 / (1_u64 << 21) as f64;

/// The numbers that PyTorch's rule has after step `t`.
pub(super) fn derived(rule: &str, config: &Map<String, Json>, t: u64) -> Vec<Derived> {
    let number = |key: &str| config.get(key).and_then(Json::as_f64).unwrap_or(0.0);
    let steps = t as f64;
    match rule {
        "nadam" => {
            let beta = config.get("betas").and_then(|betas| betas[0].as_f64()).unwrap_or(0.0);
            let value = product(beta, number("momentum_decay"), steps);
            let allowed = value * steps * ROUNDING + f64::from(f32::MIN_POSITIVE);
            vec![Derived { key: "mu_product", value, allowed }]
        }
        "asgd" => {
            let lr = number("lr");
            let eta = lr / (1.0 + number("lambd") * lr * steps).powf(number("alpha"));
            let mu = 1.0 / (steps - number("t0")).max(1.0);
            let near = |key, value| Derived { key, value, allowed: value * ROUNDING };
            vec![near("eta", eta), near("mu", mu)]
        }
        _ => Vec::new(),
    }
}

/// Terms of the series: the first that is left out is below 2⁻⁵⁶ of the sum.
const TERMS: i32 = 56;

/// NAdam's μ₁ ⋯ μₜ with μₜ = β (1 − ½ qᵗ) and q = 0.96^decay, in a time that does not grow with t: the logarithm of
/// 1 − ½ qⁱ is a series of powers of ½ qⁱ, and each power is a geometric series over i.
fn product(beta: f64, decay: f64, t: f64) -> f64 {
    let rate = decay * -0.96_f64.ln();
    let term = |k: i32| {
        let power = f64::from(k) * rate;
        // qᵏ (1 − qᵏᵗ) / (1 − qᵏ), of which the fraction is t where q is 1.
        let sum = match power {
            0.0 => t,
            power => (-power).exp() * (-power * t).exp_m1() / (-power).exp_m1(),
        };
        -sum * 0.5_f64.powi(k) / f64::from(k)
    };
    let logarithm: f64 = (1..=TERMS).map(term).sum();
    beta.powf(t) * logarithm.exp()
}

#[cfg(test)]
mod tests {
    use super::product;

    #[test]
    fn the_product_is_that_of_its_factors() {
        for decay in [0.0, 4e-3, 1.0] {
            for beta in [0.9, 0.5, 0.0] {
                let mut expected = 1.0;
                for t in 1..300 {
                    let t = f64::from(t);
                    expected *= beta * (1.0 - 0.5 * 0.96_f64.powf(t * decay));
                    let found = product(beta, decay, t);
                    assert!((found - expected).abs() <= 1e-12 * expected, "{beta} {decay} {t}");
                }
            }
        }
    }
}

use super::check::{check_non_negative, check_share};
use super::contract::{Rates, Rule, Scalar, Slot, Start};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::Number;

/// Rprop ([Riedmiller & Braun 1993](https://doi.org/10.1109/ICNN.1993.298623)), in the form iRprop⁻
/// ([Igel & Hüsken 2003](https://doi.org/10.1016/S0925-2312(01)00700-7)): every element has a step size of its own, and
/// only the sign of the gradient counts. For gradients of the whole data set.
///
/// ```text
/// s ← s · η₊ if g and the gradient before it have the same sign, s · η₋ if opposite ones
/// s ← s limited to step_sizes      s starts at lr
/// g ← 0 where the signs were opposite
/// p ← p − sign(g) s
/// ```
///
/// State: `prev`, the gradient with zeros where its sign was opposite, and `step_size` (s). After the first step, the
/// learning rate only matters to decoupled weight decay, which is the [`Group`](crate::Group)'s.
///
/// As `torch.optim.Rprop`, which takes no weight decay. The sign of a NaN is 0, as in PyTorch: a NaN gradient moves
/// nothing, and is in `prev` for one step. *Differs from PyTorch*: signs are compared, where PyTorch takes the sign of a
/// product, which is 0 if the product is too small for a number.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Rprop {
    /// η₋ and η₊, the factors of the step size: the first above 0 and below 1, the second above 1; `[0.5, 1.2]`.
    pub etas: [f64; 2],
    /// The smallest and the largest step size, 0 or more; `[1e-6, 50.0]`.
    pub step_sizes: [f64; 2],
}

impl Default for Rprop {
    fn default() -> Self {
        Self { etas: [0.5, 1.2], step_sizes: [1e-6, 50.0] }
    }
}

impl Rprop {
    /// `torch.optim.Rprop`: the defaults.
    pub fn pytorch() -> Self {
        Self::default()
    }
}

/// The range of the factor by which step sizes grow.
const GROWTH: &str = "a finite f32 number above 1 (also when rounded to f32)";

/// The range of the largest step size.
const LARGEST: &str = "a finite f32 number, at least the smallest step size";

impl Formula for Rprop {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], _: At) -> N {
        let [prev, step_size] = state else { return g };
        let [none, one] = [0.0, 1.0].map(N::scalar);
        let [shrink, grow] = self.etas.map(N::scalar);
        let [smallest, largest] = self.step_sizes.map(N::scalar);
        // −1, 0 or 1: opposite signs, no sign, or the same.
        let turn = g.sign_or_zero() * prev.sign_or_zero();
        let eta = turn.select_ge(none, turn.select_ge(one, grow, one), shrink);
        *step_size = (*step_size * eta).clamp(smallest, largest);
        *prev = turn.select_ge(none, g, none);
        turn.select_ge(none, g.sign_or_zero(), none) * *step_size
    }
}

impl Rule for Rprop {
    fn name(&self) -> &'static str {
        "rprop"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("prev"), Slot::starting("step_size", Start::Rate)]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        ["eta_minus", "eta_plus", "smallest", "largest"].map(Scalar::fixed).into()
    }

    fn scalars(&self, _: At, out: &mut [f64]) {
        let ([shrink, grow], [smallest, largest]) = (self.etas, self.step_sizes);
        out.copy_from_slice(&[shrink, grow, smallest, largest]);
    }

    // The direction is the whole move.
    fn rates(&self, at: At) -> Rates {
        Rates { lr: 1.0, decay: at.lr }
    }

    fn check(&self) -> Result<(), Error> {
        let ([shrink, grow], [smallest, largest]) = (self.etas, self.step_sizes);
        let wrong = |option, value, must| Err(Error::Hyper { rule: "rprop", option, value, must });
        check_share("rprop", "etas[0]", shrink)?;
        if !((grow as f32) > 1.0 && grow <= f64::from(f32::MAX)) {
            return wrong("etas[1]", grow, GROWTH);
        }
        check_non_negative("rprop", "step_sizes[0]", smallest)?;
        if !(largest >= smallest && largest <= f64::from(f32::MAX)) {
            return wrong("step_sizes[1]", largest, LARGEST);
        }
        Ok(())
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "rprop",
    wgsl: include_str!("../../shaders/rule/rprop.wgsl"),
    formula: "\
        s ← s · η₊ if g and the gradient before it have the same sign, s · η₋ if opposite ones\n\
        s ← s limited to step_sizes      s starts at lr\n\
        g ← 0 where the signs were opposite\n\
        p ← p − sign(g) s",
    paper: "Riedmiller & Braun 1993, https://doi.org/10.1109/ICNN.1993.298623; Igel & Hüsken 2003",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention {
        name: "pytorch",
        options: || serde_json::to_value(Rprop::pytorch()),
    }],
    ..Json::of::<Rprop>(1e-2, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    (
        "etas",
        "two finite f32 numbers, one above 0 and below 1 and one above 1 (also when rounded to f32)",
    ),
    ("step_sizes", "two finite f32 numbers, 0 or more, the second at least the first"),
];

fn variants() -> Vec<Variant> {
    let narrow = Rprop { etas: [0.3, 1.7], step_sizes: [2e-3, 5e-2] };
    vec![
        Variant::new(1e-2, Rprop::default()),
        Variant::new(1e-3, narrow.clone()).l2(0.1).maximize(),
        Variant::new(1e-2, Rprop { step_sizes: [0.0, 1.0], ..Rprop::default() }).decay(0.1),
        Variant::new(1e-2, narrow).cautious(0.1),
    ]
}

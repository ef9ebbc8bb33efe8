//! Five functions of two variables, each hard in its own way. `landscape.wgsl` has their gradients, in the same order.

/// A function, and the part of the plane that is shown.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) formula: &'static str,
    /// The lowest and the highest x, then y.
    pub(crate) view: [[f64; 2]; 2],
    /// Every point with the lowest value.
    pub(crate) minima: &'static [[f64; 2]],
    pub(crate) lowest: f64,
    pub(crate) value: fn(f64, f64) -> f64,
}

/// A point has converged if it is nearer than this to a minimum.
pub(crate) const NEAR: f64 = 0.05;

pub(crate) const FUNCTIONS: [Function; 5] = [
    Function {
        name: "Rosenbrock",
        formula: "(1 − x)² + 100 (y − x²)²",
        view: [[-1.6, 1.6], [-0.6, 1.8]],
        minima: &[[1.0, 1.0]],
        lowest: 0.0,
        value: |x, y| (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2),
    },
    Function {
        name: "Beale",
        formula: "(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²",
        view: [[-1.0, 4.0], [-1.5, 1.5]],
        minima: &[[3.0, 0.5]],
        lowest: 0.0,
        value: |x, y| {
            let term = |offset: f64, power| (offset - x + x * y.powi(power)).powi(2);
            term(1.5, 1) + term(2.25, 2) + term(2.625, 3)
        },
    },
    Function {
        name: "Himmelblau",
        formula: "(x² + y − 11)² + (x + y² − 7)²",
        view: [[-5.0, 5.0], [-5.0, 5.0]],
        minima: &[
            [3.0, 2.0],
            [-2.805_118_087, 3.131_312_518],
            [-3.779_310_253, -3.283_185_991],
            [3.584_428_340, -1.848_126_527],
        ],
        lowest: 0.0,
        value: |x, y| (x * x + y - 11.0).powi(2) + (x + y * y - 7.0).powi(2),
    },
    Function {
        name: "Saddle",
        formula: "x² − y² + y⁴ / 4",
        view: [[-2.4, 2.4], [-2.0, 2.0]],
        minima: &[[0.0, std::f64::consts::SQRT_2], [0.0, -std::f64::consts::SQRT_2]],
        lowest: -1.0,
        value: |x, y| x * x - y * y + y.powi(4) / 4.0,
    },
    Function {
        name: "Ravine",
        formula: "u² / 2 + 500 v²,  u = 0.8x + 0.6y,  v = 0.8y − 0.6x",
        view: [[-2.0, 2.0], [-1.5, 1.5]],
        minima: &[[0.0, 0.0]],
        lowest: 0.0,
        value: |x, y| {
            let (along, across) = (0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x);
            along * along / 2.0 + 500.0 * across * across
        },
    },
];

impl Function {
    /// The `i`th starting point. They fill the view evenly, however many there are
    /// ([Roberts 2018](https://extremelearning.com.au/unreasonable-effectiveness-of-quasirandom-sequences/)).
    pub(crate) fn start(&self, i: u32) -> [f32; 2] {
        let parts = [0.754_877_666_246_692_8, 0.569_840_290_998_053_2];
        let mut place = [0.0; 2];
        for ((place, [low, high]), part) in place.iter_mut().zip(self.view).zip(parts) {
            *place = (low + (high - low) * (0.5 + f64::from(i + 1) * part).fract()) as f32;
        }
        place
    }

    /// Whether a point has converged. NaN has not.
    pub(crate) fn is_near(&self, [x, y]: [f32; 2]) -> bool {
        let distance = |[a, b]: &[f64; 2]| (f64::from(x) - a).hypot(f64::from(y) - b);
        self.minima.iter().any(|minimum| distance(minimum) < NEAR)
    }
}

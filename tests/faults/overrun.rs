//! More skipped steps than the GPU has scalars for: statistics say so, and asking for them in time prevents it.

use support::ByName;
use support::{bits, gpu, numbers, ok, slots, stats, upload};
use wgpu_optim::{Control, Group, Optimizer, ParamId, View};

use super::clocks::telling;

const LEN: u64 = 5;

/// Steps that may be skipped before the scalars of the first are gone.
const WINDOW: u64 = 8192;

/// An optimizer with two parameters in each of some groups, which all see one gradient.
struct Model {
    optimizer: Optimizer,
    groups: Vec<Group>,
    params: Vec<(ParamId, View)>,
    grad: View,
}

impl Model {
    fn new(control: Control) -> Self {
        let gpu = gpu();
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(control));
        // Steps are many, so that groups are few.
        let groups: Vec<Group> =
            telling().into_iter().take(2).map(|group| group.ema(0.9)).collect();
        let grad = View::f32(&upload(gpu, &numbers(LEN, 99)));
        let mut params = Vec::new();
        for group in &groups {
            let id = ok(optimizer.add_group(group.clone()));
            for _ in 0..2 {
                let i = params.len();
                let view = View::f32(&upload(gpu, &numbers(LEN, i as u64)));
                let name = i.to_string();
                params.push((ok(optimizer.add_param(id, &name, view.clone(), grad.clone())), view));
            }
        }
        Self { optimizer, groups, params, grad }
    }

    /// Submits steps with gradients of this number.
    fn steps(&mut self, count: u64, number: f32) {
        let gpu = gpu();
        support::set(gpu, &self.grad, &[number; LEN as usize]);
        for first in (0..count).step_by(64) {
            support::record(gpu, |encoder| {
                (first..count.min(first + 64)).for_each(|_| self.optimizer.step(encoder));
            });
        }
    }

    fn skip(&mut self, count: u64) {
        self.steps(count, f32::INFINITY);
    }

    /// Gives the second parameter of each group a gradient, or none.
    fn give(&mut self, present: bool) {
        let grad = present.then(|| self.grad.clone());
        let given = self.params.iter().skip(1).step_by(2).map(|(id, _)| (*id, grad.clone()));
        ok(self.optimizer.set_grads(given.collect::<Vec<_>>()));
    }

    fn overrun(&self) -> bool {
        stats(gpu(), &self.optimizer).overrun
    }

    /// The bits of everything.
    fn bits(&mut self) -> Vec<Vec<u32>> {
        let mut views = Vec::new();
        for (i, (_, view)) in self.params.iter().enumerate() {
            let name = i.to_string();
            views.push(view.clone());
            views.extend(ok(self.optimizer.ema_of(&name)));
            for slot in slots(&self.groups[i / 2]) {
                views.push(ok(self.optimizer.state_of(&name, slot)));
            }
        }
        views.iter().map(|view| bits(gpu(), view)).collect()
    }
}

fn skipping() -> Model {
    Model::new(Control { skip_nonfinite: true, ..Control::default() })
}

/// A model that takes only the steps that are taken.
fn taken(mut with: impl FnMut(&mut Model)) -> Vec<Vec<u32>> {
    let mut model = Model::new(Control::default());
    with(&mut model);
    model.bits()
}

#[test]
fn a_window_holds_as_many_skipped_steps_as_it_says() {
    let mut model = skipping();
    model.steps(3, 0.5);
    model.skip(WINDOW - 300);
    model.steps(2, 0.25);
    let expected = taken(|model| {
        model.steps(3, 0.5);
        model.steps(2, 0.25);
    });
    assert_eq!(model.bits(), expected);
    assert!(!model.overrun());
}

#[test]
fn more_skipped_steps_than_that_are_told() {
    let mut model = skipping();
    model.steps(3, 0.5);
    model.skip(WINDOW + 600);
    // Nothing has been computed with other scalars than its own.
    model.steps(1, 0.25);
    assert!(model.overrun());
    // And it stays known.
    model.steps(1, 0.25);
    assert!(model.overrun());
}

#[test]
fn statistics_in_between_prevent_it() {
    let mut model = skipping();
    let with = |model: &mut Model, skip: &mut dyn FnMut(&mut Model, u64)| {
        model.steps(3, 0.5);
        skip(model, WINDOW / 2 + 600);
        skip(model, WINDOW / 2 + 600);
        model.steps(2, 0.25);
        // A clock that stands still, and goes on as another cohort's.
        model.give(false);
        model.steps(2, 0.75);
        model.give(true);
        skip(model, 300);
        model.steps(2, 0.125);
    };
    with(&mut model, &mut |model, count| {
        model.skip(count);
        assert!(!model.overrun());
    });
    let expected = taken(|model| with(model, &mut |_, _| {}));
    assert!(!model.overrun());
    assert_eq!(model.bits(), expected);
}

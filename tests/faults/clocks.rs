//! Clocks that the GPU counts: a parameter's steps are those that it took itself, whatever is skipped, dropped or
//! recorded while it has no gradient.

use support::ByName;
use support::{bits, gpu, numbers, ok, slots, upload};
use wgpu_optim::verify::groups;
use wgpu_optim::wgpu::Buffer;
use wgpu_optim::{Control, Group, Optimizer, ParamId, Start, Varies, View};

const PARAMS: usize = 4;
const LEN: u64 = 9;

/// Groups whose scalars or slots tell the step: one of each rule that has such, and of each number of slots.
pub(crate) fn telling() -> Vec<Group> {
    let tells = |group: &Group| {
        let varies = group.rule.hyper().iter().any(|one| one.varies != Varies::Never);
        varies || group.rule.slots().iter().any(|slot| slot.start != Start::Zero)
    };
    let mut all: Vec<Group> = groups().into_iter().filter(tells).collect();
    all.sort_by_key(|group| (group.rule.name(), slots(group).len()));
    all.dedup_by_key(|group| (group.rule.name(), slots(group).len()));
    assert!(all.len() > 2, "{all:?}");
    all
}

/// Numbers in an order of their own.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % end
    }
}

/// The parameters that have a gradient, and the one of which it is Inf.
#[derive(Clone, Debug)]
struct Step {
    present: [bool; PARAMS],
    bad: Option<usize>,
}

impl Step {
    fn is_taken(&self) -> bool {
        !self.bad.is_some_and(|bad| self.present[bad])
    }
}

/// Steps of one encoder, which is submitted or not.
#[derive(Clone, Debug)]
struct Batch {
    submitted: bool,
    steps: Vec<Step>,
}

/// Some encoders, the last two of which have no gradient that is Inf.
fn schedule(seed: u64) -> Vec<Batch> {
    let mut chance = Chance(seed);
    let mut all = Vec::new();
    for i in 0..14 {
        let steps = (0..1 + chance.below(4)).map(|_| {
            let mut present = [true; PARAMS];
            present.iter_mut().for_each(|one| *one = chance.below(3) > 0);
            let bad = chance.below(3) == 0 && (1..12).contains(&i);
            Step { present, bad: bad.then(|| chance.below(PARAMS as u64) as usize) }
        });
        let steps = steps.collect();
        all.push(Batch { submitted: chance.below(4) > 0, steps });
    }
    all
}

/// The gradients of all steps, and numbers that are all Inf.
struct Grads {
    good: Buffer,
    bad: Buffer,
}

impl Grads {
    fn new() -> Self {
        let gpu = gpu();
        Self { good: upload(gpu, &numbers(1000, 5)), bad: upload(gpu, &[f32::INFINITY; 100]) }
    }

    /// The gradient of a parameter at a step of the schedule.
    fn view(&self, param: usize, step: u64, bad: bool) -> View {
        let at = if bad { 10 * param as u64 } else { (37 * step + 11 * param as u64) % 900 };
        View::f32(if bad { &self.bad } else { &self.good }).range(at..at + LEN)
    }
}

/// An optimizer of some of the parameters, by number.
struct Model {
    optimizer: Optimizer,
    params: Vec<(usize, ParamId, View)>,
    group: Group,
}

impl Model {
    fn new(group: &Group, params: impl Iterator<Item = usize>, grads: &Grads) -> Self {
        let gpu = gpu();
        let mut optimizer = Optimizer::new(&gpu.device);
        let id = ok(optimizer.add_group(group.clone()));
        let params = params.map(|i| {
            let view = View::f32(&upload(gpu, &numbers(LEN, i as u64)));
            let grad = grads.view(i, 0, false);
            (i, ok(optimizer.add_param(id, &i.to_string(), view.clone(), grad)), view)
        });
        let params = params.collect();
        Self { optimizer, params, group: group.clone() }
    }

    /// The bits of a parameter, its average and its state.
    fn bits(&mut self, param: usize) -> Vec<Vec<u32>> {
        let name = param.to_string();
        let found = self.params.iter().find(|(i, ..)| *i == param);
        let mut views: Vec<View> = found.map(|(.., view)| view.clone()).into_iter().collect();
        views.extend(ok(self.optimizer.ema_of(&name)));
        views
            .extend(slots(&self.group).iter().map(|slot| ok(self.optimizer.state_of(&name, slot))));
        views.iter().map(|view| bits(gpu(), view)).collect()
    }
}

/// All parameters together, where the GPU counts from the encoder `from` on.
fn together(group: &Group, all: &[Batch], grads: &Grads, from: usize) -> Model {
    let gpu = gpu();
    let mut model = Model::new(group, 0..PARAMS, grads);
    let mut number = 0;
    for (i, batch) in all.iter().enumerate() {
        if i == from {
            let skipping = Control { skip_nonfinite: true, ..Control::default() };
            ok(model.optimizer.set_control(skipping));
        }
        if i + 2 == all.len() {
            // The GPU goes on counting.
            ok(model.optimizer.set_control(Control::default()));
        }
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        for step in &batch.steps {
            let given = model.params.iter().map(|(i, id, _)| {
                let bad = step.bad == Some(*i);
                (*id, step.present[*i].then(|| grads.view(*i, number, bad)))
            });
            ok(model.optimizer.set_grads(given.collect::<Vec<_>>()));
            model.optimizer.step(&mut encoder);
            number += 1;
        }
        if batch.submitted {
            gpu.queue.submit([encoder.finish()]);
        }
        if i % 4 == 3 && batch.submitted && i >= from {
            let stats = support::stats(gpu, &model.optimizer);
            assert!(!stats.overrun);
        }
    }
    model
}

/// One parameter by itself, which takes only the steps that are taken. One of an encoder that is dropped counts.
fn alone(group: &Group, all: &[Batch], grads: &Grads, param: usize) -> Model {
    let gpu = gpu();
    let mut model = Model::new(group, std::iter::once(param), grads);
    let mut number = 0;
    for batch in all {
        for step in &batch.steps {
            let counts = step.present[param] && (step.is_taken() || !batch.submitted);
            if counts {
                let id = model.params[0].1;
                ok(model.optimizer.set_grad(id, grads.view(param, number, false)));
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                model.optimizer.step(&mut encoder);
                if batch.submitted {
                    gpu.queue.submit([encoder.finish()]);
                }
            }
            number += 1;
        }
    }
    model
}

#[test]
fn every_parameter_counts_the_steps_that_it_took() {
    let grads = Grads::new();
    let (mut skipped, mut dropped) = (0, 0);
    for seed in 0..6 {
        let all = schedule(seed);
        let steps = |batch: &Batch| batch.steps.iter().filter(|step| !step.is_taken()).count();
        skipped += all.iter().filter(|batch| batch.submitted).map(steps).sum::<usize>();
        dropped += all.iter().filter(|batch| !batch.submitted).count();
        for (i, group) in telling().into_iter().enumerate() {
            let group = if i % 2 == 0 { group.ema(0.9) } else { group };
            // At the first encoder none is Inf.
            let mut model = together(&group, &all, &grads, seed as usize % 2);
            for param in 0..PARAMS {
                let expected = alone(&group, &all, &grads, param).bits(param);
                assert_eq!(model.bits(param), expected, "{param} of {group:?}, {seed}: {all:?}");
            }
        }
    }
    assert!(skipped > 15 && dropped > 15, "{skipped} skipped, {dropped} dropped");
}

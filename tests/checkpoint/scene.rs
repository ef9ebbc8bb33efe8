//! This module has an optimizer over parameters of two groups, laid out in one of several ways.

use support::{Case, encoded, gpu, numbers, ok, set};
use wgpu_optim::checkpoint::{LoadOptions, SaveOptions};
use wgpu_optim::headless::Gpu;
use wgpu_optim::{Format, Group, Optimizer, View};

/// The parameters: name, group and length.
pub(crate) const PARAMS: [(&str, usize, u64); 5] = [
    ("embed", 0, 1030),
    ("bias", 1, 7),
    ("weight.0", 0, 77),
    ("weight.1", 1, 2501),
    ("scale", 1, 1),
];

/// Parameters of lengths around those of blocks.
pub(crate) const ODD: [(&str, usize, u64); 8] = [
    ("w1", 0, 1),
    ("w127", 1, 127),
    ("w128", 0, 128),
    ("w129", 1, 129),
    ("w255", 0, 255),
    ("w256", 1, 256),
    ("w257", 0, 257),
    ("w1000", 1, 1000),
];

/// The order of adding, the gaps before each parameter, and the buffers of a layout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    order: &'static [usize],
    gaps: &'static [u64],
    /// Whether each parameter has a buffer of its own.
    own: bool,
}

pub(crate) const LAYOUTS: [Layout; 3] = [
    Layout { order: &[0, 1, 2, 3, 4], gaps: &[0, 0, 1, 2, 0], own: false },
    Layout { order: &[3, 4, 1, 0, 2], gaps: &[3, 1, 0, 5, 1], own: false },
    Layout { order: &[2, 0, 4, 3, 1], gaps: &[1, 0, 3, 0, 2], own: true },
];

/// The layouts of [`ODD`].
pub(crate) const ODD_LAYOUTS: [Layout; 3] = [
    Layout { order: &[0, 1, 2, 3, 4, 5, 6, 7], gaps: &[0; 8], own: false },
    Layout { order: &[7, 2, 0, 5, 3, 6, 1, 4], gaps: &[3, 0, 1, 5, 0, 2, 1, 4], own: false },
    Layout { order: &[4, 6, 1, 7, 0, 3, 5, 2], gaps: &[1, 0, 3, 0, 2, 0, 4, 0], own: true },
];

/// The name, the group and the length of each parameter.
pub(crate) type Params = &'static [(&'static str, usize, u64)];

/// An optimizer with its parameters, on a device.
pub(crate) struct Scene {
    pub(crate) optimizer: Optimizer,
    pub(crate) gpu: Gpu,
    /// The parameter, its gradient and its copy, by the number in `params`.
    views: Vec<(View, View, Option<View>)>,
    params: Params,
    case: Case,
}

/// The groups of a case: they differ in their learning rates.
fn groups(case: &Case) -> [Group; 2] {
    let one = case.group.clone();
    let two = Group { lr: one.lr * 0.3, ..one.clone() };
    [one, two]
}

impl Scene {
    pub(crate) fn new(case: &Case, layout: Layout) -> Self {
        Self::with(case, layout, groups(case))
    }

    /// A scene of [`ODD`] in layout number `layout`.
    pub(crate) fn odd(case: &Case, layout: usize) -> Self {
        Self::of(case, (&ODD, ODD_LAYOUTS[layout % 3]), groups(case))
    }

    pub(crate) fn with(case: &Case, layout: Layout, groups: [Group; 2]) -> Self {
        Self::of(case, (&PARAMS, layout), groups)
    }

    fn of(case: &Case, (params, layout): (Params, Layout), groups: [Group; 2]) -> Self {
        let gpu = gpu().clone();
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(case.control));
        let ids = groups.map(|group| ok(optimizer.add_group(group)));
        let arena = |format: Format| encoded(&gpu, format, &numbers(4000, 7));
        let shared =
            [arena(case.param), arena(case.grad), arena(case.copy.unwrap_or(Format::Bf16))];
        let mut views: Vec<Option<(View, View, Option<View>)>> = vec![None; params.len()];
        let mut at = 0;
        for (place, number) in layout.order.iter().copied().enumerate() {
            let (name, group, len) = params[number];
            at += layout.gaps[place];
            let (buffers, begin) = match layout.own {
                true => {
                    ([arena(case.param), arena(case.grad), shared[2].clone()], layout.gaps[place])
                }
                false => (shared.clone(), at),
            };
            let of = |view: &View, begin: u64| view.clone().range(begin..begin + len);
            let [param, grad] = [0, 1].map(|i| of(&buffers[i], begin));
            let copy = case.copy.map(|_| of(&buffers[2], at));
            put(&gpu, &[(&param, numbers(len, number as u64))]);
            let id = ok(optimizer.add_param(ids[group], name, param.clone(), grad.clone()));
            ok(optimizer.set_copy(id, copy.clone()));
            views[number] = Some((param, grad, copy));
            at += len;
        }
        let views = views.into_iter().flatten().collect();
        Self { optimizer, gpu, views, params, case: case.clone() }
    }

    /// Sets the gradients with this number; some have an Inf.
    pub(crate) fn set_gradients(&self, number: u64) {
        let looks = self.case.control.looks_at_gradients();
        let place = number % 8 == 6 || self.case.accumulate == 0 && number % 8 == 2;
        let bad = looks && self.case.control.skip_nonfinite && place;
        let of = |(i, (_, grad, _)): (usize, &'_ (View, View, Option<View>))| {
            let mut values = numbers(grad.len, 100 * number + i as u64);
            if bad && i == 3 {
                values[5] = f32::INFINITY;
            }
            values
        };
        let values = self.views.iter().enumerate().map(of);
        let grads = self.views.iter().map(|(_, grad, _)| grad);
        put(&self.gpu, &grads.zip(values).collect::<Vec<_>>());
    }

    /// Takes the gradients with these numbers: each as a step, or added up.
    pub(crate) fn run(&mut self, gradients: std::ops::Range<u64>) {
        for number in gradients {
            self.set_gradients(number);
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            let parts = self.case.accumulate as u64;
            if parts > 0 {
                ok(self.optimizer.accumulate(&mut encoder));
            }
            if parts == 0 || (number + 1) % parts == 0 {
                self.optimizer.step(&mut encoder);
            }
            self.gpu.queue.submit([encoder.finish()]);
        }
    }

    /// A checkpoint in memory.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        self.bytes_with(&SaveOptions::default().memory(1 << 18))
    }

    pub(crate) fn bytes_with(&mut self, options: &SaveOptions) -> Vec<u8> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let snapshot = ok(self.optimizer.snapshot(&mut encoder, options));
        self.gpu.queue.submit([encoder.finish()]);
        self.wait_for(|queue| snapshot.to_bytes(queue))
    }

    pub(crate) fn load(&mut self, bytes: &[u8]) {
        ok(self.try_load(bytes, &LoadOptions::default()));
    }

    pub(crate) fn try_load(
        &mut self,
        bytes: &[u8],
        options: &LoadOptions,
    ) -> Result<(), wgpu_optim::checkpoint::Error> {
        let Self { optimizer, gpu, .. } = self;
        let mut future = std::pin::pin!(optimizer.load_bytes(&gpu.queue, bytes, options));
        finished(gpu, future.as_mut())
    }

    /// Waits for a future as a caller who polls the device.
    fn wait_for<'a, T, F: Future<Output = Result<T, wgpu_optim::checkpoint::Error>>>(
        &'a self,
        make: impl FnOnce(&'a wgpu_optim::wgpu::Queue) -> F,
    ) -> T {
        let mut future = std::pin::pin!(make(&self.gpu.queue));
        ok(finished(&self.gpu, future.as_mut()))
    }

    /// Everything that there is of each parameter, under the names of a file, as words.
    pub(crate) fn contents(&mut self) -> Vec<(String, Vec<f32>)> {
        let dict = ok(self.optimizer.state_dict());
        let copies =
            self.params.iter().zip(&self.views).filter_map(|((name, ..), (.., copy))| {
                Some((format!("copy.{name}"), copy.clone()?))
            });
        let (names, views): (Vec<_>, Vec<_>) = dict.views.into_iter().chain(copies).unzip();
        let numbers = ok(self.gpu.download_all(&views));
        names.into_iter().zip(numbers).collect()
    }

    /// Fails unless two optimizers have the same bits of everything.
    #[track_caller]
    pub(crate) fn assert_equals(&mut self, other: &mut Self, what: &str) {
        let (one, two) = (self.contents(), other.contents());
        assert_eq!(one.len(), two.len(), "{what}");
        // A load makes copies what the parameters are, whatever they were without a step.
        let loaded = what.ends_with("as loaded");
        let pairs = one.iter().zip(&two);
        for ((name, one), (other, two)) in
            pairs.filter(|((name, _), _)| !(loaded && name.starts_with("copy.")))
        {
            assert_eq!(name, other, "{what}");
            let bits = |all: &[f32]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            let (one, two) = (bits(one), bits(two));
            let found = one.iter().zip(&two).enumerate().find(|(_, (one, two))| one != two);
            assert!(one.len() == two.len() && found.is_none(), "{what}: {name}: {found:x?}");
        }
    }
}

/// Writes numbers into views, which may begin and end within a word.
fn put(gpu: &Gpu, all: &[(&View, Vec<f32>)]) {
    let mut buffers: Vec<(View, Vec<f32>)> = Vec::new();
    for (view, values) in all {
        let whole = View::whole(&view.buffer, view.format);
        let known = buffers.iter().position(|(known, _)| *known == whole);
        let known = known.unwrap_or_else(|| {
            buffers.push((whole.clone(), ok(gpu.download(&whole))));
            buffers.len() - 1
        });
        let begin = (view.offset / view.format.bytes()) as usize;
        buffers[known].1[begin..begin + values.len()].copy_from_slice(values);
    }
    buffers.iter().for_each(|(whole, values)| set(gpu, whole, values));
}

/// Polls the device until the future is ready.
pub(crate) fn finished<F: Future>(gpu: &Gpu, mut future: std::pin::Pin<&mut F>) -> F::Output {
    let waker = std::task::Waker::noop();
    loop {
        let mut context = std::task::Context::from_waker(waker);
        if let std::task::Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return result;
        }
        ok(gpu.wait());
    }
}

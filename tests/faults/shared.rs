//! Parameters, gradients and copies in one buffer: the results are those of separate buffers, bit for bit.

use support::ByName;
use support::noop::device;
use support::{bits, gpu, halves, numbers, ok, one_of_each, slots, upload};
use wgpu_optim::wgpu::{Buffer, BufferDescriptor, BufferUsages, Limits};
use wgpu_optim::{Control, Error, Format, Group, Optimizer, ParamId, View};

/// Odd lengths, so that views of 16 bits share words, and lengths of every phase.
const LENGTHS: [u64; 6] = [5, 64, 1030, 9, 3, 77];

const STEPS: u64 = 3;

/// The formats of parameters and gradients, and of copies if there are any.
#[derive(Clone, Copy, Debug)]
struct Formats {
    param: Format,
    grad: Format,
    copy: Option<Format>,
}

impl Formats {
    /// The views of one parameter, in the order in which they lie, each with the numbers in it.
    fn views(self, index: u64, len: u64) -> Vec<(Format, Vec<f32>)> {
        let copy = self.copy.map(|copy| (copy, vec![0.0; len as usize]));
        let [param, grad] = [0, 1].map(|seed| numbers(len, 2 * index + seed));
        [(self.param, param), (self.grad, grad)].into_iter().chain(copy).collect()
    }

    /// Whether all of one parameter's views may share words: one binding spans parameter and gradient.
    fn are_near(self) -> bool {
        self.param == self.grad && self.copy.is_none()
    }
}

/// The bytes of a buffer that is filled view by view.
#[derive(Default)]
struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// Puts numbers behind everything else, and tells the first element.
    fn put(&mut self, format: Format, numbers: &[f32], alignment: u64) -> u64 {
        let size = format.bytes();
        let start = (self.bytes.len() as u64).next_multiple_of(alignment.max(size));
        self.bytes.resize(start as usize, 0x5a);
        self.bytes.extend(format.encode_all(numbers));
        start / size
    }

    fn upload(mut self) -> Buffer {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0x5a);
        let words = self.bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word));
        upload(gpu(), &words.collect::<Vec<_>>())
    }
}

/// The views of every parameter: all in one buffer, p0 g0 p1 g1 …, or each in one of its own.
fn views(formats: Formats, together: bool) -> Vec<Vec<View>> {
    let alignment = if formats.are_near() { 1 } else { 256 };
    let mut image = Image::default();
    let mut places: Vec<Vec<(Format, u64, u64)>> = Vec::new();
    let mut alone = Vec::new();
    for (index, len) in (0..).zip(LENGTHS) {
        let all = formats.views(index, len);
        let place = |(format, numbers): &(Format, Vec<f32>)| {
            (*format, image.put(*format, numbers, alignment), len)
        };
        places.push(all.iter().map(place).collect());
        alone.push(all.into_iter().map(move |(format, numbers)| {
            let mut own = Image::default();
            own.put(format, &numbers, 1);
            View::whole(&own.upload(), format).range(0..len)
        }));
    }
    if !together {
        return alone.into_iter().map(Iterator::collect).collect();
    }
    let buffer = image.upload();
    let view =
        |(format, at, len): (Format, u64, u64)| View::whole(&buffer, format).range(at..at + len);
    places.into_iter().map(|all| all.into_iter().map(view).collect()).collect()
}

/// Some steps; then the bits of every view and of all state.
fn train(group: &Group, control: Control, formats: Formats, together: bool) -> Vec<Vec<u32>> {
    let gpu = gpu();
    let mut optimizer = Optimizer::new(&gpu.device);
    ok(optimizer.set_control(control));
    let groups = [0.0, 0.1].map(|decay| ok(optimizer.add_group(group.clone().weight_decay(decay))));
    let views = views(formats, together);
    for (i, views) in views.iter().enumerate() {
        let [param, grad] = [0, 1].map(|at| views[at].clone());
        let id = ok(optimizer.add_param(groups[i % 2], &i.to_string(), param, grad));
        ok(optimizer.set_copy(id, views.get(2).cloned()));
    }
    support::record(gpu, |encoder| {
        for _ in 0..STEPS {
            optimizer.step(encoder);
            ok(optimizer.accumulate(encoder));
            optimizer.step(encoder);
        }
    });
    let mut all: Vec<Vec<u32>> = views.iter().flatten().map(|view| bits(gpu, view)).collect();
    for i in 0..views.len() {
        for slot in slots(group) {
            all.push(bits(gpu, &ok(optimizer.state_of(&i.to_string(), slot))));
        }
    }
    all
}

fn formats() -> Vec<Formats> {
    let pairs = Format::ALL.into_iter().flat_map(|param| Format::ALL.map(|grad| (param, grad)));
    let mut all: Vec<Formats> =
        pairs.map(|(param, grad)| Formats { param, grad, copy: None }).collect();
    for copy in halves() {
        all.extend(Format::ALL.map(|grad| Formats { param: Format::F32, grad, copy: Some(copy) }));
    }
    all
}

#[test]
fn one_buffer_gives_the_bits_of_many() {
    let plain = Control::default();
    let norm = Control { clip_norm: Some(0.5), skip_nonfinite: true, ..plain };
    let controls = [plain, norm, Control { zero_grad: true, clip_value: Some(1.0), ..plain }];
    let groups = one_of_each();
    // Every control with every pair of formats, and every rule with some.
    let mut turn = 0;
    for formats in formats() {
        for control in controls {
            let group = &groups[turn % groups.len()];
            turn += 1;
            let [one, many] =
                [true, false].map(|together| train(group, control, formats, together));
            assert_eq!(one, many, "{formats:?} {control:?} {group:?}");
        }
    }
}

/// The optimizer and a buffer of a device where bindings begin at multiples of 256 bytes.
struct Setup {
    _queue: wgpu_optim::wgpu::Queue,
    optimizer: Optimizer,
    group: wgpu_optim::GroupId,
    buffer: Buffer,
    device: wgpu_optim::wgpu::Device,
}

fn setup() -> Setup {
    let (device, queue) = device(Limits::default());
    let label = Some("test");
    let (size, usage) = (4096, BufferUsages::STORAGE);
    let buffer =
        device.create_buffer(&BufferDescriptor { label, size, usage, mapped_at_creation: false });
    let mut optimizer = Optimizer::new(&device);
    let group = ok(optimizer.add_group(Group::adam(0.1)));
    Setup { _queue: queue, optimizer, group, buffer, device }
}

impl Setup {
    /// A view of `len` elements from this byte on.
    fn view(&self, format: Format, byte: u64, len: u64) -> View {
        let first = byte / format.bytes();
        View::whole(&self.buffer, format).range(first..first + len)
    }

    fn add(&mut self, name: &str, param: View, grad: View) -> Result<ParamId, Error> {
        self.optimizer.add_param(self.group, name, param, grad)
    }

    /// A step, whose errors panic here.
    fn step(&mut self) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.optimizer.step(&mut encoder);
        drop(encoder.finish());
    }
}

/// Formats that differ in what they are or in their size.
fn unequal() -> impl Iterator<Item = [Format; 2]> {
    let pairs = Format::ALL.into_iter().flat_map(|one| Format::ALL.map(|two| [one, two]));
    pairs.filter(|[one, two]| one != two)
}

const REMEDY: &str = "share 256 bytes that a binding begins with; align them to 256 bytes, or put them into two buffers";

#[test]
fn a_parameter_and_its_gradient_of_another_format_share_no_unit() {
    for [one, two] in unequal() {
        let mut s = setup();
        // In one word if both have 16 bits, in one unit in any case.
        let behind = (9 * one.bytes()).next_multiple_of(two.bytes());
        for byte in [behind, 128] {
            let views = [s.view(one, 0, 9), s.view(two, byte, 9)];
            for [param, grad] in [[0, 1], [1, 0]] {
                let error = s.add("w", views[param].clone(), views[grad].clone());
                let message = error.expect_err("two bindings overlap").to_string();
                let start = "parameter `w`: its parameter and its gradient lie in one buffer and ";
                assert_eq!(message, format!("{start}{REMEDY}"));
            }
        }
        let (param, near, far) = (s.view(one, 0, 9), s.view(two, 128, 9), s.view(two, 256, 9));
        let id = ok(s.add("w", param, far));
        s.step();
        // The same of a gradient that moves, which then stays where it was.
        let moved = s.optimizer.set_grad(id, near);
        assert!(matches!(moved, Err(Error::TooNear { .. })), "{moved:?}");
        s.step();
    }
}

#[test]
fn a_copy_shares_no_unit_with_its_parameter_and_gradient() {
    for half in halves() {
        for grad in Format::ALL {
            let mut s = setup();
            let (param, of) = (s.view(Format::F32, 0, 9), s.view(grad, 256, 9));
            let id = ok(s.add("w", param, of));
            for (byte, part) in [(36, "parameter"), (128, "parameter"), (300, "gradient")] {
                let copy = s.view(half, byte, 9);
                let error = s.optimizer.set_copy(id, Some(copy));
                let message = error.expect_err("two bindings overlap").to_string();
                let start =
                    format!("parameter `w`: its {part} and its copy lie in one buffer and ");
                assert_eq!(message, format!("{start}{REMEDY}"));
            }
            let copy = s.view(half, 512, 9);
            ok(s.optimizer.set_copy(id, Some(copy)));
            s.step();
        }
    }
}

/// Different parameters may share a unit, whatever their formats.
#[test]
fn parameters_may_be_near_to_others() {
    for [one, two] in unequal() {
        let mut s = setup();
        let ends = [0, (9 * one.bytes()).next_multiple_of(4)];
        let views = [(one, 1024, 2048), (two, 2048, 1024)];
        for ((name, at), (format, param, grad)) in ["a", "b"].into_iter().zip(ends).zip(views) {
            let (param, grad) = (s.view(format, param + at, 9), s.view(format, grad + at, 9));
            ok(s.add(name, param, grad));
        }
        s.step();
    }
}

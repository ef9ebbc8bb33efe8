//! Numbers of 16 bits: every bit of them, on the GPU, against the `half` crate; and what shares a word.
//!
//! The kernels here are the library's up to their entry point: the same codec, accesses and addressing,
//! with a body that copies a gradient into its parameter, or back, so that nothing rounds but the codec.

use std::sync::LazyLock;

use half::{bf16, f16};
use support::{gpu, halves, numbers, ok};
use wgpu_optim::kernel::{Address, Facts, Kernel, Width, every_kernel_of};
use wgpu_optim::wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu_optim::wgpu::{BindGroupDescriptor, BindGroupEntry, BufferUsages};
use wgpu_optim::{Control, Format, Group, Optimizer, View};

/// A copy in place of a step.
const BODY: &str = include_str!("formats/copy.wgsl");

/// The copy itself, and the one the other way.
const COPY: [&str; 2] =
    ["store_param(at.param, load_grad(at.grad));", "store_grad(at.grad, load_param(at.param));"];

/// Every kernel over one run of parameters and gradients and nothing else, rounding to nearest.
fn plain() -> &'static [(Kernel, Facts)] {
    static PLAIN: LazyLock<Vec<(Kernel, Facts)>> = LazyLock::new(|| {
        let sgd = Group::sgd(1.0);
        let with_facts = every_kernel_of(&sgd).filter_map(|kernel| {
            let facts = kernel.facts.clone()?;
            Some((kernel, facts))
        });
        let is_plain = |(_, facts): &(Kernel, Facts)| {
            let operands: Vec<&str> = facts.operands.iter().map(|one| one.name.as_str()).collect();
            facts.address == Address::Direct
                && operands == ["param", "grad"]
                && !(facts.stochastic || facts.summed)
                && facts.formats[2] == Format::F32
        };
        with_facts.filter(is_plain).collect()
    });
    &PLAIN
}

/// A kernel that copies `length` `real`s from one place to another, and how to spoil it.
struct Copy<'a> {
    width: Width,
    /// Whether gradients are bound to be written.
    written: bool,
    /// Whether the copy is from the parameter to its gradient.
    back: bool,
    from: Format,
    to: Format,
    /// Where to and where from, each in its operand's indices.
    places: [u32; 2],
    length: u32,
    /// A piece of its WGSL and the replacement.
    mutation: Option<(&'a str, &'a str)>,
}

impl Copy<'_> {
    /// Runs it; returns what `to` holds then.
    fn run(&self, from: &[u32], to: &[u32]) -> Vec<u32> {
        let [param, grad] = if self.back { [self.from, self.to] } else { [self.to, self.from] };
        let is = |facts: &Facts| {
            facts.width == self.width
                && facts.formats[..2] == [param, grad]
                && facts.operands[1].written == self.written
        };
        let found = plain().iter().find(|(_, facts)| is(facts));
        let Some((kernel, facts)) = found else { panic!("no kernel {param:?} {grad:?}") };
        let (head, _) = kernel.wgsl.split_once("@compute").unwrap_or_else(|| panic!("no entry"));
        assert!(BODY.contains(COPY[0]));
        let body = if self.back { BODY.replace(COPY[0], COPY[1]) } else { BODY.to_owned() };
        let mut wgsl = format!("{head}{body}");
        if let Some((right, wrong)) = self.mutation {
            assert!(wgsl.contains(right), "`{right}` is not in {}", kernel.name);
            wgsl = wgsl.replace(right, wrong);
        }
        self.dispatch(wgsl, facts, from, to)
    }

    fn dispatch(&self, wgsl: String, facts: &Facts, from: &[u32], to: &[u32]) -> Vec<u32> {
        let (gpu, label) = (gpu(), Some("formats"));
        let device = &gpu.device;
        let pipeline = support::pipeline(gpu, wgsl);
        let usage = BufferUsages::UNIFORM | BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let buffer = |words: &[u32]| {
            let contents = bytemuck::cast_slice(words);
            device.create_buffer_init(&BufferInitDescriptor { label, contents, usage })
        };
        let row = self.length.div_ceil(256).min(1000);
        let [target, source] = self.places;
        let [param, grad] = if self.back { [source, target] } else { [target, source] };
        let mut words = [0; 16];
        words[..5].copy_from_slice(&[param, grad, 0, self.length, row]);
        let launch = buffer(&words);
        let (from, to) = (buffer(from), buffer(to));
        let [param, grad] = if self.back { [&from, &to] } else { [&to, &from] };
        let bindings = [&facts.operands[0], &facts.operands[1]].map(|operand| operand.binding);
        let entries = [(0, &launch), (bindings[0], param), (bindings[1], grad)];
        let entries = entries.map(|(binding, buffer)| BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        });
        let layout = &pipeline.get_bind_group_layout(0);
        let group =
            device.create_bind_group(&BindGroupDescriptor { label, layout, entries: &entries });
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(row, self.length.div_ceil(256 * row), 1);
        drop(pass);
        gpu.queue.submit([encoder.finish()]);
        support::bits(gpu, &View::f32(&to))
    }
}

/// Both formats of 16 bits, and `half`'s word on them.
type Oracle = (Format, fn(u16) -> f32, fn(f32) -> u16);
const ORACLES: [Oracle; 2] = [
    (Format::F16, |bits| f16::from_bits(bits).to_f32(), |x| f16::from_f32(x).to_bits()),
    (Format::Bf16, |bits| bf16::from_bits(bits).to_f32(), |x| bf16::from_f32(x).to_bits()),
];

#[test]
fn every_format_of_16_bits_has_its_oracle() {
    assert!(halves().eq(ORACLES.map(|(format, ..)| format)));
}

/// Every width.
const WIDTHS: [Width; 3] = [Width::Vec4, Width::Loose, Width::Scalar];

/// Elements to an invocation.
fn elements(width: Width) -> u32 {
    if width == Width::Scalar { 1 } else { 4 }
}

/// Codes, two to a word.
fn packed(codes: &[u16]) -> Vec<u32> {
    codes.chunks(2).map(|pair| u32::from(pair[0]) | u32::from(pair[1]) << 16).collect()
}

fn unpacked(words: &[u32]) -> Vec<u16> {
    words.iter().flat_map(|word| [*word as u16, (word >> 16) as u16]).collect()
}

/// How many of all codes the GPU decodes to something else than `half`.
fn wrongly_decoded((format, decode, _): Oracle, width: Width, written: bool) -> usize {
    let codes: Vec<u16> = (0..=u16::MAX).collect();
    let (from, to, places) = (format, Format::F32, [0, 0]);
    let (length, back, mutation) = (codes.len() as u32 / elements(width), false, None);
    let copy = Copy { width, written, back, from, to, places, length, mutation };
    let decoded = copy.run(&packed(&codes), &vec![0; codes.len()]);
    let wrong = codes.iter().zip(decoded).filter(|(code, ours)| {
        let theirs = decode(**code).to_bits();
        // `half` makes a signalling NaN quiet when it decodes it, here the next operation does.
        let quiet = if f32::from_bits(theirs).is_nan() { 0x40_0000 } else { 0 };
        *ours | quiet != theirs
    });
    wrong.count()
}

#[test]
fn every_code_is_decoded_as_half_does() {
    for oracle in ORACLES {
        for width in WIDTHS {
            for written in [false, true] {
                let wrong = wrongly_decoded(oracle, width, written);
                assert_eq!(wrong, 0, "{:?} {width:?} {written}", oracle.0);
            }
        }
    }
}

/// Every upper half of an f32, thus every sign, exponent and NaN, each with lower halves at, beside and
/// between the ties of both formats; and a million numbers at random.
fn sample() -> Vec<u32> {
    const LOWER: [u32; 16] = [
        0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000,
        0x8001, 0xefff, 0xf000, 0xffff,
    ];
    let edges = (0..=0xffff_u32).flat_map(|upper| LOWER.map(|lower| upper << 16 | lower));
    let random = (0..1_u32 << 20).map(|i| i.wrapping_mul(0x9e37_79b9) ^ i.wrapping_mul(i) << 7);
    edges.chain(random).collect()
}

/// How many of the sample the GPU encodes to something else than `half`, into parameters or, `back`, gradients.
fn wrongly_encoded(
    (to, _, encode): Oracle,
    (width, back): (Width, bool),
    mutation: Option<(&str, &str)>,
) -> usize {
    let bits = sample();
    let (from, places, length) = (Format::F32, [0, 0], bits.len() as u32 / elements(width));
    let copy = Copy { width, written: back, back, from, to, places, length, mutation };
    let encoded = unpacked(&copy.run(&bits, &vec![0x5555_aaaa; bits.len() / 2]));
    let expected = bits.iter().map(|bits| encode(f32::from_bits(*bits)));
    expected.zip(encoded).filter(|(theirs, ours)| theirs != ours).count()
}

#[test]
fn numbers_are_encoded_as_half_does() {
    for oracle in ORACLES {
        for width in WIDTHS {
            for back in [false, true] {
                let wrong = wrongly_encoded(oracle, (width, back), None);
                assert_eq!(wrong, 0, "{:?} {width:?} {back}", oracle.0);
            }
        }
    }
}

#[test]
fn wrong_encoders_are_caught() {
    let [f16, bf16] = ORACLES;
    for (oracle, right, wrong) in [
        // Truncation; ties away from zero; infinity in place of NaN; no overflow; no subnormals.
        (bf16, "(bits + 0x7fffu + (upper & real_bits(1u)))", "bits"),
        (bf16, "0x7fffu + (upper & real_bits(1u))", "0x8000u"),
        (bf16, "upper | real_bits(0x40u)", "rounded"),
        (f16, "+ 0xfffu + odd", ""),
        (f16, "0xfffu + odd", "0x1000u"),
        (f16, "min(rounded, real_bits(0x7c00u))", "rounded"),
        (
            f16,
            "real_bits(0x7c00u), nan, magnitude",
            "real_bits(0x7c00u), real_bits(0x7c00u), magnitude",
        ),
        (f16, "select(normal, subnormal, magnitude", "select(normal, real_bits(), magnitude"),
        (f16, "((significand >> shift) & real_bits(1u))", "real_bits(1u)"),
    ] {
        for width in [Width::Vec4, Width::Scalar] {
            let count = wrongly_encoded(oracle, (width, false), Some((right, wrong)));
            println!("{right} → {wrong}: {count} wrong");
            assert!(count > 0, "`{right}` → `{wrong}` in {width:?} went unnoticed");
        }
    }
}

/// Copies elements of a range of halves over a pattern; how many halves differ from what should be there.
fn wrongly_placed(
    (width, back): (Width, bool),
    first: u32,
    length: u32,
    mutation: Option<(&str, &str)>,
) -> usize {
    let source: Vec<u16> = (0..512).map(|i| 0x3f00 + i).collect();
    let before: Vec<u16> = (0..512).map(|i| 0xa000 + i).collect();
    let (from, to, places) = (Format::Bf16, Format::Bf16, [first, first + 1]);
    let copy = Copy { width, written: back, back, from, to, places, length, mutation };
    let after = unpacked(&copy.run(&packed(&source), &packed(&before)));
    // Gradients of loose quads are counted one by one.
    let unit = |is_grad: bool| match (width, is_grad) {
        (Width::Loose, true) => 1,
        _ => elements(width),
    };
    let (target, start) = ((first * unit(back)) as usize, ((first + 1) * unit(!back)) as usize);
    let length = (length * elements(width)) as usize;
    let wrong = after.iter().enumerate().filter(|(i, after)| {
        let inside = (target..target + length).contains(i);
        **after != if inside { source[i - target + start] } else { before[*i] }
    });
    wrong.count()
}

#[test]
fn a_range_of_halves_leaves_the_others_alone() {
    for back in [false, true] {
        for (first, length) in [(0, 1), (1, 1), (2, 1), (3, 2), (7, 256), (8, 301), (0, 510)] {
            let wrong = wrongly_placed((Width::Scalar, back), first, length, None);
            assert_eq!(wrong, 0, "{first}, {length}, {back}");
        }
        for (first, length) in [(3, 100), (0, 1), (1, 1), (2, 3), (5, 90)] {
            for width in [Width::Vec4, Width::Loose] {
                let wrong = wrongly_placed((width, back), first, length, None);
                assert_eq!(wrong, 0, "{width:?} {first}, {length}, {back}");
            }
        }
    }
}

#[test]
fn halves_in_a_wrong_place_are_caught() {
    let [vec4, loose, scalar] = WIDTHS.map(|width| (width, false));
    let back = (Width::Loose, true);
    let buffer = ["param", "grad"].map(|name| format!("(&{name}_buffer[i >> 1u], "));
    let [right_param, right_grad] = buffer.clone().map(|buffer| format!("{buffer}~("));
    let [wrong_param, wrong_grad] = buffer.map(|buffer| format!("{buffer}("));
    for (width, right, wrong) in [
        // Halves exchanged on the way in, on the way out; a neighbour cleared; a neighbour kept in part.
        (scalar, &*right_param, &*wrong_param),
        (scalar, "let shift = (i & 1u) * 16u;", "let shift = (1u - (i & 1u)) * 16u;"),
        (scalar, "~(0xffffu << shift)", "0u"),
        (scalar, "~(0xffffu << shift)", "~(0xfffu << shift)"),
        (vec4, "bits.xz | (bits.yw << vec2(16u))", "bits.yw | (bits.xz << vec2(16u))"),
        (vec4, "vec4(0u, 16u, 0u, 16u)", "vec4(16u, 0u, 16u, 0u)"),
        // The same where gradients begin anywhere; and one of four in another's place.
        (loose, ">> ((i & 1u) * 16u)", ">> 0u"),
        (loose, "half_of_grad(i + 3u)", "half_of_grad(i + 2u)"),
        (back, &*right_grad, &*wrong_grad),
        (back, "let shift = (i & 1u) * 16u;", "let shift = (1u - (i & 1u)) * 16u;"),
        (back, "~(0xffffu << shift)", "0u"),
        (back, "put_grad(i + 3u, bits.w)", "put_grad(i + 2u, bits.w)"),
    ] {
        let count = wrongly_placed(width, 3, 101, Some((right, wrong)));
        assert!(count > 0, "`{right}` → `{wrong}` in {width:?} went unnoticed");
    }
}

/// Views of one arena that share words, in two groups, end up as each in a buffer of its own.
#[test]
fn neighbours_in_one_word_do_not_meet() {
    const VIEWS: u64 = 200;
    let gpu = gpu();
    let len = |i: u64| 1 + i * 5 % 7;
    let total: u64 = (0..VIEWS).map(len).sum();
    let half_words = |seed| {
        let codes = numbers(total + 1, seed).into_iter().map(|x| bf16::from_f32(x).to_bits());
        packed(&codes.take(total as usize / 2 * 2).collect::<Vec<_>>())
    };
    let upload = |words: &[u32]| {
        let floats: Vec<f32> = words.iter().map(|word| f32::from_bits(*word)).collect();
        ok(gpu.upload("halves", &floats))
    };
    let (params, grads) = (upload(&half_words(1)), upload(&half_words(2)));
    let total = View::bf16(&params).len;
    let step = |views: &[(View, View)]| {
        let mut optimizer = Optimizer::new(&gpu.device);
        let groups = [Group::adam(1e-2), Group::adam(0.5)]
            .map(|group| ok(optimizer.add_group(group.state_format(Format::Bf16))));
        for (i, (param, grad)) in views.iter().enumerate() {
            let (param, grad) = (param.clone(), grad.clone());
            ok(optimizer.add_param(groups[i % 2], &i.to_string(), param, grad));
        }
        (0..3).for_each(|_| gpu.step(&mut optimizer));
        optimizer.dispatches()
    };
    let mut at = 0;
    let ranges: Vec<_> = (0..VIEWS)
        .map(|i| {
            let range = at..(at + len(i)).min(total);
            at = range.end;
            range
        })
        .collect();
    let copied: Vec<(View, View)> = ranges
        .iter()
        .map(|range| {
            // At the same place in a quadruple, so that the same kernel takes it.
            let phase = (range.start % 4) as usize;
            let own = |buffer| {
                let numbers = support::read(gpu, &View::bf16(buffer).range(range.clone()));
                let mut codes = vec![0xbeef; phase];
                codes.extend(numbers.iter().map(|x| bf16::from_f32(*x).to_bits()));
                let view = phase as u64..codes.len() as u64;
                codes.resize(codes.len().next_multiple_of(2), 0xbeef);
                View::bf16(&upload(&packed(&codes))).range(view)
            };
            (own(&params), own(&grads))
        })
        .collect();
    let arena: Vec<(View, View)> = ranges
        .iter()
        .map(|range| [&params, &grads].map(|buffer| View::bf16(buffer).range(range.clone())))
        .map(|[param, grad]| (param, grad))
        .collect();
    assert_eq!(step(&arena), 2, "quadruples, and what is left at the ends");
    step(&copied);
    for ((there, _), (own, _)) in arena.iter().zip(&copied) {
        assert_eq!(support::bits(gpu, there), support::bits(gpu, own), "{there:?}");
        let whole = unpacked(&support::bits(gpu, &View::f32(&own.buffer)));
        let (first, len) = ((own.offset / 2) as usize, own.len as usize);
        let padding = whole[..first].iter().chain(&whole[first + len..]);
        assert!(padding.copied().all(|code| code == 0xbeef), "{own:?}");
    }
}

/// Clipping takes the norm of what the gradients are, however they are stored.
#[test]
fn the_norm_of_16_bit_gradients() {
    let gpu = gpu();
    let norm = |grad: View| {
        let w = ok(gpu.zeros("w", grad.len));
        let mut optimizer = Optimizer::new(&gpu.device);
        let group = ok(optimizer.add_group(Group::sgd(0.1)));
        ok(optimizer.add_param(group, "w", View::f32(&w), grad));
        ok(optimizer.set_control(Control { clip_norm: Some(1.0), ..Control::default() }));
        gpu.step(&mut optimizer);
        (support::stats(gpu, &optimizer).norm, support::bits(gpu, &View::f32(&w)))
    };
    for (format, decode, encode) in ORACLES {
        let codes: Vec<u16> = numbers(4001, 9).into_iter().map(encode).collect();
        let halves: Vec<f32> =
            (packed(&[&codes[..], &[0]].concat()).into_iter()).map(f32::from_bits).collect();
        let words: Vec<f32> = codes.iter().map(|code| decode(*code)).collect();
        let halves = View::whole(&ok(gpu.upload("g", &halves)), format).range(0..4001);
        let words = View::f32(&ok(gpu.upload("g", &words)));
        assert_eq!(norm(halves), norm(words), "{format:?}");
    }
}

#[test]
fn wrong_views_of_16_bits() {
    let gpu = gpu();
    let odd = gpu.device.create_buffer(&wgpu_optim::wgpu::BufferDescriptor {
        label: None,
        size: 6,
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let whole = ok(gpu.zeros("w", 8));
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(Group::sgd(0.1)));
    let mut error = |param: View| {
        let grad = View::f32(&ok(gpu.zeros("g", 64))).range(0..param.len);
        optimizer.add_param(group, "w", param, grad).map_err(|e| e.to_string()).err()
    };
    assert_eq!(
        error(View::f16_at(&whole, 3, 2)).as_deref(),
        Some(
            "parameter `w`: its view starts at byte 3, which is not a multiple of 2; move it to byte 2"
        )
    );
    assert_eq!(
        error(View::bf16(&odd)).as_deref(),
        Some(
            "parameter `w`: its view ends in half a word, and its buffer of 6 bytes with it; GPUs access whole words, so make the buffer 8 bytes long"
        )
    );
    assert_eq!(error(View::bf16(&odd).range(0..2)), None);
    let used = Group::sgd(0.1).state_format(Format::F16);
    let refused = optimizer.set_group(group, used).map_err(|e| e.to_string()).err();
    assert_eq!(
        refused.as_deref(),
        Some(
            "group 0: its parameters' state is f32, the new options keep it in f16; parameters keep their state, so add a group for the new options and new parameters to it"
        )
    );
}

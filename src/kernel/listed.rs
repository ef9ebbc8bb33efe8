//! This module lists kernels as text with their facts, for readers and for other tools.

use super::assemble::{mark_wgsl, prepare_wgsl, wgsl};
use super::blocks;
use super::spec::{Address, KernelSpec};
use super::{Body, WINDOW};
use crate::group::{Group, all_groups};
use crate::model::{Grads, RuleKey, Spec, Weight, options};
use crate::num::SlotCodes;
use crate::num::{BlockCode, Format, Master, StateFormat, StateFormats};
use crate::plan::Width;

/// A kernel as text.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The name, made of the kernel's facts. No other kernel has it.
    pub name: String,
    /// The complete WGSL.
    pub wgsl: String,
    /// The name of its entry point.
    pub entry_point: &'static str,
    /// The values of its `override` switches.
    pub switches: Vec<(&'static str, bool)>,
    /// The facts; `None` for `prepare` and `mark`, which have one workgroup.
    pub facts: Option<Facts>,
}

/// The choices that made a kernel.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Facts {
    /// The number of elements that an invocation takes at once.
    pub width: Width,
    /// The way in which workgroups find their elements.
    pub address: Address,
    /// The work of the kernel.
    pub body: Body,
    /// The rule's name, in steps.
    pub rule: Option<&'static str>,
    /// The rule's slots, by name.
    pub slots: Vec<&'static str>,
    /// Whether some slot does not start at 0.
    pub starts: bool,
    /// The number of the rule's scalars.
    pub hyper: usize,
    /// The formats of parameters, gradients and state; f32 for state in blocks or in several formats.
    pub formats: [Format; 3],
    /// Whether some slot is in blocks.
    pub in_blocks: bool,
    /// Whether codes of slots in blocks are chosen at random.
    pub dithers: bool,
    /// Whether parameters are rounded at random.
    pub stochastic: bool,
    /// The master that completes parameters of 16 bits.
    pub master: Master,
    /// Whether gradients' magnitudes are limited.
    pub clip_value: bool,
    /// Whether weight decay leaves out elements that the step moves away from 0.
    pub cautious: bool,
    /// Whether the kernel writes zeros over used gradients.
    pub clear: bool,
    /// Whether gradients are sums.
    pub summed: bool,
    /// Whether parameters and gradients share a binding.
    pub joined: bool,
    /// The number of blocks of scalars that a launch by `Table` sees. A launch by `Moving` sees all blocks.
    pub window: u32,
    /// The bytes of workgroup memory for state in blocks.
    pub block_memory: u64,
    /// The buffers that the kernel binds for operands.
    pub operands: Vec<OperandFact>,
}

/// A buffer that a kernel binds for an operand.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OperandFact {
    /// The name in WGSL, as in `slot_0_buffer`.
    pub name: String,
    /// The bits of an element.
    pub bits: u32,
    /// The format of an element; `None` if its bits are no number by themselves.
    pub format: Option<Format>,
    /// The code of an element, if it is in blocks.
    pub blocks: Option<BlockCode>,
    /// Whether the kernel loads the operand.
    pub loads: bool,
    /// Whether the kernel stores the operand.
    pub stores: bool,
    /// Whether the binding may be written.
    pub written: bool,
    /// Whether the operand stands at a distance from another one. The launch has that distance.
    pub distant: bool,
    /// The bind group.
    pub group: u32,
    /// The binding in that group.
    pub binding: u32,
}

impl KernelSpec {
    fn facts(&self) -> Facts {
        let spec = &self.spec;
        let rule = spec.rule.as_ref().filter(|_| spec.is_step());
        let operands = self.variables().into_iter().map(|variable| OperandFact {
            bits: variable.code.bits(),
            format: match variable.code {
                crate::num::Code::Plain(format) => Some(format),
                _ => None,
            },
            blocks: match variable.code {
                crate::num::Code::Blocks(code) => Some(code),
                _ => None,
            },
            loads: variable.loads(),
            stores: variable.stores(),
            written: variable.written,
            distant: crate::model::OPERANDS[variable.operand].follows().is_some(),
            group: self.group(&variable),
            binding: self.binding(&variable),
            name: variable.name,
        });
        Facts {
            width: self.width,
            address: self.address,
            body: spec.body,
            rule: rule.map(RuleKey::name),
            slots: rule.map(RuleKey::slot_names).unwrap_or_default(),
            starts: rule.is_some_and(|key| (0..key.slots()).any(|k| !key.starts_at_zero(k))),
            hyper: rule.map_or(0, RuleKey::hyper),
            formats: [spec.param, spec.grad, spec.state.plain().unwrap_or_default()],
            in_blocks: spec.in_blocks(),
            dithers: spec.dithers,
            stochastic: spec.is_step() && spec.weight == Weight::Stochastic,
            master: spec.master(),
            clip_value: spec.clip_value,
            cautious: spec.cautious,
            clear: spec.clear,
            summed: spec.summed,
            joined: spec.grads == Grads::Joined,
            window: WINDOW,
            block_memory: if spec.body == Body::Update { blocks::memory(self) } else { 0 },
            operands: operands.collect(),
        }
    }

    fn listed(&self) -> Kernel {
        Kernel {
            name: self.name(),
            wgsl: wgsl(self),
            entry_point: self.entry_point(),
            switches: self.switches(),
            facts: Some(self.facts()),
        }
    }
}

const WIDTHS: [Width; 3] = [Width::Vec4, Width::Loose, Width::Scalar];

/// A function from a kernel to the kernels that a choice makes of it.
type Choices<'a> = &'a dyn Fn(&KernelSpec) -> Vec<KernelSpec>;

/// Multiplies a list of kernels by a choice.
fn each(all: &mut Vec<KernelSpec>, choices: Choices<'_>) {
    *all = all.iter().flat_map(choices).filter(KernelSpec::can_be).collect();
}

fn of_spec(kernel: &KernelSpec, change: impl FnOnce(&mut Spec)) -> KernelSpec {
    let mut kernel = kernel.clone();
    change(&mut kernel.spec);
    kernel
}

/// A kernel in f32, in every width and addressing.
fn plain(body: Body, rule: Option<RuleKey>) -> Vec<KernelSpec> {
    let mut all = Vec::new();
    for width in WIDTHS {
        for address in Address::ALL {
            let spec = Spec::new(body, rule.clone());
            all.push(KernelSpec { spec, width, address });
        }
    }
    all
}

/// Every combination of formats. The first is f32 throughout.
pub(crate) fn all_formats() -> impl Iterator<Item = [Format; 3]> {
    let of = |format| Format::ALL.map(|other| (format, other)).into_iter();
    let pairs = Format::ALL.into_iter().flat_map(of);
    pairs.flat_map(|(param, grad)| Format::ALL.map(|state| [param, grad, state]))
}

fn in_formats(kernel: &KernelSpec) -> Vec<KernelSpec> {
    let stored = |[param, grad, state]: [Format; 3]| {
        of_spec(kernel, |spec| {
            (spec.param, spec.grad) = (param, grad);
            spec.state = SlotCodes::all(state);
        })
    };
    all_formats().map(stored).collect()
}

const GRADS: [Grads; 3] = [Grads::Own, Grads::Shared, Grads::Joined];

const WEIGHTS: [Weight; 4] = [
    Weight::Plain,
    Weight::Stochastic,
    Weight::Mastered(Master::Remainder),
    Weight::Mastered(Master::F32),
];

/// Every kernel of a rule that a step can need.
fn every_step(rule: &RuleKey) -> Vec<KernelSpec> {
    let mut all = plain(Body::Update, Some(rule.clone()));
    each(&mut all, &in_formats);
    each(&mut all, &|k| WEIGHTS.map(|weight| of_spec(k, |s| s.weight = weight)).into());
    let copies = [None, Some(Format::F16), Some(Format::Bf16)];
    each(&mut all, &|k| copies.map(|copy| of_spec(k, |s| s.copy = copy)).into());
    each(&mut all, &|k| [0, options()].map(|kept| of_spec(k, |s| s.kept = kept)).into());
    each(&mut all, &|k| GRADS.map(|grads| of_spec(k, |s| s.grads = grads)).into());
    each(&mut all, &|k| [false, true].map(|clear| of_spec(k, |s| s.clear = clear)).into());
    each(&mut all, &|k| [false, true].map(|summed| of_spec(k, |s| s.summed = summed)).into());
    all.extend(in_blocks(rule).into_iter().filter(KernelSpec::can_be));
    all
}

/// The kernels of a rule that are worth a look of their own: every choice in f32, and every other choice with the
/// plainest rest. Files of different operands do not depend on each other, so more combinations would show nothing
/// new.
fn listed_steps(rule: &RuleKey) -> Vec<KernelSpec> {
    let f32 = plain(Body::Update, Some(rule.clone()));
    let mut all = f32.clone();
    for one in &f32 {
        let mut with = |change: &dyn Fn(&mut Spec)| all.push(of_spec(one, change));
        with(&|spec| spec.body = Body::Stream);
        with(&|spec| spec.clip_value = true);
        with(&|spec| spec.cautious = true);
        with(&|spec| spec.clear = true);
        with(&|spec| spec.summed = true);
        with(&|spec| spec.grads = Grads::Shared);
        with(&|spec| spec.grads = Grads::Joined);
        with(&|spec| (spec.grads, spec.clear) = (Grads::Joined, true));
        with(&|spec| spec.kept = options());
        for copy in [Format::F16, Format::Bf16] {
            with(&|spec| spec.copy = Some(copy));
            with(&|spec| (spec.copy, spec.kept) = (Some(copy), options()));
        }
    }
    let blends = plain(Body::Blend, Some(rule.clone()));
    for one in &blends {
        for param in Format::ALL {
            for weight in WEIGHTS {
                all.push(of_spec(one, |spec| (spec.param, spec.weight) = (param, weight)));
            }
        }
        all.push(of_spec(one, |spec| spec.state = SlotCodes::all(Format::Bf16)));
        all.push(of_spec(one, |spec| spec.copy = Some(Format::F16)));
    }
    let f32s = SlotCodes::all(Format::F32);
    let plainest = |one: &&KernelSpec| {
        one.address != Address::Moving
            && (one.address == Address::Table || one.width != Width::Loose)
    };
    for one in f32.iter().filter(plainest) {
        for formats in in_formats(one) {
            for weight in WEIGHTS {
                let weighed = of_spec(&formats, |spec| spec.weight = weight);
                let alike = weighed.spec.param == weighed.spec.grad;
                if weight == Weight::Plain || alike {
                    all.push(weighed.clone());
                }
                if alike && weighed.spec.state == f32s {
                    all.push(of_spec(&weighed, |spec| spec.kept = options()));
                }
            }
            if formats.spec.param == Format::F32 && formats.spec.state == f32s {
                all.push(of_spec(&formats, |spec| spec.clear = true));
            }
        }
    }
    all.extend(in_blocks(rule));
    all.retain(KernelSpec::can_be);
    let mut seen = std::collections::HashSet::new();
    all.retain(|kernel| seen.insert(kernel.clone()));
    all
}

/// The kernels of a rule with slots in blocks: every choice in f32, and the formats of parameters with their masters.
fn in_blocks(rule: &RuleKey) -> Vec<KernelSpec> {
    let mut all = Vec::new();
    for format in [StateFormat::Block8, StateFormat::Block4] {
        let state = rule.codes(&format.into());
        if state.blocks().is_empty() {
            return all;
        }
        for one in plain(Body::Update, Some(rule.clone())) {
            let one = of_spec(&one, |spec| spec.state = state);
            let mut with = |change: &dyn Fn(&mut Spec)| all.push(of_spec(&one, change));
            with(&|_| {});
            with(&|spec| spec.body = Body::Stream);
            with(&|spec| spec.dithers = true);
            if format != StateFormat::Block8 || one.address == Address::Moving {
                continue;
            }
            with(&|spec| spec.clip_value = true);
            with(&|spec| spec.clear = true);
            with(&|spec| spec.summed = true);
            with(&|spec| spec.grads = Grads::Joined);
            with(&|spec| (spec.kept, spec.copy) = (options(), Some(Format::Bf16)));
            for weight in WEIGHTS {
                with(&|spec| {
                    (spec.param, spec.grad, spec.weight) = (Format::Bf16, Format::Bf16, weight)
                });
            }
        }
    }
    // Slots in several formats.
    let names = rule.slot_names();
    if let [first, second, ..] = names[..] {
        let formats = [(first, StateFormat::Block4), (second, StateFormat::Block8)];
        let state = rule.codes(&StateFormats::from(formats));
        let mixed = plain(Body::Update, Some(rule.clone()));
        all.extend(mixed.iter().map(|one| of_spec(one, |spec| spec.state = state)));
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|kernel| seen.insert(kernel.clone()));
    all
}

/// The kernels of a group's rule that are worth a look of their own.
pub fn kernels_of(group: &Group) -> Vec<Kernel> {
    let rule = RuleKey::of(&*group.rule);
    listed_steps(&rule).iter().map(KernelSpec::listed).collect()
}

/// Every kernel that a group of this rule could need, which are many more than those of [`kernels_of`].
pub fn every_kernel_of(group: &Group) -> impl Iterator<Item = Kernel> {
    every_step(&RuleKey::of(&*group.rule)).into_iter().map(|kernel| kernel.listed())
}

/// The kernels of every rule of this crate, each once.
pub fn kernels() -> Vec<Kernel> {
    let mut all: Vec<Kernel> = all_groups().iter().flat_map(kernels_of).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.dedup_by(|a, b| a.name == b.name);
    all
}

/// Every kernel that looks at gradients before a step, or adds them up between steps.
pub fn control_kernels() -> Vec<Kernel> {
    let grads = |k: &KernelSpec| Format::ALL.map(|grad| of_spec(k, |s| s.grad = grad)).into();
    let mut all = plain(Body::Norm, None);
    each(&mut all, &grads);
    each(&mut all, &|k| [false, true].map(|clip| of_spec(k, |s| s.clip_value = clip)).into());
    each(&mut all, &|k| [false, true].map(|summed| of_spec(k, |s| s.summed = summed)).into());
    let mut sums = plain(Body::Accumulate, None);
    each(&mut sums, &grads);
    each(&mut sums, &|k| [false, true].map(|clear| of_spec(k, |s| s.clear = clear)).into());
    let single = |name: &str, wgsl, entry_point| Kernel {
        name: name.to_owned(),
        wgsl,
        entry_point,
        switches: Vec::new(),
        facts: None,
    };
    let mut all: Vec<Kernel> = all.iter().chain(&sums).map(KernelSpec::listed).collect();
    all.push(single("prepare", prepare_wgsl(), "prepare"));
    all.push(single("mark", mark_wgsl(), "mark"));
    all
}

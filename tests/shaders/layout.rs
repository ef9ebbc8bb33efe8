//! A kernel's bindings, against those of the host.

use std::collections::BTreeSet;

use naga::{AddressSpace, StorageAccess};
use wgpu_optim::Format;
use wgpu_optim::kernel::{Address, Body, Facts, OperandFact, Width};

use crate::structs::spell;
use crate::subject::{self, Subject};

/// Group, binding, variable, space and type.
type Bound = (u32, u32, String, &'static str, String);

const READ: &str = "read";
const WRITE: &str = "read_write";
const UNIFORM: &str = "uniform";

/// The bindings that a module declares.
fn declared(subject: &Subject) -> Vec<Bound> {
    let module = &subject.written;
    let bound = module.global_variables.iter().filter_map(|(_, global)| {
        let binding = global.binding.as_ref()?;
        let space = match global.space {
            AddressSpace::Uniform => UNIFORM,
            AddressSpace::Storage { access } if access == StorageAccess::LOAD => READ,
            AddressSpace::Storage { .. } => WRITE,
            other => panic!("{}: {other:?}", subject.name()),
        };
        let name = global.name.clone().unwrap_or_default();
        Some((binding.group, binding.binding, name, space, spell(module, global.ty)))
    });
    let mut bound: Vec<_> = bound.collect();
    bound.sort_unstable();
    bound
}

/// The array that holds an operand. Gradients of loose quads begin anywhere, everything else has whole ones.
fn array(facts: &Facts, operand: &OperandFact) -> &'static str {
    let by_element = operand.name == "grad" && facts.width == Width::Loose;
    let quads = facts.width != Width::Scalar && !by_element;
    if operand.blocks.is_some() {
        return "array<u32> by 4"; // records of words
    }
    match (operand.bits, operand.format) {
        (32, Some(Format::F32)) if quads => "array<vec4<f32>> by 16",
        (32, Some(Format::F32)) => "array<f32> by 4",
        (32, None) if quads => "array<vec4<u32>> by 16",
        (32, None) => "array<u32> by 4",
        (16, _) if quads => "array<vec2<u32>> by 8",
        // Half a word is written without a change to the other half.
        (16, _) if operand.written => "array<atomic<u32>> by 4",
        (16, _) => "array<u32> by 4",
        other => panic!("nothing here knows an operand of {other:?}"),
    }
}

/// The host's bindings for a kernel of many workgroups.
fn expected(facts: &Facts) -> Vec<Bound> {
    let mut all: Vec<Bound> = Vec::new();
    let mut add = |group, binding, name: &str, space, ty: &str| {
        all.push((group, binding, name.to_owned(), space, ty.to_owned()));
    };
    let moving = facts.address == Address::Moving;
    add(0, 0, "launch", UNIFORM, "Launch");
    if facts.address != Address::Direct {
        add(0, 1, "chunks", READ, "array<vec4<u32>> by 16");
    }
    let mut binding = 2;
    for operand in &facts.operands {
        // Gradients that move have a group of their own; their number among the others stays free.
        let alone = moving && operand.name == "grad";
        let (group, own) = if alone { (2, 0) } else { (0, binding) };
        let space = if operand.written { WRITE } else { READ };
        add(group, own, &format!("{}_buffer", operand.name), space, array(facts, operand));
        binding += 1;
    }
    match facts.body {
        Body::Update | Body::Stream | Body::Blend => {
            let blocks = format!("array<Block, {}>", facts.window);
            match facts.address {
                Address::Direct => add(1, 0, "scalars", UNIFORM, "Scalars"),
                Address::Table => add(1, 0, "blocks", UNIFORM, &blocks),
                Address::Moving => add(1, 0, "blocks", "read", "array<Block> by 256"),
            }
        }
        Body::Accumulate => add(1, 0, "now", UNIFORM, "Sums"),
        Body::Norm => {
            add(0, binding, "partials", WRITE, "array<vec4<u32>> by 16");
            add(0, binding + 1, "controller", READ, "Controller");
            add(1, 0, "control", UNIFORM, "Control");
            binding += 2;
        }
    }
    if facts.summed || facts.body == Body::Accumulate {
        add(0, binding, "sums", UNIFORM, "Sums");
    }
    if facts.in_blocks && facts.body == Body::Update {
        let codes: BTreeSet<String> =
            facts.operands.iter().filter_map(|operand| Some(operand.blocks?.name())).collect();
        // Each code has its numbers, one limit more, and three words that fill up the last four.
        let words = |name: &String| if name.starts_with("block8") { 516 } else { 36 };
        let quads = codes.iter().map(words).sum::<u32>() / 4;
        let ty = format!("array<vec4<f32>, {quads}>");
        // In storage if the default limits leave room for one more buffer there.
        let storage = facts.operands.len() + 2 + usize::from(moving);
        add(0, binding + 1, "tables", if storage <= 8 { READ } else { UNIFORM }, &ty);
    }
    all.sort_unstable();
    all
}

/// A kernel's bindings are those of its layouts in `src/kernel/layout.rs`.
#[test]
fn bindings_are_what_the_host_binds() {
    for subject in subject::all().iter().chain(subject::control()) {
        let Some(facts) = &subject.kernel.facts else { continue };
        assert_eq!(declared(subject), expected(facts), "{}", subject.name());
        for operand in &facts.operands {
            let at = (operand.group, operand.binding, format!("{}_buffer", operand.name));
            let mut all = expected(facts).into_iter();
            let found = all.any(|(group, binding, name, ..)| (group, binding, name) == at);
            assert!(found, "{}: the facts have {at:?}", subject.name());
        }
    }
}

/// The kernels of one workgroup bind what `src/kernel/pipelines.rs` does.
#[test]
fn bindings_of_one_workgroup_are_what_the_host_binds() {
    let (words, quads) = ("array<u32> by 4", "array<vec4<u32>> by 16");
    let all = [
        (
            "prepare",
            vec![
                (0, 0, "partials", READ, quads),
                (0, 1, "controller", WRITE, "Controller"),
                (0, 2, "scalars", WRITE, "array<f32> by 4"),
                (0, 3, "series", READ, "array<f32> by 4"),
                (0, 4, "dependents", READ, quads),
                (0, 5, "firsts", READ, words),
                (1, 0, "control", UNIFORM, "Control"),
                (1, 1, "given", READ, words),
            ],
        ),
        ("mark", vec![(0, 0, "sums", WRITE, "Sums"), (1, 0, "now", UNIFORM, "Sums")]),
    ];
    for (name, expected) in &all {
        let declared = declared(subject::named(name));
        let declared: Vec<_> = declared
            .iter()
            .map(|(g, b, name, space, ty)| (*g, *b, &**name, *space, &**ty))
            .collect();
        assert_eq!(declared, *expected, "{name}");
    }
    let single = subject::control().iter().filter(|subject| subject.kernel.facts.is_none());
    assert_eq!(single.count(), all.len());
}

/// No binding is for an operand that the kernel neither loads nor stores, and every operand has an access.
#[test]
fn facts_of_operands_agree() {
    for subject in subject::all().iter().chain(subject::control()) {
        let Some(facts) = &subject.kernel.facts else { continue };
        for operand in &facts.operands {
            let at = format!("{} of {}", operand.name, subject.name());
            assert!(operand.loads || operand.stores, "{at}");
            assert!(operand.written || !operand.stores, "{at}");
            let bits = operand.format.map(|format| 8 * format.bytes() as u32);
            assert!(bits.is_none_or(|bits| bits == operand.bits), "{at}");
        }
        let joined = !facts.operands.iter().any(|operand| operand.name == "grad");
        assert_eq!(facts.joined || facts.body == Body::Blend, joined, "{}", subject.name());
    }
}

/// A kernel has one entry point, whose workgroup size the host chooses.
#[test]
fn the_host_chooses_the_workgroup_size() {
    for subject in subject::all().iter().chain(subject::control()) {
        let (name, kernel) = (subject.name(), &subject.kernel);
        assert_eq!(subject.written.entry_points.len(), 1, "{name}");
        let entry = &subject.module.entry_points[0];
        let expected = (kernel.entry_point, [subject.workgroup_size(), 1, 1]);
        assert_eq!((&*entry.name, entry.workgroup_size), expected, "{name}");
        assert!(kernel.facts.is_none() || subject.workgroup_size() == 256, "{name}");
    }
}

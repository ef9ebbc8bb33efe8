//! What a kernel declares, against what the host binds and writes.

use naga::common::wgsl::TryToWgsl as _;
use naga::{AddressSpace, ArraySize, Constant, Handle, Module, StorageAccess, Type, TypeInner};
use wgpu_optim::Format;
use wgpu_optim::kernel::DRIVER;
use wgpu_optim::rule::MAX_SLOTS;

use crate::subject::{self, ENTRY, Subject, WORKGROUP_SIZE};

/// A type as WGSL spells it; with the stride, if it is an array.
fn spell(module: &Module, ty: Handle<Type>) -> String {
    let Type { name, inner } = &module.types[ty];
    match *inner {
        TypeInner::Struct { .. } => name.clone().unwrap_or_default(),
        TypeInner::Scalar(scalar) => scalar.to_wgsl_for_diagnostics(),
        TypeInner::Vector { size, scalar } => {
            format!("vec{}<{}>", size as u8, scalar.to_wgsl_for_diagnostics())
        }
        TypeInner::Array { base, size: ArraySize::Dynamic, stride } => {
            format!("array<{}> by {stride}", spell(module, base))
        }
        TypeInner::Array { base, size: ArraySize::Constant(length), .. } => {
            format!("array<{}, {length}>", spell(module, base))
        }
        TypeInner::Atomic(scalar) => format!("atomic<{}>", scalar.to_wgsl_for_diagnostics()),
        ref other => panic!("no kernel was expected to have a {other:?}"),
    }
}

/// A struct: each member's offset, name and type; and the size.
///
/// It must have no gaps: naga's GLSL has no offsets, and lays members out one after the other. Only an
/// array of `vec4`s may have one before it, to the next 16 bytes, as std140 has it too.
fn members(module: &Module, name: &str) -> (Vec<(u32, String, String)>, u32) {
    let named = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name));
    let Some((_, Type { inner: TypeInner::Struct { members, span }, .. })) = named else {
        panic!("no struct `{name}`");
    };
    let mut end = 0_u32;
    for member in members {
        if spell(module, member.ty).starts_with("array<vec4<f32>,") {
            end = end.next_multiple_of(16);
        }
        assert_eq!(member.offset, end, "a gap before a member of `{name}`");
        end += module.types[member.ty].inner.size(module.to_ctx());
    }
    assert_eq!(*span, end, "a gap at the end of `{name}`");
    let members = members.iter().map(|member| {
        (member.offset, member.name.clone().unwrap_or_default(), spell(module, member.ty))
    });
    (members.collect(), *span)
}

/// Members of one word each, without gaps: what `words` at offset `from` look like in a struct.
fn packed(from: u32, words: &[&str], ty: &str) -> Vec<(u32, String, String)> {
    let offsets = (from..).step_by(4);
    offsets.zip(words).map(|(at, name)| (at, (*name).to_owned(), ty.to_owned())).collect()
}

/// `Scalars` and `Hyper` are the driver's numbers and the rule's, in the order the host writes them.
#[test]
fn scalars_are_what_the_host_writes() {
    for Subject { kernel, rule, written, .. } in subject::all() {
        let name = &kernel.name;
        let mut expected = packed(0, &DRIVER, "f32");
        expected.push((64, "hyper".to_owned(), "Hyper".to_owned()));
        assert_eq!(members(written, "Scalars").0, expected, "{name}");
        let (hyper, _) = members(written, "Hyper");
        let names: Vec<_> = rule.hyper().iter().map(|scalar| scalar.name).collect();
        assert_eq!(hyper, packed(0, &names, "f32"), "{name}");
    }
}

/// `Launch` and `Block` are as large as the host's, and `Launch` in its order.
#[test]
fn launches_and_blocks_are_what_the_host_writes() {
    for Subject { kernel, written, .. } in subject::all() {
        let name = &kernel.name;
        let words = "param grad state length row shift first lower average copy unused_0 unused_1";
        let words: Vec<_> = words.split(' ').collect();
        assert_eq!(members(written, "Launch"), (packed(0, &words, "u32"), 48), "{name}");
        if name.contains("-table-") {
            let (block, size) = members(written, "Block");
            let scalars = (0, "scalars".to_owned(), "Scalars".to_owned());
            assert_eq!((&block[0], size), (&scalars, 256), "{name}");
        }
    }
}

/// A kernel's bindings are those of its layouts in `src/kernel.rs`.
#[test]
fn bindings_are_what_the_host_binds() {
    for Subject { kernel, rule, module, .. } in subject::steps() {
        let name = &kernel.name;
        let vec4 = name.contains("-vec4-");
        let array = |format, access| match (format, vec4, access) {
            (Format::F32, true, _) => "array<vec4<f32>> by 16",
            (Format::F32, false, _) => "array<f32> by 4",
            (_, true, _) => "array<vec2<u32>> by 8",
            (_, false, "read") => "array<u32> by 4",
            (_, false, _) => "array<atomic<u32>> by 4",
        };
        let [param, grad, state] = kernel.formats;
        let written = "read_write";
        let grads = if name.contains("-own-") { "read" } else { written };
        let mut expected = vec![
            (0, 0, "launch", "uniform", "Launch"),
            (0, 3, "grad_buffer", grads, array(grad, grads)),
        ];
        if name.contains("-remainder-") {
            expected.push((0, 2, "upper_buffer", written, array(param, written)));
            expected.push((0, 7, "lower_buffer", written, array(param, written)));
        } else {
            expected.push((0, 2, "param_buffer", written, array(param, written)));
        }
        if name.contains("-master-") {
            let bits = if vec4 { "array<vec4<u32>> by 16" } else { "array<u32> by 4" };
            expected.push((0, 7, "lower_buffer", written, bits));
        }
        if name.contains("-ema-") {
            expected.push((0, 8, "ema_buffer", written, array(Format::F32, written)));
        }
        if name.contains("_copy-") {
            expected.push((0, 9, "copy_buffer", written, array(Format::Bf16, written)));
        }
        if name.contains("-table-") {
            expected.push((0, 1, "chunks", "read", "array<vec4<u32>> by 16"));
            expected.push((1, 0, "blocks", "uniform", "array<Block, 32>"));
        } else {
            expected.push((1, 0, "scalars", "uniform", "Scalars"));
        }
        let slots = [4, 5, 6, 10].into_iter().zip([
            "slot_0_buffer",
            "slot_1_buffer",
            "slot_2_buffer",
            "slot_3_buffer",
        ]);
        let slots = slots.take(rule.slots().len());
        let array = array(state, written);
        expected.extend(slots.map(|(binding, slot)| (0, binding, slot, written, array)));
        expected.sort_unstable();

        let mut declared: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, global)| {
                let binding = global.binding.as_ref()?;
                let space = match global.space {
                    AddressSpace::Uniform => "uniform",
                    AddressSpace::Storage { access } if access == StorageAccess::LOAD => "read",
                    AddressSpace::Storage { .. } => "read_write",
                    other => panic!("{name}: {other:?}"),
                };
                let ty = spell(module, global.ty);
                let global = global.name.clone().unwrap_or_default();
                Some((binding.group, binding.binding, global, space, ty))
            })
            .collect();
        declared.sort_unstable();
        let declared: Vec<_> = declared
            .iter()
            .map(|(g, b, name, space, ty)| (*g, *b, &**name, *space, &**ty))
            .collect();
        assert_eq!(declared, expected, "{name}");
    }
}

/// A kernel has one entry point, whose workgroup size the host chooses.
#[test]
fn the_host_chooses_the_workgroup_size() {
    for Subject { kernel, written, module, .. } in subject::all() {
        let name = &kernel.name;
        assert_eq!(written.entry_points.len(), 1, "{name}");
        let entry = &module.entry_points[0];
        assert_eq!((&*entry.name, entry.workgroup_size), (ENTRY, [WORKGROUP_SIZE, 1, 1]), "{name}");
    }
}

/// The value of a `const` or resolved `override` of type u32.
fn number(subject: &Subject, name: &str) -> Option<u32> {
    let of = |module: &Module| {
        let named = |(_, constant): &(_, &Constant)| constant.name.as_deref() == Some(name);
        let (_, constant) = module.constants.iter().find(named)?;
        match module.global_expressions[constant.init] {
            naga::Expression::Literal(naga::Literal::U32(value)) => Some(value),
            _ => None,
        }
    };
    of(&subject.written).or_else(|| of(&subject.module))
}

/// A rule's WGSL names each slot in upper case, with the index it has on the host.
#[test]
fn slots_stand_where_the_host_puts_them() {
    for subject in subject::steps() {
        let name = subject.name();
        for (index, slot) in (0..).zip(subject.rule.slots()) {
            let constant = slot.name.to_uppercase();
            assert_eq!(number(subject, &constant), Some(index), "{name}: {constant}");
        }
        assert_eq!(number(subject, "MAX_SLOTS"), Some(MAX_SLOTS as u32), "{name}");
    }
}

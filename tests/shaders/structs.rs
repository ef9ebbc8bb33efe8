//! The structs and numbers that WGSL and the host share.

use naga::common::wgsl::TryToWgsl as _;
use naga::{ArraySize, Constant, Handle, Module, Type, TypeInner};
use wgpu_optim::kernel::{Address, Body};
use wgpu_optim::reflect::structs;
use wgpu_optim::rule::MAX_SLOTS;

use crate::subject::{self, Subject};

/// A type as WGSL spells it; with the stride, if it is an array.
pub(crate) fn spell(module: &Module, ty: Handle<Type>) -> String {
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

/// A member's offset, name and type.
type Member = (u32, String, String);

/// A struct's members and its size, if the module has the struct.
///
/// It must have no gaps: naga's GLSL has no offsets, and lays members out one after the other. Only an
/// array of `vec4`s may have one before it, to the next 16 bytes, as std140 has it too.
fn members(module: &Module, name: &str) -> Option<(Vec<Member>, u32)> {
    let named = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name));
    let Some((_, Type { inner: TypeInner::Struct { members, span }, .. })) = named else {
        return None;
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
    Some((members.collect(), *span))
}

/// The names of members of one word each, without gaps; of others, the rest.
fn words(members: &[Member]) -> (Vec<&str>, &[Member]) {
    let is_word = |(at, (offset, _, ty)): &(usize, &Member)| {
        *offset as usize == 4 * at && ["u32", "f32"].contains(&ty.as_str())
    };
    let count = members.iter().enumerate().take_while(is_word).count();
    let (words, rest) = members.split_at(count);
    (words.iter().map(|(_, name, _)| name.as_str()).collect(), rest)
}

/// Each struct of [`structs`] has the host's members in the host's order, in every kernel that declares it. What
/// follows them is the kernel's own.
#[test]
fn shared_structs_are_what_the_host_writes() {
    let mut found = structs().map(|_| 0);
    let member = |at: u32, name: &str, ty: &str| (at, name.to_owned(), ty.to_owned());
    for subject in subject::all().iter().chain(subject::control()) {
        for ((name, host), found) in structs().into_iter().zip(&mut found) {
            let Some((members, size)) = members(&subject.written, name) else { continue };
            let at = format!("`{name}` of {}", subject.name());
            let (words, rest) = words(&members);
            assert_eq!(words, host, "{at}");
            let behind = 4 * host.len() as u32;
            let (expected, end) = match name {
                "Scalars" => (vec![member(behind, "hyper", "Hyper")], size),
                "Launch" => (vec![member(behind, "distances", "array<vec4<u32>, 2>")], 64),
                "Controller" => (vec![member(behind, "clocks", "array<vec2<u32>> by 8")], size),
                _ => (Vec::new(), behind),
            };
            assert_eq!((rest, size), (&*expected, end), "{at}");
            *found += 1;
        }
    }
    assert!(!found.contains(&0), "a struct is in no kernel: {found:?}");
}

/// `Hyper` has the rule's numbers in the order in which the host writes them, at a multiple of 16 bytes.
#[test]
fn hyper_is_what_the_host_writes() {
    for subject in subject::all() {
        let (name, module) = (subject.name(), &subject.written);
        let Some((hyper, size)) = members(module, "Hyper") else { panic!("{name}: no `Hyper`") };
        let names: Vec<_> = subject.rule.hyper().iter().map(|scalar| scalar.name).collect();
        assert_eq!(words(&hyper), (names.clone(), &[][..]), "{name}");
        assert_eq!(
            (size as usize, subject.facts().hyper),
            (4 * names.len(), names.len()),
            "{name}"
        );
        let [(_, driver), ..] = structs();
        assert_eq!(4 * driver.len() % 16, 0);
    }
}

/// A table's blocks of scalars are as large as the host's.
#[test]
fn blocks_are_what_the_host_writes() {
    for subject in subject::all() {
        let name = subject.name();
        let block = members(&subject.written, "Block");
        if subject.facts().address == Address::Direct {
            assert_eq!(block, None, "{name}");
            continue;
        }
        let Some((block, size)) = block else { panic!("{name}: no `Block`") };
        let scalars = (0, "scalars".to_owned(), "Scalars".to_owned());
        assert_eq!((&block[0], size), (&scalars, 256), "{name}");
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
        for (index, slot) in (0..).zip(&subject.facts().slots) {
            let constant = slot.to_uppercase();
            assert_eq!(number(subject, &constant), Some(index), "{name}: {constant}");
        }
        assert_eq!(number(subject, "MAX_SLOTS"), Some(MAX_SLOTS as u32), "{name}");
    }
}

/// `prepare` writes the words of `Scalars` that depend on gradients, and takes blocks for as long as they are.
#[test]
fn prepare_knows_the_words_of_scalars() {
    let [(_, driver), ..] = structs();
    let prepare = subject::named("prepare");
    for name in ["grad_scale", "clip", "skip", "first"] {
        let at = driver.iter().position(|driver| *driver == name).map(|at| at as u32);
        assert_eq!(number(prepare, &format!("{name}_word")), at, "{name}");
    }
    assert_eq!(number(prepare, "BLOCK"), Some(256 / 4));
}

/// The rules' facts are those of their kernels: slots, and which kernels have a rule at all.
#[test]
fn facts_are_those_of_the_rule() {
    for subject in subject::all() {
        let (facts, rule) = (subject.facts(), &subject.rule);
        let slots: Vec<_> = rule.slots().iter().map(|slot| slot.name).collect();
        let is_step = matches!(facts.body, Body::Update | Body::Stream | Body::Blend);
        assert!(is_step, "{}", subject.name());
        assert_eq!((facts.rule, &facts.slots), (Some(rule.name()), &slots), "{}", subject.name());
    }
}

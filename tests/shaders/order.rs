//! A kernel's accesses to memory, and their order.

use std::collections::BTreeSet;

use naga::valid::{Capabilities, GlobalUse};
use naga::{AddressSpace, Barrier, Block, Expression, Function, Handle, Module, Statement};

use wgpu_optim::kernel::{Address, Body, Facts, OperandFact, Width};

use crate::subject::{self, Subject, validated};

/// One access to a storage buffer.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Access {
    Load(String),
    Store(String),
}

use Access::{Load, Store};

/// The accesses on one way through a kernel, in the order of execution.
type Path = Vec<Access>;

/// The accesses to storage buffers on every way through a module, with all calls followed.
fn accesses(module: &Module) -> Vec<Path> {
    let walk = Walk { module };
    let mut all = Vec::new();
    for entry in &module.entry_points {
        let [open, mut ended] = walk.block(&entry.function, &entry.function.body);
        ended.extend(open);
        all.extend(ended);
    }
    distinct(&mut all);
    all
}

fn distinct(paths: &mut Vec<Path>) {
    paths.sort_unstable();
    paths.dedup();
}

struct Walk<'a> {
    module: &'a Module,
}

impl Walk<'_> {
    /// The ways to a block's end, and the ways on which the function returns before that.
    fn block(&self, function: &Function, block: &Block) -> [Vec<Path>; 2] {
        let (mut open, mut ended) = (vec![Path::new()], Vec::new());
        for statement in block {
            let mut ways = vec![Path::new()];
            let mut returned = Vec::new();
            let mut all_of = |blocks: &[&Block]| {
                ways.clear();
                for block in blocks {
                    let [through, back] = self.block(function, block);
                    ways.extend(through);
                    returned.extend(back);
                }
            };
            match statement {
                Statement::Emit(expressions) => {
                    let loads = expressions.clone().filter_map(|expression| {
                        match function.expressions[expression] {
                            Expression::Load { pointer } => {
                                self.storage(function, pointer).map(Load)
                            }
                            _ => None,
                        }
                    });
                    ways = vec![loads.collect()];
                }
                // An `atomicAnd` or `atomicOr` throws away what it reads. Like a store, none may move up.
                Statement::Store { pointer, .. } | Statement::Atomic { pointer, .. } => {
                    ways = vec![self.storage(function, *pointer).map(Store).into_iter().collect()];
                }
                Statement::Call { function: callee, .. } => {
                    let callee = &self.module.functions[*callee];
                    ways = self.block(callee, &callee.body).concat();
                }
                Statement::Block(inner) => all_of(&[inner]),
                Statement::If { accept, reject, .. } => all_of(&[accept, reject]),
                // Invocations wait for each other, which orders nothing among the accesses of one.
                Statement::ControlBarrier(barrier) => assert_eq!(*barrier, Barrier::WORK_GROUP),
                // Loops run over workgroup memory only, so their number of rounds is of no account.
                Statement::Loop { body, continuing, .. } => {
                    let inside = [body, continuing].map(|block| self.block(function, block));
                    let silent = inside.iter().flatten().flatten().all(Vec::is_empty);
                    assert!(silent, "a loop has accesses to storage");
                }
                Statement::Break | Statement::Continue => {}
                Statement::Return { .. } => (ways, returned) = (Vec::new(), vec![Path::new()]),
                other => panic!("nothing here knows what this does to memory: {other:?}"),
            }
            let behind = |ways: &[Path]| -> Vec<Path> {
                let joined = open.iter().flat_map(|before| {
                    ways.iter().map(|way| [before.as_slice(), way.as_slice()].concat())
                });
                joined.collect()
            };
            ended.extend(behind(&returned));
            open = behind(&ways);
            distinct(&mut open);
            distinct(&mut ended);
        }
        [open, ended]
    }

    /// The name of the storage buffer behind a pointer, if it is one.
    fn storage(&self, function: &Function, mut pointer: Handle<Expression>) -> Option<String> {
        loop {
            match function.expressions[pointer] {
                Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => {
                    pointer = base;
                }
                Expression::GlobalVariable(global) => {
                    let global = &self.module.global_variables[global];
                    let storage = matches!(global.space, AddressSpace::Storage { .. });
                    return storage.then(|| global.name.clone().unwrap_or_default());
                }
                Expression::LocalVariable(_) => return None,
                ref other => panic!("nothing here knows where this points to: {other:?}"),
            }
        }
    }
}

/// Whether nothing is loaded after the first store: there, no compiler may move a load up, because
/// the buffers could be the same.
fn loads_come_first(accesses: &[Access]) -> bool {
    accesses.is_sorted_by_key(|access| matches!(access, Store(_)))
}

/// How often a kernel that takes each element once loads and stores an operand.
fn times(facts: &Facts, operand: &OperandFact) -> [usize; 2] {
    // Gradients of loose quads are reached one by one.
    let loose = facts.width == Width::Loose && operand.name == "grad";
    // A slot in blocks has a word of codes and a scale.
    let each = if loose {
        4
    } else if operand.blocks.is_some() {
        2
    } else {
        1
    };
    // Half a word is cleared, then filled.
    let half = operand.bits == 16 && (loose || facts.width == Width::Scalar);
    let stores = if half { 2 * each } else { each };
    [if operand.loads { each } else { 0 }, if operand.stores { stores } else { 0 }]
}

/// Every access to a storage buffer that a kernel has, and how often.
fn expected(facts: &Facts) -> Vec<(Access, usize)> {
    let mut all = Vec::new();
    for operand in &facts.operands {
        let [mut loads, mut stores] = times(facts, operand);
        // A gradient that is joined is the parameters' binding once more.
        if facts.joined && operand.name == "param" {
            loads *= 2;
            stores *= if facts.clear { 2 } else { 1 };
        }
        let buffer = format!("{}_buffer", operand.name);
        all.push((Load(buffer.clone()), loads));
        all.push((Store(buffer), stores));
    }
    if facts.in_blocks && facts.body == Body::Update {
        // Each code has a load of its table, unless that is in a uniform.
        let codes: BTreeSet<String> =
            facts.operands.iter().filter_map(|operand| Some(operand.blocks?.name())).collect();
        let storage = facts.operands.len() + 2 + usize::from(facts.address == Address::Moving);
        all.push((Load("tables".to_owned()), if storage <= 8 { codes.len() } else { 0 }));
    }
    all.push((Load("chunks".to_owned()), usize::from(facts.address != Address::Direct)));
    if facts.address == Address::Moving && facts.body == Body::Update {
        // The scalars of a cohort, and whether the step is skipped.
        all.push((Load("blocks".to_owned()), 2));
    }
    all
}

/// A kernel that takes each element once loads everything before it stores anything, each number once, whatever way
/// is taken through it.
#[test]
fn loads_come_before_stores() {
    let sums = subject::control().iter().filter(|subject| subject.is(Body::Accumulate));
    for subject in subject::all().iter().chain(sums) {
        let name = subject.name();
        let paths = accesses(&subject.module);
        let expected = expected(subject.facts());
        for path in &paths {
            assert!(loads_come_first(path), "{name}: {path:?}");
            for access in path {
                assert!(expected.iter().any(|(one, _)| one == access), "{name}: {access:?}");
            }
            for (access, most) in &expected {
                let times = path.iter().filter(|a| *a == access).count();
                assert!(times <= *most, "{name}: {access:?} in {path:?}");
            }
        }
        // On the longest way there is every access.
        let longest = paths.iter().map(Vec::len).max().unwrap_or_default();
        let total: usize = expected.iter().map(|(_, times)| times).sum();
        assert_eq!(longest, total, "{name}: {paths:?}");
    }
}

/// A rule sees registers only: `direction` and what it calls use no binding.
#[test]
fn direction_touches_no_binding() {
    for subject in subject::steps() {
        let Subject { module, info, .. } = subject;
        let of_name = |(_, f): &(_, &Function)| f.name.as_deref() == Some("direction");
        let Some((direction, _)) = module.functions.iter().find(of_name) else {
            panic!("{}: no function `direction`", subject.name());
        };
        for (handle, global) in module.global_variables.iter() {
            let used = info[direction][handle];
            let untouched = global.space == AddressSpace::Private || used == GlobalUse::empty();
            assert!(untouched, "{}: `direction` uses {:?}", subject.name(), global.name);
        }
    }
}

/// The walk sees accesses through calls and in branches, in their order, and behind a call that returns early.
#[test]
fn the_walk_follows_calls_and_branches() {
    let (module, _) = validated(
        "@group(0) @binding(0) var<storage, read_write> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> b: array<vec4<f32>>;
        @group(0) @binding(2) var<uniform> c: f32;
        fn load(i: u32) -> f32 { return b[i].y; }
        fn store(x: f32) { if c > 0.0 { a[0] = x; return; } else if c < 0.0 { return; } b[1].z = c; }
        @compute @workgroup_size(1) fn update() { store(1.0); var x = load(3u); x += c; }",
        "a test of the test",
        Capabilities::empty(),
    );
    let [a, b] = ["a", "b"].map(str::to_owned);
    let load = Load(b.clone());
    let ways = [vec![load.clone()], vec![Store(a), load.clone()], vec![Store(b), load]];
    assert_eq!(accesses(&module), ways);
    assert_eq!(ways.map(|way| loads_come_first(&way)), [true, false, false]);
}

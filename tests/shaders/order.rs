//! What a kernel does to memory, and in which order.

use naga::valid::{Capabilities, GlobalUse};
use naga::{AddressSpace, Block, Expression, Function, Handle, Module, Statement};

use wgpu_optim::Format;

use crate::subject::{self, Subject, validated};

/// One access to a storage buffer.
#[derive(Clone, Debug, PartialEq)]
enum Access {
    Load(String),
    Store(String),
}

use Access::{Load, Store};

/// Every access to a storage buffer in the order of execution, with all calls followed and all
/// branches taken, one after the other.
fn accesses(module: &Module) -> Vec<Access> {
    let mut walk = Walk { module, accesses: Vec::new() };
    for entry in &module.entry_points {
        walk.block(&entry.function, &entry.function.body);
    }
    walk.accesses
}

struct Walk<'a> {
    module: &'a Module,
    accesses: Vec<Access>,
}

impl Walk<'_> {
    fn block(&mut self, function: &Function, block: &Block) {
        for statement in block {
            match statement {
                Statement::Emit(expressions) => {
                    for expression in expressions.clone() {
                        if let Expression::Load { pointer } = function.expressions[expression] {
                            self.accesses.extend(self.storage(function, pointer).map(Load));
                        }
                    }
                }
                Statement::Store { pointer, .. } => {
                    self.accesses.extend(self.storage(function, *pointer).map(Store));
                }
                // What an `atomicAnd` or `atomicOr` read is thrown away: like a store, none may move up.
                Statement::Atomic { pointer, .. } => {
                    self.accesses.extend(self.storage(function, *pointer).map(Store));
                }
                Statement::Call { function: callee, .. } => {
                    let callee = &self.module.functions[*callee];
                    self.block(callee, &callee.body);
                }
                Statement::Block(inner) => self.block(function, inner),
                Statement::If { accept, reject, .. } => {
                    self.block(function, accept);
                    self.block(function, reject);
                }
                Statement::Switch { cases, .. } => {
                    cases.iter().for_each(|case| self.block(function, &case.body));
                }
                Statement::Break | Statement::Return { .. } => {}
                other => panic!("nothing here knows what this does to memory: {other:?}"),
            }
        }
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

/// `update` loads everything before it stores anything, each number once.
#[test]
fn loads_come_before_stores() {
    for subject in subject::steps() {
        let name = subject.name();
        let accesses = accesses(&subject.module);
        assert!(loads_come_first(&accesses), "{name}: {accesses:?}");

        let [param, grad, state] = subject.kernel.formats;
        let slots =
            (0..subject.rule.slots().len()).map(|slot| (format!("slot_{slot}_buffer"), state));
        let halves: &[&str] =
            if name.contains("-remainder-") { &["upper", "lower"] } else { &["param"] };
        let params = halves.iter().map(|half| (format!("{half}_buffer"), param));
        let master = name.contains("-master-").then(|| ("lower_buffer".to_owned(), Format::F32));
        let average = name.contains("-ema-").then(|| ("ema_buffer".to_owned(), Format::F32));
        let written = slots.chain(params).chain(master).chain(average);
        let table = name.contains("-table-");
        let read_only: &[&str] = if table { &["grad_buffer", "chunks"] } else { &["grad_buffer"] };
        let mut expected: Vec<_> = read_only.iter().map(|&g| (Load(g.to_owned()), 1)).collect();
        for (buffer, format) in written {
            // Half a word is cleared, then filled.
            let half = format != Format::F32 && name.contains("-scalar-");
            expected.push((Load(buffer.clone()), 1));
            expected.push((Store(buffer), if half { 2 } else { 1 }));
        }
        // Whatever the format, the copy is of 16 bits, and gradients are cleared like anything else.
        let stores =
            |format| if format != Format::F32 && name.contains("-scalar-") { 2 } else { 1 };
        if name.contains("_copy-") {
            expected.push((Store("copy_buffer".to_owned()), stores(Format::Bf16)));
        }
        if name.contains("-cleared-") {
            expected.push((Store("grad_buffer".to_owned()), stores(grad)));
        }
        for (access, expected) in &expected {
            let times = accesses.iter().filter(|a| *a == access).count();
            assert_eq!(times, *expected, "{name}: {access:?} in {accesses:?}");
        }
        let total: usize = expected.iter().map(|(_, times)| times).sum();
        assert_eq!(accesses.len(), total, "{name}: {accesses:?}");
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

/// The walk sees accesses through calls and in branches, in their order.
#[test]
fn the_walk_follows_calls_and_branches() {
    let (module, _) = validated(
        "@group(0) @binding(0) var<storage, read_write> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> b: array<vec4<f32>>;
        @group(0) @binding(2) var<uniform> c: f32;
        fn load(i: u32) -> f32 { return b[i].y; }
        fn store(x: f32) { if c > 0.0 { a[0] = x; } else { b[1].z = c; } }
        @compute @workgroup_size(1) fn update() { store(1.0); var x = load(3u); x += c; }",
        "a test of the test",
        Capabilities::empty(),
    );
    let accesses = accesses(&module);
    let [a, b] = ["a", "b"].map(str::to_owned);
    assert_eq!(accesses, [Store(a), Store(b.clone()), Load(b)]);
    assert!(!loads_come_first(&accesses));
}

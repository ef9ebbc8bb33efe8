//! Arithmetic that a compiler, or whoever edits it, could rewrite into something less exact. No driver at hand shows
//! the difference, so the kernels themselves are looked at.

use std::collections::HashMap;

use naga::{
    BinaryOperator, Block, Expression, Function, Handle, Literal, LocalVariable, Module, Statement,
};

use crate::spirv::instructions;
use crate::subject::{self, Subject};

/// Opcodes of SPIR-V.
const FUNCTION: u32 = 54;
const FUNCTION_PARAMETER: u32 = 55;
const FUNCTION_END: u32 = 56;
const FUNCTION_CALL: u32 = 57;
const COMPOSITE_EXTRACT: u32 = 81;
const F_ADD: u32 = 129;
const F_MUL: u32 = 133;
const VECTOR_TIMES_SCALAR: u32 = 142;
const RETURN_VALUE: u32 = 254;

/// keep · old + (keep_low · old + new): the low product is added to the new part before anything else. A sum of
/// both products first, or (keep + keep_low) · old, would lose the low half of `keep`.
const DECAYED: &str = "((keep * old) + ((keep_low * old) + new_part))";

/// The parameters of `decayed`, in order.
const PARAMETERS: [&str; 4] = ["old", "keep", "keep_low", "new_part"];

/// A formula of SPIR-V, or the number of what is no product and no sum.
type Formulas = HashMap<u32, String>;

/// The number of functions that return `DECAYED`, and both halves in each call of one, as the members of a struct
/// that they are.
fn decays(spirv: &[u32]) -> (usize, Vec<[Option<u32>; 2]>) {
    let (mut found, mut members) = (Vec::new(), HashMap::new());
    let (mut function, mut parameters, mut formulas) = (0, 0, Formulas::new());
    let mut calls = Vec::new();
    for (opcode, operands) in instructions(spirv) {
        match (opcode, operands) {
            (FUNCTION, &[_, result, ..]) => (function, parameters) = (result, 0),
            (FUNCTION_PARAMETER, &[_, result]) => {
                let name = PARAMETERS.get(parameters).copied().unwrap_or("more");
                formulas.insert(result, name.to_owned());
                parameters += 1;
            }
            (F_ADD | F_MUL | VECTOR_TIMES_SCALAR, &[_, result, a, b]) => {
                let sign = if opcode == F_ADD { '+' } else { '*' };
                let of = |id: u32| formulas.get(&id).cloned().unwrap_or_else(|| format!("%{id}"));
                // A vector stands before the scalar that multiplies it, whatever the order in WGSL.
                let (a, b) = if opcode == VECTOR_TIMES_SCALAR { (b, a) } else { (a, b) };
                formulas.insert(result, format!("({} {sign} {})", of(a), of(b)));
            }
            (COMPOSITE_EXTRACT, &[_, result, _, member]) => {
                members.insert(result, member);
            }
            (RETURN_VALUE, [value]) if formulas.get(value).is_some_and(|f| f == DECAYED) => {
                found.push(function);
            }
            (FUNCTION_CALL, &[_, _, callee, _, keep, keep_low, _]) => {
                calls.push((callee, [keep, keep_low]));
            }
            (FUNCTION_END, _) => formulas.clear(),
            _ => {}
        }
    }
    // naga writes a function before its callers.
    calls.retain(|(callee, _)| found.contains(callee));
    let member = |id: u32| members.get(&id).copied();
    (found.len(), calls.iter().map(|(_, arguments)| arguments.map(member)).collect())
}

/// In every step's SPIR-V, both halves of a decay stay factors of two products, and each call gives both halves of
/// one number: a driver is given no cheaper formula than it may make by itself.
#[test]
fn a_decay_stays_two_products() {
    let mut most = 0;
    for subject in subject::few().iter().filter(|s| s.is(wgpu_optim::kernel::Body::Update)) {
        let name = subject.name();
        let (functions, calls) = decays(&subject.spirv((1, 3)));
        let hyper = subject.rule.hyper();
        let halved = hyper.iter().any(|scalar| scalar.name.ends_with("_low"));
        // A switch may leave out the only call.
        let used = !calls.is_empty();
        assert!(
            functions == usize::from(used) && (halved || !used),
            "{name}: {functions}, {calls:?}"
        );
        for call in &calls {
            let [Some(keep), Some(low)] = call.map(|at| at.map(|at| hyper[at as usize].name))
            else {
                panic!("{name}: {call:?}");
            };
            assert_eq!(low, format!("{keep}_low"), "{name}");
        }
        most = most.max(calls.len());
    }
    assert!(most >= 2, "no kernel has two averages");
}

/// Every rule with a number in two halves has a kernel that uses them.
#[test]
fn every_half_is_used() {
    for entry in wgpu_optim::rule::ALL {
        let has_low = |s: &&Subject| {
            s.rule.name() == entry.name && s.rule.hyper().iter().any(|n| n.name.ends_with("_low"))
        };
        let mut of_rule = subject::few().iter().copied().filter(has_low).peekable();
        if of_rule.peek().is_some() {
            let uses = |s: &Subject| !decays(&s.spirv((1, 3))).1.is_empty();
            assert!(of_rule.any(uses), "{}", entry.name);
        }
    }
}

/// The search takes no other formula for the right one.
#[test]
fn other_formulas_are_no_decay() {
    let text = |body: &str| {
        format!(
            "@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;
            fn decayed(old: vec4<f32>, keep: f32, keep_low: f32, new_part: vec4<f32>) -> vec4<f32> {{
                return {body};
            }}
            struct Two {{ keep: f32, keep_low: f32 }}
            @compute @workgroup_size(1) fn update() {{
                let two = Two(x[2].x, x[2].y);
                x[0] = decayed(x[0], two.keep, two.keep_low, x[1]);
            }}"
        )
    };
    let found = |body: &str| {
        let (module, info) =
            subject::validated(&text(body), body, naga::valid::Capabilities::empty());
        let spirv = subject::spirv(&module, &info, "update", (1, 3));
        decays(&spirv.unwrap_or_else(|e| panic!("{body}: {e}"))).0
    };
    assert_eq!(found("keep * old + (keep_low * old + new_part)"), 1);
    for other in [
        "(keep + keep_low) * old + new_part",
        "(keep * old + keep_low * old) + new_part",
        "keep * old + (keep * old + new_part)",
        "keep * old + new_part",
    ] {
        assert_eq!(found(other), 0, "{other}");
    }
}

/// A value of 32 bits, or a truth.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Bits(u32),
    Is(bool),
}

use Value::{Bits, Is};

/// A call of a function of one f32, in which all divisions come out wrong.
struct Call<'a> {
    module: &'a Module,
    function: &'a Function,
    argument: u32,
    known: HashMap<Handle<Expression>, Value>,
    locals: HashMap<Handle<LocalVariable>, Value>,
}

impl Call<'_> {
    /// The bits that the function returns.
    fn result(mut self) -> u32 {
        match self.block(&self.function.body) {
            Some(Bits(bits)) => bits,
            other => panic!("the function returns {other:?}"),
        }
    }

    fn block(&mut self, block: &Block) -> Option<Value> {
        for statement in block {
            match statement {
                Statement::Emit(range) => {
                    for at in range.clone() {
                        let value = self.value(at);
                        self.known.insert(at, value);
                    }
                }
                Statement::Store { pointer, value } => {
                    let Expression::LocalVariable(local) = self.function.expressions[*pointer]
                    else {
                        panic!("a store to what is no local variable");
                    };
                    let value = self.value(*value);
                    self.locals.insert(local, value);
                }
                Statement::If { condition, accept, reject } => {
                    let Is(truth) = self.value(*condition) else { panic!("no condition") };
                    let returned = self.block(if truth { accept } else { reject });
                    if returned.is_some() {
                        return returned;
                    }
                }
                Statement::Return { value: Some(at) } => return Some(self.value(*at)),
                other => panic!("nothing here evaluates {other:?}"),
            }
        }
        None
    }

    fn value(&self, at: Handle<Expression>) -> Value {
        if let Some(value) = self.known.get(&at) {
            return *value;
        }
        match self.function.expressions[at] {
            Expression::FunctionArgument(0) => Bits(self.argument),
            Expression::Literal(literal) => number(literal),
            Expression::Constant(at) => {
                match self.module.global_expressions[self.module.constants[at].init] {
                    Expression::Literal(literal) => number(literal),
                    ref other => panic!("nothing here evaluates {other:?}"),
                }
            }
            Expression::Load { pointer } => match self.function.expressions[pointer] {
                Expression::LocalVariable(local) => self.locals[&local],
                ref other => panic!("nothing here loads {other:?}"),
            },
            // A cast by bits changes none.
            Expression::As { expr, convert: None, .. } => self.value(expr),
            Expression::Select { condition, accept, reject } => match self.value(condition) {
                Is(truth) => self.value(if truth { accept } else { reject }),
                other => panic!("{other:?} is no condition"),
            },
            Expression::Binary { op, left, right } => {
                match (op, self.value(left), self.value(right)) {
                    (BinaryOperator::Divide, ..) => Bits(f32::NAN.to_bits()),
                    (BinaryOperator::And, Bits(a), Bits(b)) => Bits(a & b),
                    (BinaryOperator::Subtract, Bits(a), Bits(b)) => Bits(a.wrapping_sub(b)),
                    (BinaryOperator::Equal, Bits(a), Bits(b)) => Is(a == b),
                    (BinaryOperator::Greater, Bits(a), Bits(b)) => Is(a > b),
                    (BinaryOperator::Less, Bits(a), Bits(b)) => Is(a < b),
                    other => panic!("nothing here evaluates {other:?}"),
                }
            }
            ref other => panic!("nothing here evaluates {other:?}"),
        }
    }
}

fn number(literal: Literal) -> Value {
    match literal {
        Literal::U32(bits) => Bits(bits),
        Literal::F32(x) => Bits(x.to_bits()),
        Literal::Bool(truth) => Is(truth),
        other => panic!("nothing here evaluates {other:?}"),
    }
}

fn function<'a>(module: &'a Module, name: &str) -> &'a Function {
    let found = module.functions.iter().find(|(_, f)| f.name.as_deref() == Some(name));
    found.map_or_else(|| panic!("no function `{name}`"), |(_, function)| function)
}

/// `prepare` takes the reciprocal of a power of two by its bits, so that no driver's division, which WGSL allows to be
/// off, decides on it.
#[test]
fn the_reciprocal_of_a_power_of_two_needs_no_division() {
    let module = &subject::named("prepare").module;
    let reciprocal = function(module, "reciprocal");
    let of = |x: f32| {
        let (argument, known, locals) = (x.to_bits(), HashMap::new(), HashMap::new());
        f32::from_bits(Call { module, function: reciprocal, argument, known, locals }.result())
    };
    for exponent in -126..=126 {
        let power = 2.0_f32.powi(exponent);
        assert_eq!(of(power), 1.0 / power, "2^{exponent}");
    }
    // Others are divided. No loss scale is 0, whose reciprocal by bits would be no infinity.
    for x in [3.0, 65536.5, f32::MIN_POSITIVE / 2.0, f32::MAX, f32::INFINITY, f32::NAN] {
        assert!(of(x).is_nan(), "{x}");
    }
}

/// The inverse of a fixed loss scale comes from the host, which has it from f64.
#[test]
fn the_inverse_of_a_fixed_scale_is_the_hosts() {
    let module = &subject::named("prepare").module;
    let decide = function(module, "decide");
    let member = |at: Handle<Expression>| {
        let Expression::Load { pointer } = decide.expressions[at] else { return None };
        let Expression::AccessIndex { base, index } = decide.expressions[pointer] else {
            return None;
        };
        let Expression::GlobalVariable(global) = decide.expressions[base] else { return None };
        let naga::TypeInner::Struct { members, .. } =
            &module.types[module.global_variables[global].ty].inner
        else {
            return None;
        };
        let global = module.global_variables[global].name.as_deref().unwrap_or_default();
        Some(format!("{global}.{}", members[index as usize].name.as_deref().unwrap_or_default()))
    };
    let chosen = decide.expressions.iter().filter_map(|(_, expression)| match *expression {
        Expression::Select { condition, accept, .. } => Some((condition, member(accept)?)),
        _ => None,
    });
    let chosen: Vec<_> = chosen.filter(|(_, name)| name == "control.inverse").collect();
    let [(condition, _)] = chosen[..] else { panic!("{chosen:?}") };
    let Expression::Binary { op: BinaryOperator::Greater, left, .. } =
        decide.expressions[condition]
    else {
        panic!("{:?}", decide.expressions[condition]);
    };
    assert_eq!(member(left).as_deref(), Some("control.fixed_scale"));
}

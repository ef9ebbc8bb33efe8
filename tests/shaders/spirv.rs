//! SPIR-V: what no kernel may contain, and `spirv-val`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use naga::valid::Capabilities;
use rayon::prelude::*;
use wgpu_optim::kernel::{Body, OperandFact};

use crate::runs;
use crate::subject::{self, Subject, validated};

/// The SPIR-V versions that wgpu writes, each with the Vulkan version it writes it for.
const VERSIONS: [((u8, u8), &str); 4] =
    [((1, 0), "vulkan1.0"), ((1, 3), "vulkan1.1"), ((1, 5), "vulkan1.2"), ((1, 6), "vulkan1.3")];

/// Banned instructions, by opcode, and why.
const BANNED: [(u32, &str); 2] = [
    // naga's only way to write `!=` of floats, and false for a NaN: drivers fold `x != x` to false.
    (182, "OpFOrdNotEqual: test for NaN by bits"),
    // Kernels are built without wgpu's bounding of loops, because there are none.
    (246, "OpLoopMerge: a kernel takes each element once"),
];

/// Banned instructions of GLSL.std.450: WGSL grants them errors that grow with the operand, and
/// drivers use that up. The host computes powers, exponentials and logarithms in f64.
const BANNED_GLSL: [(u32, &str); 6] = [
    (26, "Pow: let the host compute it in f64"),
    (27, "Exp: let the host compute it in f64"),
    (28, "Log: let the host compute it in f64"),
    (29, "Exp2: let the host compute it in f64"),
    (30, "Log2: let the host compute it in f64"),
    // Rounds to nearest on one driver and toward zero on another; both are allowed to.
    (58, "PackHalf2x16: round to f16 with integers"),
];

/// Words before the first instruction.
const HEADER: usize = 5;

/// Opcodes, and operands, that the tests look for.
const EXT_INST: u32 = 12;
const TYPE_POINTER: u32 = 32;
const PRIVATE: u32 = 6;
const DECORATE: u32 = 71;
const ARRAY_STRIDE: u32 = 6;

/// The instructions of a module: opcode and operands.
pub(crate) fn instructions(spirv: &[u32]) -> impl Iterator<Item = (u32, &[u32])> {
    let mut rest = &spirv[HEADER..];
    std::iter::from_fn(move || {
        let (&first, _) = rest.split_first()?;
        let (instruction, after) = rest.split_at((first >> 16) as usize);
        rest = after;
        Some((first & 0xffff, &instruction[1..]))
    })
}

/// The banned instructions that a module contains.
fn banned(spirv: &[u32]) -> Vec<&'static str> {
    let found = instructions(spirv).filter_map(|(opcode, operands)| {
        let (list, code): (&[_], _) = match opcode {
            EXT_INST => (&BANNED_GLSL, operands[3]),
            opcode => (&BANNED, opcode),
        };
        list.iter().find(|(banned, _)| *banned == code).map(|(_, why)| *why)
    });
    found.collect()
}

/// Every kernel's SPIR-V is free of what drivers compute differently.
#[test]
fn nothing_banned_in_any_kernel() {
    subject::all().par_iter().chain(subject::control()).for_each(|subject| {
        let mut found = banned(&subject.spirv((1, 3)));
        // Sums of many numbers and blocks have loops; `src/kernel/pipelines.rs` says where they end.
        let facts = subject.kernel.facts.as_ref();
        if subject.is(Body::Norm) || facts.is_none_or(|facts| facts.in_blocks) {
            found.retain(|why| *why != BANNED[1].1);
        }
        assert!(found.is_empty(), "{}: {found:?}", subject.name());
    });
}

/// The test above sees each thing it bans.
#[test]
fn what_is_banned_is_found() {
    let of = |body: &str| {
        let wgsl = format!(
            "@group(0) @binding(0) var<storage, read_write> x: array<f32>;
            @group(0) @binding(1) var<storage, read_write> n: array<u32>;
            @compute @workgroup_size(1) fn update() {{ {body} }}"
        );
        let (module, info) = validated(&wgsl, body, Capabilities::all());
        let spirv = subject::spirv(&module, &info, "update", (1, 3));
        banned(&spirv.unwrap_or_else(|e| panic!("{body}: {e}")))
    };
    assert!(of("x[0] = sqrt(x[1]) / abs(x[2]);").is_empty());
    let all = [
        ("n[0] = select(0u, 1u, x[0] != x[0]);", BANNED[0].1),
        ("while n[0] < 9u { n[0] += 1u; }", BANNED[1].1),
        ("x[0] = pow(x[1], x[2]);", BANNED_GLSL[0].1),
        ("x[0] = exp(x[1]);", BANNED_GLSL[1].1),
        ("x[0] = log(x[1]);", BANNED_GLSL[2].1),
        ("x[0] = exp2(x[1]);", BANNED_GLSL[3].1),
        ("x[0] = log2(x[1]);", BANNED_GLSL[4].1),
        ("n[0] = pack2x16float(vec2(x[1], x[2]));", BANNED_GLSL[5].1),
    ];
    for (body, found) in all {
        assert_eq!(of(body), [found], "{body}");
    }
}

/// Kernels are valid SPIR-V in the versions that wgpu writes.
#[test]
fn spirv_val_accepts_kernels() {
    if !runs("spirv-val") {
        let remedy = "Debian, Ubuntu: apt install spirv-tools";
        return support::tools::missing("spirv-val", "every kernel's SPIR-V", remedy);
    }
    subject::few().par_iter().for_each(|subject| {
        // Every version for f32. Formats change no type or capability that depends on the version.
        let of_f32 = |operand: &OperandFact| operand.bits == 32;
        let facts = subject.kernel.facts.as_ref();
        let all_f32 = facts.is_none_or(|facts| facts.operands.iter().all(of_f32));
        let versions = if all_f32 { &VERSIONS[..] } else { &VERSIONS[..1] };
        for &(version, environment) in versions {
            spirv_val(subject, version, environment).unwrap_or_else(|message| {
                panic!("{} for {environment}: {message}", subject.name());
            });
        }
    });
}

/// A module without the strides of arrays that live in registers. naga gives every array a stride;
/// SPIRV-Tools after 2025.1 calls that an error outside buffers, VUID-StandaloneSpirv-None-10684, which
/// drivers do not mind and wgpu silences (its issue 7696).
fn without_private_strides(spirv: &[u32]) -> Vec<u32> {
    let pointees: Vec<u32> = instructions(spirv)
        .filter_map(|(opcode, operands)| match (opcode, operands) {
            (TYPE_POINTER, &[_, PRIVATE, pointee]) => Some(pointee),
            _ => None,
        })
        .collect();
    let mut stripped = spirv[..HEADER].to_vec();
    for (opcode, operands) in instructions(spirv) {
        match (opcode, operands) {
            (DECORATE, [target, ARRAY_STRIDE, _]) if pointees.contains(target) => {}
            _ => {
                stripped.push(((operands.len() as u32 + 1) << 16) | opcode);
                stripped.extend(operands);
            }
        }
    }
    stripped
}

fn spirv_val(subject: &Subject, version: (u8, u8), environment: &str) -> Result<(), String> {
    let mut command = Command::new("spirv-val");
    command.args(["--target-env", environment, "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let words = without_private_strides(&subject.spirv(version));
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    let sent = child.stdin.take().map(|mut stdin| stdin.write_all(&bytes));
    let said = child.wait_with_output().map_err(|e| e.to_string())?;
    match (said.status.success(), sent) {
        (true, Some(Ok(()))) => Ok(()),
        (_, sent) => Err(format!("{} {sent:?}", String::from_utf8_lossy(&said.stderr))),
    }
}

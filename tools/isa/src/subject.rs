//! Kernels, what the traffic model expects of each, and what the driver made of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use wgpu_optim::Format;
use wgpu_optim::kernel::{Kernel, kernels};

use crate::code::Code;
use crate::family::Family;
use crate::module::Module;
use crate::vulkan::Compiled;

/// What is known of a kernel before it is compiled.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) kernel: Kernel,
    /// Elements to an invocation.
    pub(crate) lanes: u32,
    pub(crate) addressing: Addressing,
    /// Numbers of state to an element.
    pub(crate) slots: u32,
    /// Words of a step's scalars.
    pub(crate) scalars: u32,
    /// Bytes an element of what is read, and of what is written.
    pub(crate) read: Vec<u32>,
    pub(crate) written: Vec<u32>,
    /// Words of the launch that say where these are, besides those of every kernel.
    pub(crate) places: u32,
}

/// How workgroups find their elements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Addressing {
    Direct,
    Table,
}

/// Words of `Scalars` in `shaders/step.wgsl` before the rule's own.
const DRIVER_SCALARS: u32 = 16;

/// The rules that are looked at in every format, and how: others differ in nothing that formats touch, and
/// scalar kernels store 16 bits by atomics.
const IN_ALL_FORMATS: [&str; 3] = ["adam-vec4-", "rmsprop-vec4-", "sgd-MOMENTUM-vec4-"];

/// Every kernel that takes a step over f32, and some over other formats. The others only move its bytes. A
/// copy has 16 bits.
pub(crate) fn steps() -> Result<Vec<Subject>, String> {
    let of_f32 = |kernel: &Kernel| kernel.formats == [Format::F32; 3];
    let is_looked_at = |kernel: &Kernel| {
        let name = &kernel.name;
        let atomics = name.contains("_copy-") && name.contains("-scalar-");
        of_f32(kernel) && !atomics
            || name.contains("-own-")
                && !name.contains("-ema-")
                && IN_ALL_FORMATS.iter().any(|of| name.starts_with(of))
    };
    let is_step = |kernel: &Kernel| kernel.name.ends_with("-update") && is_looked_at(kernel);
    let steps = kernels().into_iter().filter(is_step);
    steps.map(Subject::new).collect()
}

impl Subject {
    fn new(kernel: Kernel) -> Result<Self, String> {
        let name = &kernel.name;
        let is = |word: &str| name.split('-').any(|part| part == word);
        let lanes = match (is("vec4"), is("scalar")) {
            (true, false) => 4,
            (false, true) => 1,
            _ => return Err(format!("{name}: of what width?")),
        };
        let addressing = match (is("direct"), is("table")) {
            (true, false) => Addressing::Direct,
            (false, true) => Addressing::Table,
            _ => return Err(format!("{name}: addressed how?")),
        };
        let slots = kernel.wgsl.matches("> slot_").count() as u32;
        let hyper: Option<u32> = (kernel.wgsl.split_once("const HYPER_LENGTH = "))
            .and_then(|(_, rest)| rest.split_once("u;")?.0.parse().ok());
        let hyper = hyper.ok_or_else(|| format!("{name}: how many scalars?"))?;
        let [param, grad, state] = kernel.formats.map(|format| format.bytes() as u32);
        let mut kept = vec![param];
        kept.extend((0..slots).map(|_| state));
        // What completes a parameter, and its average.
        let beside = [("remainder", 2), ("master", 4), ("ema", 4)];
        let beside = beside.into_iter().filter(|(what, _)| is(what)).map(|(_, bytes)| bytes);
        kept.extend(beside);
        let (mut read, mut written) = (kept.clone(), kept);
        read.push(grad);
        written.extend(is("cleared").then_some(grad));
        let copied = name.contains("_copy-");
        written.extend(copied.then_some(2));
        let places = u32::from(is("ema")) + u32::from(copied);
        let scalars = DRIVER_SCALARS + hyper;
        Ok(Self { lanes, addressing, slots, scalars, read, written, places, kernel })
    }

    pub(crate) fn name(&self) -> &str {
        &self.kernel.name
    }
}

/// What the driver says of a kernel, and what its code shows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) vgprs: u64,
    pub(crate) sgprs: u64,
    /// Subgroups to a SIMD, as registers allow. RDNA is counted in halves of 32 lanes: 32 is full.
    pub(crate) waves: u64,
    pub(crate) code_size: u64,
    /// Cycles from a wave's start to its end, by the compiler's model of the machine. The model takes
    /// code behind a branch by lane for executed three times in four: figures of kernels with
    /// different branches do not compare.
    pub(crate) latency: u64,
    /// Cycles to a wave when as many as fit take turns, by the same model with the same weights.
    pub(crate) inverse_throughput: u64,
    pub(crate) spills: u64,
    pub(crate) scratch: u64,
    pub(crate) local_memory: u64,
    /// Register to register moves.
    pub(crate) copies: u64,
    pub(crate) code: Code,
}

impl Figures {
    /// Of one compiled module.
    pub(crate) fn of(compiled: &Compiled) -> Result<Self, String> {
        let statistic = |name: &str| {
            let missing = || format!("{}: the driver gives no {name:?}", compiled.name);
            compiled.statistics.get(name).copied().ok_or_else(missing)
        };
        let code = Code::read(&compiled.assembly);
        let counted = statistic("Instructions")?;
        if u64::from(code.instructions) != counted {
            let read = code.instructions;
            let name = &compiled.name;
            return Err(format!("{name}: {read} instructions read, {counted} there"));
        }
        Ok(Self {
            vgprs: statistic("VGPRs")?,
            sgprs: statistic("SGPRs")?,
            waves: statistic("Subgroups per SIMD")?,
            code_size: statistic("Code size")?,
            latency: statistic("Latency")?,
            inverse_throughput: statistic("Inverse Throughput")?,
            spills: statistic("Spilled SGPRs")? + statistic("Spilled VGPRs")?,
            scratch: statistic("Scratch size")?,
            local_memory: statistic("LDS size")?,
            copies: statistic("Copies")?,
            code,
        })
    }
}

/// A kernel as one family runs it.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) figures: Figures,
    pub(crate) assembly: String,
}

/// What compiling for one family brought.
#[derive(Clone, Debug)]
pub(crate) struct Results {
    pub(crate) family: Family,
    /// The driver and its version.
    pub(crate) driver: String,
    /// By the kernels' names.
    pub(crate) kernels: BTreeMap<String, Built>,
}

/// Has `modules` compiled for each family.
pub(crate) fn compile(
    icd: &Path,
    families: &[Family],
    modules: &[Module],
) -> Result<Vec<Results>, String> {
    let of = |&family: &Family| {
        let answer = family.compile(icd, modules)?;
        let built = answer.compiled.into_iter().map(|compiled| {
            let figures = Figures::of(&compiled)?;
            Ok((compiled.name, Built { figures, assembly: compiled.assembly }))
        });
        let kernels = built.collect::<Result<_, String>>()?;
        Ok(Results { family, driver: answer.driver, kernels })
    };
    families.iter().map(of).collect()
}

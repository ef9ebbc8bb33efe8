//! Kernels, what the traffic model expects of each, and what the driver made of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use wgpu_optim::Format;
use wgpu_optim::kernel::{Address, Body, Facts, Kernel, OperandFact, Width, kernels};

use crate::blocks;
use crate::code::Code;
use crate::family::Family;
use crate::module::Module;
use crate::vulkan::Compiled;

/// A kernel and all that is known before it is compiled.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) kernel: Kernel,
    pub(crate) facts: Facts,
    /// Elements to an invocation.
    pub(crate) lanes: u32,
    /// Words of a step's scalars.
    pub(crate) scalars: u32,
    /// Bytes of each load and of each store of an invocation.
    pub(crate) read: Vec<u32>,
    pub(crate) written: Vec<u32>,
    /// Words of uniforms that not every kernel needs: where operands without a column are, where noise
    /// begins, and which sums were made.
    pub(crate) places: u32,
}

/// Words of `Scalars` in `shaders/step.wgsl` before the rule's own.
fn driver_scalars() -> u32 {
    let [(_, driver), ..] = wgpu_optim::reflect::structs();
    driver.len() as u32
}

/// The rules, with the switches that are on, that are looked at in every format; others differ in nothing that
/// formats touch.
const IN_ALL_FORMATS: [(&str, &[&str]); 3] =
    [("adam", &[]), ("rmsprop", &[]), ("sgd", &["MOMENTUM"])];

/// Every kernel that takes a step over f32, and some over other formats. The others only move its bytes, or store
/// 16 bits by atomics.
pub(crate) fn steps() -> Result<Vec<Subject>, String> {
    let subjects = kernels().into_iter().filter_map(|kernel| {
        let facts = kernel.facts.clone().filter(|facts| facts.body == Body::Update)?;
        is_looked_at(&kernel, &facts).then(|| Subject::new(kernel, facts))
    });
    subjects.collect()
}

fn is_looked_at(kernel: &Kernel, facts: &Facts) -> bool {
    if facts.operands.iter().any(|operand| is_by_atomics(facts, operand)) {
        return false;
    }
    let operand = |name: &str| facts.operands.iter().find(|operand| operand.name == name);
    let plain = operand("grad").is_some_and(|grad| !grad.written) && operand("ema").is_none();
    let on: Vec<&str> = on(kernel).collect();
    facts.formats == [Format::F32; 3]
        || plain
            && facts.width != Width::Scalar
            && IN_ALL_FORMATS
                .iter()
                .any(|(rule, switches)| facts.rule == Some(rule) && on == *switches)
}

/// The switches that are on.
pub(crate) fn on(kernel: &Kernel) -> impl Iterator<Item = &'static str> {
    kernel.switches.iter().filter(|(_, on)| *on).map(|(name, _)| *name)
}

/// Whether an operand's elements are reached one by one.
fn is_by_element(facts: &Facts, operand: &OperandFact) -> bool {
    match facts.width {
        Width::Vec4 => false,
        Width::Loose => operand.name == "grad",
        Width::Scalar => true,
    }
}

/// Whether an operand is half a word that is written.
pub(crate) fn is_by_atomics(facts: &Facts, operand: &OperandFact) -> bool {
    operand.bits == 16 && operand.stores && is_by_element(facts, operand)
}

/// Elements that an invocation takes at once.
pub(crate) fn lanes(facts: &Facts) -> u32 {
    match facts.width {
        Width::Vec4 | Width::Loose => 4,
        Width::Scalar => 1,
    }
}

/// Bytes of each access of an invocation to an operand.
pub(crate) fn accesses(facts: &Facts, operand: &OperandFact) -> Vec<u32> {
    let lanes = lanes(facts);
    if operand.blocks.is_some() {
        blocks::ACCESSES.to_vec()
    } else if is_by_element(facts, operand) {
        // Half a word comes as a word.
        vec![(operand.bits / 8).max(4); lanes as usize]
    } else {
        vec![operand.bits / 8 * lanes]
    }
}

/// The facts of the same kernel in another width and addressing, without what follows from those.
pub(crate) fn like(facts: &Facts, width: Width, address: Address) -> Facts {
    let mut facts = facts.clone();
    (facts.width, facts.address, facts.window) = (width, address, 0);
    for operand in &mut facts.operands {
        (operand.group, operand.binding) = (0, 0);
    }
    facts
}

impl Subject {
    pub(crate) fn new(kernel: Kernel, facts: Facts) -> Result<Self, String> {
        let (mut read, mut written) = (Vec::new(), Vec::new());
        for operand in &facts.operands {
            let accesses = accesses(&facts, operand);
            // A gradient that is joined is the parameters' binding once more.
            let joined = facts.joined && operand.name == "param";
            for (does, all, again) in [
                (operand.loads, &mut read, joined),
                (operand.stores, &mut written, joined && facts.clear),
            ] {
                let times = usize::from(does) + usize::from(does && again);
                all.extend(accesses.repeat(times));
            }
        }
        read.extend(vec![blocks::OF_TABLE; blocks::tables(&facts)]);
        let distant = facts.operands.iter().filter(|operand| operand.distant).count() as u32;
        let random = facts.stochastic || facts.dithers;
        let places = distant + u32::from(random) + u32::from(facts.summed);
        let scalars = driver_scalars() + facts.hyper as u32;
        let lanes = lanes(&facts);
        Ok(Self { kernel, facts, lanes, scalars, read, written, places })
    }

    pub(crate) fn name(&self) -> &str {
        &self.kernel.name
    }
}

/// The figures that the driver has for a kernel, and those that its code shows.
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
    /// The figures of one compiled module.
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

/// The results of compiling for one family.
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

//! The families of GPUs, and a process for each: the driver reads from the environment which one to be.

use std::io::{Write as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;

use crate::module::Module;
use crate::vulkan::{Answer, compile};

/// A generation of AMD's GPUs, by LLVM's name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Family {
    /// RDNA 2: Radeon RX 6800 to 6900
    Navi21,
    /// RDNA 3: Radeon RX 7900
    Gfx1100,
    /// GCN 5: Radeon RX Vega
    Vega10,
}

/// Every family.
pub(crate) const FAMILIES: [Family; 3] = [Family::Navi21, Family::Gfx1100, Family::Vega10];

impl Family {
    /// As the driver knows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Navi21 => "navi21",
            Self::Gfx1100 => "gfx1100",
            Self::Vega10 => "vega10",
        }
    }

    /// The names of a device of this family, by drivers old and new.
    fn device_names(self) -> &'static [&'static str] {
        match self {
            Self::Navi21 => &["NAVI21"],
            Self::Gfx1100 => &["GFX1100", "NAVI31"],
            Self::Vega10 => &["VEGA10"],
        }
    }

    /// How many of a subgroup's 64 lanes the driver means when it says how many waves fit a SIMD.
    pub(crate) fn lanes_a_wave(self) -> u64 {
        match self {
            Self::Navi21 | Self::Gfx1100 => 32,
            Self::Vega10 => 64,
        }
    }

    /// Compiles `modules` for this family, in a process of its own.
    pub(crate) fn compile(self, icd: &Path, modules: &[Module]) -> Result<Answer, String> {
        let name = self.name();
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut child = Command::new(program)
            .arg(WORKER)
            .env("RADV_FORCE_FAMILY", name)
            // Loaders before 1.3.207 know only the second name.
            .env("VK_DRIVER_FILES", icd)
            .env("VK_ICD_FILENAMES", icd)
            // Figures are the compiler's, not those of an earlier run.
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{name}: {e}"))?;
        let request = serde_json::to_vec(modules).map_err(|e| e.to_string())?;
        // The child reads all before it writes anything.
        let sent = child.stdin.take().map(|mut pipe| pipe.write_all(&request));
        let output = child.wait_with_output().map_err(|e| format!("{name}: {e}"))?;
        let (true, Some(Ok(()))) = (output.status.success(), sent) else {
            return Err(format!("{name}: the driver's process ended with {}", output.status));
        };
        let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
        // A driver that does not know the family may take the first GPU of the machine.
        if !self.device_names().iter().any(|known| answer.device.contains(known)) {
            return Err(format!("{name}: this driver is {} instead", answer.device));
        }
        Ok(answer)
    }
}

/// The argument that makes a process the one that talks to the driver.
pub(crate) const WORKER: &str = "compile-from-stdin";

/// The work of the other process.
pub(crate) fn work() -> Result<(), String> {
    let modules: Vec<Module> = serde_json::from_reader(stdin()).map_err(|e| e.to_string())?;
    let answer = compile(&modules)?;
    let bytes = serde_json::to_vec(&answer).map_err(|e| e.to_string())?;
    stdout().write_all(&bytes).map_err(|e| e.to_string())
}

/// RADV's manifest, where the loader looks for them.
pub(crate) fn find_icd() -> Option<PathBuf> {
    let folders = ["/usr/share", "/usr/local/share", "/etc"];
    let entries = folders
        .iter()
        .filter_map(|folder| Path::new(folder).join("vulkan/icd.d").read_dir().ok())
        .flatten();
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            name.is_some_and(|n| n.starts_with("radeon_icd") && n.ends_with(".json"))
        })
        .collect();
    // The machine's own before those for other instruction sets.
    found.sort_by_key(|path| !path.to_string_lossy().contains(std::env::consts::ARCH));
    found.into_iter().next()
}

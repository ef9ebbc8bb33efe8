//! Counts of a kernel's machine code, read off the driver's disassembly.
//!
//! The disassembly is LLVM's: one instruction a line, its name first, its encoding behind a semicolon,
//! labels with a colon. GFX11 renamed what older generations call `dword`: `dwordx4` is its `b128`.

use std::collections::BTreeMap;

use serde::Serialize;

/// How many accesses there are of each width in bytes.
pub(crate) type Accesses = BTreeMap<u32, u32>;

/// Counts and lists of the instructions that decide how fast a kernel is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Code {
    pub(crate) instructions: u32,
    /// Loads of each lane by itself, from buffers.
    pub(crate) loads: Accesses,
    /// Stores of each lane by itself, to buffers.
    pub(crate) stores: Accesses,
    /// Loads of this kind that are behind a store.
    pub(crate) late_loads: u32,
    /// Loads of this kind that are issued before the first wait for one.
    pub(crate) in_flight: u32,
    /// Words that scalar loads bring from buffers, once for all lanes.
    pub(crate) scalar_words: u32,
    /// Waits for scalar loads: round trips, one after another.
    pub(crate) scalar_waits: u32,
    /// Barriers, at which the waves of a workgroup wait for each other.
    pub(crate) barriers: u32,
    /// Everything that may go on elsewhere.
    pub(crate) branches: Vec<String>,
    /// Integer minima of each lane by itself: the clamp of an index.
    pub(crate) clamps: u32,
    /// The same once for all lanes.
    pub(crate) scalar_clamps: u32,
    pub(crate) square_roots: u32,
    pub(crate) reciprocals: u32,
    /// Other slow or inexact arithmetic: powers, logarithms, sines, the long way to divide.
    pub(crate) slow: Vec<String>,
    /// Other ways to memory: scratch, local memory, atomics, textures.
    pub(crate) other_memory: Vec<String>,
}

impl Code {
    /// Reads a disassembly.
    pub(crate) fn read(assembly: &str) -> Self {
        let mut code = Self::default();
        let mut waited = false;
        for (name, operands) in instructions(assembly) {
            code.instructions += 1;
            let waits_for = |counter: &str| {
                // A bare 0 waits for everything.
                name == "s_waitcnt" && (operands.contains(counter) || operands == "0")
            };
            waited |= waits_for("vmcnt");
            code.scalar_waits += u32::from(waits_for("lgkmcnt"));
            if let Some(width) = access(name, &["buffer_load_", "global_load_"]) {
                *code.loads.entry(width).or_default() += 1;
                code.late_loads += u32::from(!code.stores.is_empty());
                code.in_flight += u32::from(!waited);
            } else if let Some(width) = access(name, &["buffer_store_", "global_store_"]) {
                *code.stores.entry(width).or_default() += 1;
            } else if let Some(width) = access(name, &["s_buffer_load_"]) {
                code.scalar_words += width / 4;
            } else {
                code.other(name);
            }
        }
        code
    }

    /// Takes note of an instruction that neither loads nor stores.
    fn other(&mut self, name: &str) {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if starts(&["s_cbranch", "s_branch", "s_setpc", "s_swappc", "s_call", "s_subvector_loop"]) {
            self.branches.push(name.to_owned());
        } else if name == "s_barrier" {
            self.barriers += 1;
        } else if starts(&["v_min_u", "v_min_i", "v_min3_u", "v_min3_i", "v_med3_u", "v_med3_i"]) {
            self.clamps += 1;
        } else if starts(&["s_min_"]) {
            self.scalar_clamps += 1;
        } else if starts(&["v_sqrt_", "v_rsq_"]) {
            self.square_roots += 1;
        } else if starts(&["v_rcp_"]) {
            self.reciprocals += 1;
        } else if starts(&["v_exp_", "v_log_", "v_sin_", "v_cos_", "v_div_"]) {
            self.slow.push(name.to_owned());
        } else if starts(&["buffer_", "tbuffer_", "global_", "flat_", "scratch_", "ds_", "image_"])
        {
            self.other_memory.push(name.to_owned());
        }
    }
}

/// The instructions of a disassembly: name and operands.
fn instructions(assembly: &str) -> impl Iterator<Item = (&str, &str)> {
    assembly.lines().filter_map(|line| {
        let text = line.split(';').next().unwrap_or_default().trim();
        if text.is_empty() || text.ends_with(':') {
            return None;
        }
        let (name, operands) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        Some((name, operands.trim()))
    })
}

/// The width in bytes, if `name` is an access that starts in one of these ways.
fn access(name: &str, prefixes: &[&str]) -> Option<u32> {
    let suffix = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    Some(match suffix {
        "dwordx16" | "b512" => 64,
        "dwordx8" | "b256" => 32,
        "dwordx4" | "b128" => 16,
        "dwordx3" | "b96" => 12,
        "dwordx2" | "b64" => 8,
        "dword" | "b32" => 4,
        "ushort" | "sshort" | "short" | "u16" | "i16" | "b16" => 2,
        "ubyte" | "sbyte" | "byte" | "u8" | "i8" | "b8" => 1,
        // Formatted and partial ones, which no kernel has a use for.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAVI21: &str = "BB0:
\ts_load_dwordx4 s[8:11], s[2:3], null                        ; f4080201 fa000000
\ts_waitcnt lgkmcnt(0)                                        ; bf8cc07f
\ts_buffer_load_dword s1, s[8:11], 0x10                       ; f4200044 fa000010
\ts_buffer_load_dwordx4 s[8:11], s[8:11], null                ; f4280204 fa000000
\tv_cmpx_gt_u32_e32 s11, v0                                   ; 7da8000b
\ts_cbranch_execz BB6                                         ; bf880078
BB1:
\tbuffer_load_dwordx4 v[4:7], v1, s[4:7], 0 offen             ; e0381000 80010401
\tbuffer_load_dwordx4 v[8:11], v2, s[16:19], 0 offen          ; e0381000 80040802
\ts_waitcnt vmcnt(1) lgkmcnt(0)                               ; bf8c0072
\tv_sqrt_f32_e32 v2, v2                                       ; 7e046702
\tv_rcp_f32_e32 v2, v2                                        ; 7e045502
\tbuffer_load_dword v9, v0, s[20:23], 0 offen                 ; e0381000 80050c00
\tbuffer_store_dwordx4 v[8:11], v1, s[4:7], 0 offen           ; e0781000 80010801
BB6:
\ts_endpgm                                                    ; bf810000
";

    #[test]
    fn counts_on_rdna_2() {
        let expected = Code {
            instructions: 14,
            loads: [(16, 2), (4, 1)].into(),
            stores: [(16, 1)].into(),
            in_flight: 2,
            scalar_words: 5,
            scalar_waits: 2,
            branches: vec!["s_cbranch_execz".to_owned()],
            square_roots: 1,
            reciprocals: 1,
            ..Code::default()
        };
        assert_eq!(Code::read(NAVI21), expected);
    }

    /// The same code, as GFX11 says it, counts the same.
    #[test]
    fn counts_on_rdna_3() {
        let renamed = NAVI21.replace("dwordx4", "b128").replace("dword", "b32");
        assert_eq!(Code::read(&renamed), Code::read(NAVI21));
    }

    #[test]
    fn counts_on_gcn_5() {
        let code = Code::read(
            "\ts_buffer_load_dwordx2 s[2:3], s[12:15], 0x30                ; c0260086 00000030
\tbuffer_load_dwordx3 v[4:6], v1, s[4:7], 0 offen             ; e05c1000 80010401
\ts_waitcnt 0                                                 ; bf8c0000
\tv_min_u32_e32 v1, s4, v1                                    ; 1c020204
\ts_min_u32 s0, s7, s0                                        ; 83800007
\tbuffer_store_short v2, v1, s[4:7], 0 offen                  ; e0681000 80010201
\tglobal_load_dword v3, v[1:2], off                           ; dc508000 037f0001
\tv_div_fixup_f32 v1, v2, v3, v4                              ; d1de0001 04120702
\tscratch_store_dword off, v1, s32                            ; dc704000 00200100
\tbuffer_atomic_add v1, v2, s[4:7], 0 offen                   ; e1081000 80010102
",
        );
        assert_eq!(code.loads, [(12, 1), (4, 1)].into());
        assert_eq!(code.stores, [(2, 1)].into());
        assert_eq!((code.late_loads, code.in_flight, code.scalar_words), (1, 1, 2));
        assert_eq!((code.scalar_waits, code.clamps, code.scalar_clamps), (1, 1, 1));
        assert_eq!(code.slow, ["v_div_fixup_f32"]);
        assert_eq!(code.other_memory, ["scratch_store_dword", "buffer_atomic_add"]);
    }
}

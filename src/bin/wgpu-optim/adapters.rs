use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};
use wgpu_optim::headless::{adapters, is_software, no_adapter};
use wgpu_optim::wgpu;

use crate::Failure;

pub(crate) fn run(as_json: bool) -> Result<ExitCode, Failure> {
    let adapters: Vec<Row> = adapters().iter().map(Row::of).collect();
    let mut out = std::io::stdout().lock();
    if as_json {
        let rows: Vec<Value> = adapters.iter().map(Row::json).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else if !adapters.is_empty() {
        write!(out, "{}", table(&adapters))?;
    }
    if adapters.is_empty() {
        return Err(no_adapter().into());
    }
    Ok(ExitCode::SUCCESS)
}

/// The properties of an adapter that matter here.
struct Row {
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
}

impl Row {
    fn of(adapter: &wgpu::Adapter) -> Self {
        Self { info: adapter.get_info(), limits: adapter.limits() }
    }

    fn driver(&self) -> String {
        format!("{} {}", self.info.driver, self.info.driver_info).trim().to_owned()
    }

    fn kind(&self) -> &'static str {
        if is_software(&self.info) { "software" } else { "hardware" }
    }

    /// The largest parameter in bytes. One binding may be smaller: the optimizer splits by itself.
    fn largest(&self) -> u64 {
        self.limits.max_buffer_size
    }

    fn json(&self) -> Value {
        let Self { info, limits } = self;
        json!({
            "name": info.name,
            "backend": info.backend.to_string(),
            "driver": self.driver(),
            "device_type": format!("{:?}", info.device_type),
            "software": is_software(info),
            "limits": {
                "max_buffer_size": limits.max_buffer_size,
                "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
                "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
                "min_storage_buffer_offset_alignment": limits.min_storage_buffer_offset_alignment,
                "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
                "max_compute_workgroups_per_dimension": limits.max_compute_workgroups_per_dimension,
            },
            "largest_parameter": { "bytes": self.largest(), "elements": self.largest() / 4 },
        })
    }
}

fn table(adapters: &[Row]) -> String {
    let head = ["adapter", "backend", "driver", "kind", "binding", "buffers", "largest parameter"];
    let rows = adapters.iter().map(|row| {
        [
            row.info.name.clone(),
            row.info.backend.to_string(),
            row.driver(),
            row.kind().to_owned(),
            mib(row.limits.max_storage_buffer_binding_size),
            row.limits.max_storage_buffers_per_shader_stage.to_string(),
            format!("{} ({} M elements)", mib(row.largest()), row.largest() / 4_000_000),
        ]
    });
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let note = "binding: the most one dispatch binds of a buffer; larger parameters are split. \
        buffers: storage buffers in one kernel.\n";
    crate::output::columns(&rows) + note
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

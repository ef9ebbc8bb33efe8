//! The memory that rules have of the learning rates, in the metadata of a result.

use wgpu_optim::Past;

use super::Run;

/// The key in the metadata.
pub(super) const KEY: &str = "memory";

/// The last learning rate of a group, and what its rule remembers of all.
pub(super) type Memory = (Option<f64>, Option<Past>);

impl Run {
    /// The memory that the trace has of each group; nothing if it has none, or one of other groups.
    pub(super) fn memories(&self) -> Vec<Memory> {
        let text = self.trace.memory.as_deref().unwrap_or_default();
        let all: Vec<Memory> = serde_json::from_str(text).unwrap_or_default();
        if all.len() == self.config.groups.len() { all } else { Vec::new() }
    }

    /// The text of the memory of all groups, if the rule of one remembers anything.
    pub(super) fn remembered(&self, memories: &[Memory]) -> Option<String> {
        let remembers = self.config.groups.iter().any(|part| {
            let at = wgpu_optim::At::new(1, part.group.lr);
            part.group.rule.remember(at, None).is_some()
        });
        remembers.then(|| serde_json::to_string(memories).ok()).flatten()
    }
}

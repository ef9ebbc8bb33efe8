//! The writing of a checkpoint of this crate.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;

use safetensors::Dtype;
use wgpu_optim::Control;
use wgpu_optim::checkpoint::{
    Entry, KEY, Saved, SavedGroup, SavedParam, VERSION, Writer, sort_entries,
};

use super::stored::{Kept, groups};
use crate::Failure;
use crate::torch::Checkpoint;
use crate::torch::blocks::Blocks;
use crate::torch::value::Tensor;

/// A checkpoint that is ready to be written.
pub(super) struct Whole {
    /// In the order of the file.
    tensors: Vec<(Entry, Tensor)>,
    metadata: BTreeMap<String, String>,
}

/// Makes a checkpoint of this crate. An error is about what was read.
pub(super) fn whole(checkpoint: &Checkpoint) -> Result<Whole, Failure> {
    let Checkpoint { model, optimizer, .. } = checkpoint;
    let optimizer = optimizer.as_ref().ok_or(
        "it has no optimizer; a checkpoint holds one: torch.save({\"model\": …, \"optimizer\": optimizer.state_dict()}, path)",
    )?;
    let shapes: HashMap<&str, &Tensor> =
        model.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut tensors: Vec<(Entry, Tensor)> = Vec::new();
    let mut add = |name: String, tensor: Tensor| {
        let entry = Entry { name, dtype: tensor.dtype, shape: tensor.shape.clone() };
        tensors.push((entry, tensor));
    };
    let mut groups = groups(optimizer)?;
    let mut params = Vec::new();
    for (position, param) in optimizer.params.iter().enumerate() {
        let name = param.name.as_ref().ok_or_else(|| {
            format!("the optimizer's parameter {position} has no name; give --names a,b,c in the order of its groups")
        })?;
        let own = shapes.get(name.as_str()).copied();
        let shape = own.map(|own| &own.shape[..]);
        let shape = shape.or_else(|| param.shapes().next().map(|(_, shape)| shape));
        let shape = shape.ok_or_else(|| {
            format!("the shape of `{name}` is not known; save the model beside the optimizer")
        })?;
        let elements = shape.iter().map(|&n| n as u64).product();
        if let Some(own) = own {
            if !matches!(own.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64) {
                return Err(format!(
                    "`{name}` is {:?}; it must be F32, F16, BF16 or F64",
                    own.dtype
                )
                .into());
            }
            add(format!("param.{name}"), own.clone());
        }
        let steps = param.steps.unwrap_or(0);
        let group = &mut groups[param.group];
        group.saved.recorded = group.saved.recorded.max(steps);
        for slot in group.group.rule.slots() {
            let slot = slot.name;
            let kept = group.kept(param, slot, shape, elements);
            match kept.map_err(|e| format!("`{slot}` of `{name}`: {e}"))? {
                Kept::Plain(tensor) => add(format!("state.{name}.{slot}"), tensor),
                Kept::Blocks(Blocks { codes, scales, .. }) => {
                    add(format!("code.{name}.{slot}"), codes);
                    add(format!("scale.{name}.{slot}"), scales);
                }
            }
        }
        if elements == 0 {
            return Err(format!(
                "`{name}` of shape {shape:?} has no elements, and a checkpoint of this crate has no such parameter; leave \
                 it out of the optimizer"
            )
            .into());
        }
        params.push(SavedParam {
            name: name.clone(),
            group: param.group,
            elements,
            // As if all lay in one buffer, so that no two parameters get the same random bits.
            origin: params.iter().map(|param: &SavedParam| param.elements).sum(),
            steps,
            skipped: 0,
            frozen: false,
        });
    }
    let known: BTreeSet<&str> = params.iter().map(|param| param.name.as_str()).collect();
    for (name, _) in model.iter().filter(|(name, _)| !known.contains(name.as_str())) {
        eprintln!("convert: `model.{name}` is left out, which the optimizer does not have");
    }
    sort_entries(&mut tensors, |(entry, _)| entry);
    let groups: Vec<SavedGroup> = groups.into_iter().map(|group| group.saved).collect();
    let recorded = groups.iter().map(|group| group.recorded).max().unwrap_or(0);
    let control = Control::default();
    let (controller, notes) = (None, BTreeMap::new());
    let saved =
        Saved { version: VERSION, recorded, groups, params, control, controller, added: 0, notes };
    // A file that this crate would refuse is not written.
    let text = saved.to_json()?;
    Saved::from_json(&text).map_err(|all| all.join("; "))?;
    let counts = [("steps", recorded), ("steps_taken", recorded), ("steps_skipped", 0)];
    let counts = counts.map(|(key, count)| (key.to_owned(), count.to_string()));
    let metadata = counts.into_iter().chain([(KEY.to_owned(), text)]).collect();
    Ok(Whole { tensors, metadata })
}

impl Whole {
    /// Writes the file.
    pub(super) fn write(&self, file: &mut File) -> Result<(), Failure> {
        let entries: Vec<Entry> = self.tensors.iter().map(|(entry, _)| entry.clone()).collect();
        let mut writer = Writer::new(file, &self.metadata, &entries)?;
        for (_, tensor) in &self.tensors {
            tensor.read(&mut |bytes| Ok(writer.write(bytes)?))?;
        }
        writer.finish()?;
        Ok(())
    }
}

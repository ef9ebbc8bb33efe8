//! The checkpoints that a run writes.

use std::collections::BTreeMap;

use safetensors::Dtype;
use wgpu_optim::checkpoint::{
    Entry, KEY, SaveOptions, Saved, SavedController, SavedGroup, SavedParam, VERSION, Writer,
    sort_entries, write_file,
};
use wgpu_optim::{Controller, Format, Reference, config};

use super::Run;
use super::resumed::{CONFIG, Noted, PLACE};
use crate::Failure;
use crate::trace::Behind;

impl Run {
    /// The notes of a checkpoint after so many gradients of the trace.
    fn notes(&self, gradients: u64) -> Result<BTreeMap<String, String>, Failure> {
        let noted = serde_json::to_string(&Noted::of(&self.config, self.first)?)?;
        let all = [(PLACE, gradients.to_string()), (CONFIG, noted)];
        Ok(all.map(|(key, text)| (key.to_owned(), text)).into_iter().collect())
    }

    /// The choices for a checkpoint of the kernels' run.
    pub(super) fn save_options(&self, gradients: u64) -> Result<SaveOptions, Failure> {
        let mut options = SaveOptions::default();
        options.notes = self.notes(gradients)?;
        let shapes = self.trace.tensors.iter();
        options.shapes = shapes.map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
        Ok(options)
    }

    /// Writes a checkpoint of the reference's run after so many gradients, if one is due.
    pub(super) fn save_reference(
        &self,
        gradients: u64,
        references: &[Reference],
        controller: &Controller,
    ) -> Result<(), Failure> {
        let Some(path) = self.save_after(gradients) else { return Ok(()) };
        let mut tensors: Vec<(Entry, Vec<u8>)> = Vec::new();
        let (sums, added) = controller.sums();
        for (i, (tensor, reference)) in self.trace.tensors.iter().zip(references).enumerate() {
            let name = &tensor.name;
            let mut coded = Vec::new();
            let mut add = |name: String, numbers: Vec<f64>| {
                let entry = Entry { name, dtype: Dtype::F64, shape: tensor.shape.clone() };
                let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                tensors.push((entry, bytes));
            };
            add(format!("param.{name}"), reference.param().to_vec());
            if self.has_master(i) {
                add(format!("master.{name}"), reference.param().to_vec());
            }
            for slot in self.part(i).group.rule.slots() {
                let slot = slot.name;
                let Some((codes, scales)) = reference.codes(slot) else {
                    let numbers = reference.state(slot).unwrap_or_default();
                    add(format!("state.{name}.{slot}"), numbers);
                    continue;
                };
                let blocks = scales.len();
                let scales = Format::F32.encode_all(&scales);
                for (what, dtype, shape, bytes) in [
                    ("code", Dtype::U8, tensor.shape.clone(), codes),
                    ("scale", Dtype::F32, vec![blocks], scales),
                ] {
                    let name = format!("{what}.{name}.{slot}");
                    coded.push((Entry { name, dtype, shape }, bytes));
                }
            }
            if let Some(average) = reference.ema() {
                add(format!("ema.{name}"), average.to_vec());
            }
            if added > 0 {
                add(format!("sum.{name}"), sums.get(i).cloned().unwrap_or_default());
            }
            tensors.append(&mut coded);
        }
        sort_entries(&mut tensors, |(entry, _)| entry);
        let saved = self.saved(gradients, references, controller)?;
        let counts = ["steps", "steps_taken", "steps_skipped"].into_iter();
        let skipped = controller.stats(&[]).skipped;
        let counts = counts.zip([saved.recorded, saved.recorded - skipped, skipped]);
        let metadata: BTreeMap<String, String> = counts
            .map(|(key, count)| (key.to_owned(), count.to_string()))
            .chain([(KEY.to_owned(), saved.to_json()?)])
            .collect();
        let entries: Vec<Entry> = tensors.iter().map(|(entry, _)| entry.clone()).collect();
        write_file(path, |file| -> Result<(), wgpu_optim::checkpoint::Error> {
            let failed = |e: std::io::Error| wgpu_optim::checkpoint::Error::writing(path, &e);
            let mut writer = Writer::new(file, &metadata, &entries).map_err(failed)?;
            for (_, bytes) in &tensors {
                writer.write(bytes).map_err(failed)?;
            }
            writer.finish().map(|_| ()).map_err(failed)
        })?;
        Ok(())
    }

    /// A parameter's steps and the skipped ones among them, once the run has so many in all.
    fn steps_of(&self, name: &str, all: [u64; 2]) -> [u64; 2] {
        let Some(resumed) = &self.resumed else { return all };
        let Behind { steps, taken } = resumed.counted();
        let before = [steps, steps - taken];
        let own = resumed.steps_of(name);
        std::array::from_fn(|i| own[i] + (all[i] - before[i]))
    }

    fn saved(
        &self,
        gradients: u64,
        references: &[Reference],
        controller: &Controller,
    ) -> Result<Saved, Failure> {
        let stats = controller.stats(&[]);
        let recorded = stats.taken + stats.skipped;
        let mut groups = Vec::new();
        for (index, part) in self.config.groups.iter().enumerate() {
            let mut group = part.group.clone();
            // The rate of the last step, if CONFIG has a list of them.
            if let Some(lr) =
                recorded.checked_sub(1 + self.first.taken).and_then(|last| part.rate(last))
            {
                group = group.lr(lr);
            }
            // Every parameter of a group has the same memory.
            let first = self.groups.iter().position(|of| *of == index);
            let (rate, past) = first.map(|i| references[i].memory()).unwrap_or_default();
            let options = config::options(&group)?;
            groups.push(SavedGroup { options, foreign: None, recorded, rate, past });
        }
        let params = self.trace.tensors.iter().zip(&self.groups).map(|(tensor, group)| {
            let [steps, skipped] = self.steps_of(&tensor.name, [recorded, stats.skipped]);
            SavedParam {
                name: tensor.name.clone(),
                group: *group,
                elements: tensor.len,
                origin: 0,
                steps,
                skipped,
                frozen: false,
            }
        });
        let looks = self.config.control.looks_at_gradients();
        let controller_of = || SavedController {
            counts: true,
            scale: stats.loss_scale,
            growth_tracker: controller.growth_tracker(),
            restarts: false,
            skipped: stats.skipped as u32,
            looked: recorded as u32,
            overrun: false,
            norm: stats.norm.to_string(),
            coefficient: stats.coefficient.to_string(),
            found_inf: None,
        };
        Ok(Saved {
            version: VERSION,
            recorded,
            groups,
            params: params.collect(),
            control: self.config.control,
            controller: looks.then(controller_of),
            added: controller.sums().1,
            notes: self.notes(gradients)?,
        })
    }
}

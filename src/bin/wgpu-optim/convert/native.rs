//! A checkpoint of this crate: `param.<name>`, `state.<name>.<slot>` or the codes and scales of that, and everything
//! else in its metadata.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use safetensors::Dtype;
use serde_json::{Map, Value as Json};
use wgpu_optim::checkpoint::{
    Container, Entry, KEY, Saved, SavedGroup, SavedParam, VERSION, Writer, sort_entries,
};
use wgpu_optim::{Control, StateFormat, config};

use crate::Failure;
use crate::blocks::Blocks;
use crate::torch::Checkpoint;
use crate::torch::optimizer::{Group, Optimizer, Param};
use crate::torch::value::{Each, Source, Tensor};

/// The numbers that are decoded at once: whole blocks.
const SOME: usize = 1 << 16;

/// Whether a safetensors file is a checkpoint of this crate.
pub(super) fn is_native(path: &Path) -> bool {
    let file = File::open(path).ok().and_then(|file| Container::open(file).ok());
    file.is_some_and(|file| file.metadata(KEY).is_some())
}

/// Reads a file. Its tensors are read when they are asked for. `names` gives the order of the parameters.
pub(super) fn read(path: &Path, names: Option<&[String]>) -> Result<Checkpoint, Failure> {
    let mut file = Container::open(File::open(path)?)?;
    file.verify()?;
    let saved = Saved::of(&file).map_err(|all| all.join("; "))?;
    if saved.added > 0 {
        let added = saved.added;
        return Err(format!(
            "it has {added} gradients of a step that is to come, which PyTorch keeps in no state dict; save it after a step"
        )
        .into());
    }
    if saved.control != Control::default() {
        eprintln!(
            "convert: clipping, loss scale and skipping (`control`) are left out, because PyTorch keeps them apart"
        );
    }
    let file = Rc::new(RefCell::new(file));
    let tensor = |name: String| {
        let Entry { dtype, shape, .. } = file.borrow().entry(&name)?;
        let data = Rc::new(InFile { file: file.clone(), name });
        Some(Tensor { dtype, shape, data })
    };
    let mut model = Vec::new();
    let mut params = Vec::new();
    for SavedParam { name, group, steps, skipped, .. } in ordered(&saved, names)? {
        let options = saved.groups[*group].options.clone();
        let rule =
            config::group(Json::Object(options)).map_err(|e| format!("group {group}: {e}"))?.rule;
        model.extend(tensor(format!("param.{name}")).map(|tensor| (name.clone(), tensor)));
        let taken = steps - skipped;
        let mut slots = Vec::new();
        for slot in rule.slots().into_iter().filter(|_| taken > 0) {
            let [key, codes, scales] =
                ["state", "code", "scale"].map(|kind| format!("{kind}.{name}.{}", slot.name));
            let in_blocks = Blocks::of(&saved.groups[*group].options, slot.name);
            let decoded = in_blocks.zip(tensor(codes.clone())).map(|(blocks, of)| {
                let data = Rc::new(InBlocks { file: file.clone(), names: [codes, scales], blocks });
                Tensor { dtype: Dtype::F32, data, ..of }
            });
            let found = decoded.or_else(|| tensor(key.clone()));
            slots.push((slot.name.to_owned(), found.ok_or_else(|| format!("`{key}` is missing"))?));
        }
        let steps = (taken > 0).then_some(taken);
        let blocks = Vec::new();
        params.push(Param { name: Some(name.clone()), group: *group, steps, slots, blocks });
    }
    let groups = saved.groups.iter().map(|group| Group { config: decoded(&group.options) });
    let optimizer = Some(Optimizer { groups: groups.collect(), params });
    Ok(Checkpoint { model, optimizer, left_out: Vec::new() })
}

/// The options of a group whose state is in f32 where it was in blocks.
fn decoded(options: &Map<String, Json>) -> Map<String, Json> {
    let mut all = options.clone();
    let is_blocks = |format: &Json| {
        let format = format.as_str().and_then(StateFormat::named);
        format.is_some_and(|format| format.plain().is_none())
    };
    let f32 = || Json::from(StateFormat::F32.name());
    match all.get_mut("state_format") {
        Some(Json::Object(slots)) => {
            slots
                .values_mut()
                .filter(|format| is_blocks(format))
                .for_each(|format| *format = f32());
            if slots.values().all(|format| *format == f32()) {
                all.insert("state_format".to_owned(), f32());
            }
        }
        Some(format) if is_blocks(format) => *format = f32(),
        _ => return all,
    }
    // Nothing is in blocks any more.
    all.insert("block_min_size".to_owned(), 0.into());
    all.insert("stochastic_state".to_owned(), Json::Null);
    all
}

/// The parameters in the order of `names`, or of the file.
fn ordered<'a>(saved: &'a Saved, names: Option<&[String]>) -> Result<Vec<&'a SavedParam>, Failure> {
    let Some(names) = names else { return Ok(saved.params.iter().collect()) };
    let known: HashMap<&str, &SavedParam> =
        saved.params.iter().map(|param| (param.name.as_str(), param)).collect();
    let given: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let there: BTreeSet<&str> = known.keys().copied().collect();
    if given != there || names.len() != given.len() {
        let list = |all: &mut dyn Iterator<Item = &&str>| {
            all.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        return Err(format!(
            "--names must have each parameter once; missing are: {}; unknown are: {}",
            list(&mut there.difference(&given)),
            list(&mut given.difference(&there))
        )
        .into());
    }
    Ok(names.iter().filter_map(|name| known.get(name.as_str()).copied()).collect())
}

/// A tensor of a file.
struct InFile {
    file: Rc<RefCell<Container<File>>>,
    name: String,
}

impl Source for InFile {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let mut file = self.file.borrow_mut();
        let taken = |e: Failure| std::io::Error::other(e.to_string());
        Ok(file.pieces::<std::io::Error>(&self.name, |_, bytes| each(bytes).map_err(taken))?)
    }
}

/// The numbers of a slot in blocks.
struct InBlocks {
    file: Rc<RefCell<Container<File>>>,
    names: [String; 2],
    blocks: Blocks,
}

impl Source for InBlocks {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let mut file = self.file.borrow_mut();
        let code = self.blocks.code;
        Ok(self.blocks.read(
            &mut file,
            self.names.each_ref().map(String::as_str),
            |codes, scales| {
                // Some at a time, because a number takes four bytes and more.
                for (codes, scales) in
                    codes.chunks(SOME).zip(scales.chunks(SOME / code.block() as usize))
                {
                    let numbers = code.decode_all(codes, scales);
                    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                    each(&bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
                }
                Ok(())
            },
        )?)
    }
}

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
        let shaped = own.or_else(|| param.slots.first().map(|(_, slot)| slot));
        let shaped = shaped.ok_or_else(|| {
            format!("the shape of `{name}` is not known; save the model beside the optimizer")
        })?;
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
            let found = param.slots.iter().find(|(known, _)| known == slot.name);
            let tensor = match found {
                Some((_, tensor)) => tensor.clone(),
                // The first step gives it its start.
                None if steps == 0 => {
                    let dtype = group.dtype.unwrap_or(Dtype::F32);
                    zeros(dtype, shaped.shape.clone())
                }
                None => return Err(format!("`{name}` has no `{}`", slot.name).into()),
            };
            add(format!("state.{name}.{}", slot.name), tensor);
        }
        let elements = shaped.shape.iter().map(|&n| n as u64).product();
        if elements == 0 {
            return Err(format!(
                "`{name}` of shape {:?} has no elements, and a checkpoint of this crate has no such parameter; leave \
                 it out of the optimizer",
                shaped.shape
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

/// A group, and how its state is stored.
struct Stored {
    saved: SavedGroup,
    group: wgpu_optim::Group,
    dtype: Option<Dtype>,
}

fn groups(optimizer: &Optimizer) -> Result<Vec<Stored>, Failure> {
    let mut all = Vec::new();
    for (index, Group { config: given }) in optimizer.groups.iter().enumerate() {
        let own = optimizer.params.iter().filter(|param| param.group == index);
        let slots = own.flat_map(|param| &param.slots);
        let dtypes: BTreeSet<Dtype> = slots.map(|(_, tensor)| tensor.dtype).collect();
        let dtype = match dtypes.len() {
            0 => None,
            1 => dtypes.first().copied(),
            _ => {
                return Err(format!(
                    "the state of group {index} is in {dtypes:?}; a group keeps its state in one format"
                )
                .into());
            }
        };
        let format = match dtype {
            None | Some(Dtype::F32 | Dtype::F64) => "f32",
            Some(Dtype::BF16) => "bf16",
            Some(Dtype::F16) => "f16",
            Some(other) => return Err(format!("the state of group {index} is {other:?}").into()),
        };
        let mut given = given.clone();
        given.insert("state_format".to_owned(), format.into());
        let group =
            config::group(Json::Object(given)).map_err(|e| format!("group {index}: {e}"))?;
        let options = config::options(&group)?;
        let rate = Some(group.lr);
        let saved = SavedGroup { options, foreign: None, recorded: 0, rate, past: None };
        all.push(Stored { saved, group, dtype });
    }
    Ok(all)
}

/// A tensor of zeros.
fn zeros(dtype: Dtype, shape: Vec<usize>) -> Tensor {
    let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    Tensor { dtype, shape, data: Rc::new(Zeros(bytes)) }
}

struct Zeros(usize);

impl Source for Zeros {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        static PART: [u8; 1 << 16] = [0; 1 << 16];
        let mut left = self.0;
        while left > 0 {
            let now = PART.len().min(left);
            each(&PART[..now])?;
            left -= now;
        }
        Ok(())
    }
}

//! The reading of a checkpoint of this crate: `param.<name>`, `state.<name>.<slot>` or the codes and scales of that, and everything
//! else in its metadata.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use serde_json::Value as Json;
use wgpu_optim::checkpoint::{Container, Entry, KEY, Saved, SavedParam};
use wgpu_optim::{Control, config};

use crate::Failure;
use crate::torch::Checkpoint;
use crate::torch::blocks::Blocks;
use crate::torch::optimizer::{Group, Optimizer, Param};
use crate::torch::value::{Each, Source, Tensor};

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
    for SavedParam { name, group, elements, steps, skipped, .. } in ordered(&saved, names)? {
        let options = saved.groups[*group].options.clone();
        let own =
            config::group(Json::Object(options)).map_err(|e| format!("group {group}: {e}"))?;
        model.extend(tensor(format!("param.{name}")).map(|tensor| (name.clone(), tensor)));
        let taken = steps - skipped;
        let (mut slots, mut blocks) = (Vec::new(), Vec::new());
        for slot in own.rule.slots().into_iter().filter(|_| taken > 0) {
            let found = |kind: &str| {
                let key = format!("{kind}.{name}.{}", slot.name);
                tensor(key.clone()).ok_or_else(|| format!("`{key}` is missing"))
            };
            let known = slot.name.to_owned();
            match own.block_code(slot.name, *elements) {
                None => slots.push((known, found("state")?)),
                Some(code) => {
                    let own = Blocks::new(found("code")?, found("scale")?, code);
                    let place = |e| format!("`{known}` of `{name}`: {e}");
                    blocks.push((known.clone(), own.map_err(place)?));
                }
            }
        }
        let steps = (taken > 0).then_some(taken);
        params.push(Param { name: Some(name.clone()), group: *group, steps, slots, blocks });
    }
    let groups = saved.groups.iter().map(|group| Group { config: group.options.clone() });
    let optimizer = Some(Optimizer { groups: groups.collect(), params });
    Ok(Checkpoint { model, optimizer, left_out: Vec::new() })
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

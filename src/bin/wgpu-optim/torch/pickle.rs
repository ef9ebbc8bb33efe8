//! The writing of pickles of protocol 2, as `torch.save` writes them.

use super::blocks::Blocks;
use super::global::storage_of;
use super::torchao::{attributes, class};
use super::value::{Tensor, Value};

/// Writes the pickle of a value, and lists the tensors whose numbers are its storages, in order from `0`.
pub(super) fn pickle(value: &Value) -> Result<(Vec<u8>, Vec<Tensor>), String> {
    let mut written = Written { out: vec![0x80, 2], tensors: Vec::new() };
    written.value(value)?;
    written.out.push(b'.');
    Ok((written.out, written.tensors))
}

/// A pickle that is being written.
struct Written {
    out: Vec<u8>,
    tensors: Vec<Tensor>,
}

impl Written {
    fn value(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::None => self.out.push(b'N'),
            Value::Bool(on) => self.out.push(if *on { 0x88 } else { 0x89 }),
            Value::Int(n) => self.int(*n),
            Value::Float(x) => {
                self.out.push(b'G');
                self.out.extend(x.to_be_bytes());
            }
            Value::Str(text) => self.text(text)?,
            Value::List(all) => {
                self.out.extend(b"](");
                for item in all {
                    self.value(item)?;
                }
                self.out.push(b'e');
            }
            Value::Tuple(all) => {
                self.out.push(b'(');
                for item in all {
                    self.value(item)?;
                }
                self.out.push(b't');
            }
            Value::Dict(all) => {
                self.out.extend(b"}(");
                for (key, value) in all {
                    self.value(key)?;
                    self.value(value)?;
                }
                self.out.push(b'u');
            }
            Value::Tensor(tensor) => self.tensor(tensor)?,
            Value::Blocks(blocks) => self.blocks(blocks)?,
        }
        Ok(())
    }

    fn int(&mut self, n: i64) {
        match i32::try_from(n) {
            Ok(n) => {
                self.out.push(b'J');
                self.out.extend(n.to_le_bytes());
            }
            Err(_) => {
                self.out.extend([0x8a, 8]);
                self.out.extend(n.to_le_bytes());
            }
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        let length = u32::try_from(text.len()).map_err(|_| "a string has more than 4 GiB")?;
        self.out.push(b'X');
        self.out.extend(length.to_le_bytes());
        self.out.extend(text.as_bytes());
        Ok(())
    }

    /// A tensor as a call that rebuilds it from a storage of its own.
    fn tensor(&mut self, tensor: &Tensor) -> Result<(), String> {
        let Tensor { dtype, shape, .. } = tensor;
        let storage = storage_of(*dtype)
            .ok_or_else(|| format!("PyTorch has no storage for a tensor of type {dtype:?}"))?;
        self.out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage")?;
        self.out.extend(format!("ctorch\n{storage}\n").as_bytes());
        self.text(&self.tensors.len().to_string())?;
        self.text("cpu")?;
        let bytes = tensor.len().ok_or("a tensor is too large")?;
        self.count(bytes / (dtype.bitsize() / 8))?;
        self.out.extend(b"tQ");
        self.count(0)?;
        self.sizes(shape)?;
        // It needs no gradient and has no hooks.
        self.out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        self.tensors.push(tensor.clone());
        Ok(())
    }

    /// A shape, and the strides of tensors of such a shape.
    fn sizes(&mut self, shape: &[usize]) -> Result<(), String> {
        let mut strides = vec![1_usize; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = strides[i].saturating_mul(shape[i].max(1));
        }
        for sizes in [shape, &strides] {
            self.out.push(b'(');
            for &size in sizes {
                self.count(size)?;
            }
            self.out.push(b't');
        }
        Ok(())
    }

    /// A tensor of torchao's as the call that rebuilds it from its attributes.
    fn blocks(&mut self, blocks: &Blocks) -> Result<(), String> {
        let (module, name) = class(blocks);
        let class = format!("c{module}\n{name}\n");
        self.out.extend(b"ctorch._tensor\n_rebuild_from_type_v2\n(");
        self.out.extend(b"ctorch._utils\n_rebuild_wrapper_subclass\n");
        // The class is there twice, and looks like a tensor of f32 in memory of its own, which needs no gradient.
        self.out.extend(format!("{class}({class}ctorch\nfloat32\n").as_bytes());
        self.sizes(&blocks.codes.shape)?;
        self.count(0)?;
        self.out.extend(b"ctorch.serialization\n_get_layout\n(");
        self.text("torch.strided")?;
        self.out.extend(b"tRctorch\ndevice\n(");
        self.text("cpu")?;
        self.out.extend(b"tR\x89t");
        self.value(&Value::dict(attributes(blocks)?))?;
        self.out.extend(b"tR");
        Ok(())
    }

    fn count(&mut self, n: usize) -> Result<(), String> {
        self.int(i64::try_from(n).map_err(|_| "a tensor is too large")?);
        Ok(())
    }
}

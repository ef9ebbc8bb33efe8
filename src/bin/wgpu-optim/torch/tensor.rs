//! Tensors of checkpoints, whose numbers come a part at a time.

use std::fmt;
use std::rc::Rc;

use safetensors::Dtype;
use wgpu_optim::Format;

use crate::Failure;

/// A tensor whose numbers are read only when they are asked for.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Rc<dyn Source>,
}

/// The taker of a tensor's bytes, a part at a time.
pub(crate) type Each<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Failure>;

/// A place that has a tensor's numbers.
pub(crate) trait Source {
    /// Hands over all bytes, little-endian and in the order of rows, a part at a time.
    fn read(&self, each: Each<'_>) -> Result<(), Failure>;
}

/// The error of a place that does not give its numbers.
#[derive(Debug)]
pub(crate) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// One number over and over.
struct Filled {
    number: Vec<u8>,
    count: usize,
}

/// The numbers of a filled tensor that are handed over at once.
const PART: usize = 1 << 16;

impl Source for Filled {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let part = self.number.repeat(PART.min(self.count));
        let mut left = self.count * self.number.len();
        while left > 0 {
            let now = part.len().min(left);
            each(&part[..now])?;
            left -= now;
        }
        Ok(())
    }
}

/// Bytes that are at hand.
struct Row(Vec<u8>);

impl Source for Row {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        each(&self.0)
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{:?}", self.dtype, self.shape)
    }
}

impl Tensor {
    /// One f32 number, as PyTorch keeps its steps.
    pub(crate) fn scalar(number: f64) -> Self {
        Self::filled(Dtype::F32, number, Vec::new())
    }

    /// A tensor of one number everywhere, in one of the four types of floats, or else in f32.
    pub(crate) fn filled(dtype: Dtype, number: f64, shape: Vec<usize>) -> Self {
        let (dtype, number) = match dtype {
            Dtype::F64 => (dtype, number.to_le_bytes().to_vec()),
            Dtype::F16 => (dtype, Format::F16.encode_all(&[number as f32])),
            Dtype::BF16 => (dtype, Format::Bf16.encode_all(&[number as f32])),
            _ => (Dtype::F32, (number as f32).to_le_bytes().to_vec()),
        };
        let filled = Filled { number, count: shape.iter().product() };
        Self { dtype, shape, data: Rc::new(filled) }
    }

    /// A row of numbers in f32.
    pub(crate) fn of_f32(numbers: &[f32]) -> Self {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: vec![numbers.len()], data: Rc::new(Row(bytes)) }
    }

    /// How many bytes it has, or `None` if they are more than can be counted.
    pub(crate) fn len(&self) -> Option<usize> {
        let count = self.shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size))?;
        count.checked_mul(self.dtype.bitsize() / 8)
    }

    /// Hands over all bytes, a part at a time, and checks that they are as many as the shape says. An error is
    /// [`Unreadable`] unless it is that of `each`.
    pub(crate) fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let (mut had, mut failed) = (0, None);
        let read = self.data.read(&mut |part| {
            had += part.len();
            each(part).map_err(|e| {
                failed = Some(e);
                "the taker failed".into()
            })
        });
        match (failed, read) {
            (Some(e), _) => Err(e),
            (None, Err(e)) => Err(Unreadable(e.to_string()).into()),
            (None, Ok(())) if Some(had) != self.len() => {
                let text = format!("a tensor {self:?} has {had} bytes; its file is damaged");
                Err(Unreadable(text).into())
            }
            (None, Ok(())) => Ok(()),
        }
    }

    /// All bytes at once.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        self.read(&mut |part| {
            all.extend_from_slice(part);
            Ok(())
        })?;
        Ok(all)
    }

    /// The number of a tensor that has only one.
    pub(crate) fn number(&self) -> Result<f64, Failure> {
        if self.shape.iter().any(|&size| size != 1) {
            return Err(format!("it is a tensor of shape {:?}, not one number", self.shape).into());
        }
        let bytes = self.bytes()?;
        let number = match (self.dtype, &bytes[..]) {
            (Dtype::F32, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
            (Dtype::I32, &[a, b, c, d]) => f64::from(i32::from_le_bytes([a, b, c, d])),
            (Dtype::F64, bytes) => f64::from_le_bytes(bytes.try_into()?),
            (Dtype::I64, bytes) => i64::from_le_bytes(bytes.try_into()?) as f64,
            (other, _) => {
                return Err(
                    format!("it is a number of type {other:?}, not F32, F64, I32 or I64").into()
                );
            }
        };
        Ok(number)
    }
}

//! The functions and classes that a checkpoint's pickle may name; all others are refused.

use safetensors::Dtype;
use wgpu_optim::StateFormat;

/// The end of an error about something that is not read.
pub(super) const ONLY: &str = "only tensors, numbers, strings, lists, tuples and dicts are read";

/// The types of storages that PyTorch has, by their names in `torch`.
const STORAGES: [(&str, Dtype); 10] = [
    ("FloatStorage", Dtype::F32),
    ("DoubleStorage", Dtype::F64),
    ("HalfStorage", Dtype::F16),
    ("BFloat16Storage", Dtype::BF16),
    ("LongStorage", Dtype::I64),
    ("IntStorage", Dtype::I32),
    ("ShortStorage", Dtype::I16),
    ("CharStorage", Dtype::I8),
    ("ByteStorage", Dtype::U8),
    ("BoolStorage", Dtype::BOOL),
];

/// The name in `torch` of the storage that has numbers of a type.
pub(super) fn storage_of(dtype: Dtype) -> Option<&'static str> {
    STORAGES.into_iter().find(|(_, known)| *known == dtype).map(|(name, _)| name)
}

/// A function or class that a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    /// The same for a parameter with attributes of its own.
    RebuildParameterWithState,
    Size,
    Storage(Dtype),
    /// The two calls that make a tensor of a class from its attributes.
    RebuildFromType,
    RebuildWrapper,
    /// A class of torchao's for state in blocks.
    Blocks(StateFormat),
    /// All that such a tensor says of itself and that its codes do not need: a type, a layout, a device.
    Dtype,
    Layout,
    Device,
}

impl Global {
    /// The function or class of a name.
    pub(super) fn named(module: &str, name: &str) -> Result<Self, String> {
        let storage = STORAGES.into_iter().find(|(known, _)| module == "torch" && *known == name);
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Ok(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Ok(Self::RebuildParameter),
            ("torch._utils", "_rebuild_parameter_with_state") => {
                Ok(Self::RebuildParameterWithState)
            }
            ("torch", "Size") => Ok(Self::Size),
            ("torch._tensor", "_rebuild_from_type_v2") => Ok(Self::RebuildFromType),
            ("torch._utils", "_rebuild_wrapper_subclass") => Ok(Self::RebuildWrapper),
            ("torch.serialization", "_get_layout") => Ok(Self::Layout),
            ("torch", "device") => Ok(Self::Device),
            ("torch", "float32" | "float64" | "float16" | "bfloat16") => Ok(Self::Dtype),
            // The latter is the module's name in releases of torchao before 0.9.
            ("torchao.optim.subclass_8bit", "OptimState8bit")
            | ("torchao.prototype.low_bit_optim.subclass_8bit", "OptimState8bit") => {
                Ok(Self::Blocks(StateFormat::Block8))
            }
            ("torchao.optim.subclass_4bit", "OptimState4bit")
            | ("torchao.prototype.low_bit_optim.subclass_4bit", "OptimState4bit") => {
                Ok(Self::Blocks(StateFormat::Block4))
            }
            _ => match storage {
                Some((_, dtype)) => Ok(Self::Storage(dtype)),
                None => Err(format!(
                    "it names `{module}.{name}`; {ONLY}: save those alone, as torch.save({{\"model\": \
                    model.state_dict(), \"optimizer\": optimizer.state_dict()}}, path)"
                )),
            },
        }
    }
}

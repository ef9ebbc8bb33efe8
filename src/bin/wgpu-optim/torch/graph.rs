//! The values of a pickle before they are values of their own: nodes that share others, as Python's objects do.

use std::rc::Rc;

use safetensors::Dtype;
use wgpu_optim::StateFormat;

use super::global::{Global, ONLY};
use super::torchao::of_torchao;
use super::value::{Tensor, Value};

/// The most nodes of a pickle.
const MOST: usize = 1 << 23;

/// The most values for each byte of a pickle, because a value may be there many times.
const VALUES: usize = 4;

/// The deepest nesting of containers; what contains itself is deeper than anything.
const DEEPEST: usize = 64;

/// The most bytes of strings for each byte of a pickle, because a string may be there many times.
const STRINGS: usize = 32;

/// The longest name in an error.
const LONGEST: usize = 200;

/// The values and the bytes of strings that any pickle may stand for.
const FEW: usize = 1 << 16;

/// The place of a node.
pub(super) type Id = usize;

/// A value that refers to others.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage {
        key: Id,
        dtype: Dtype,
        len: usize,
    },
    Tensor(Box<View>),
    /// A tensor of torchao's: its format, its shape, and the dict of its attributes.
    Blocks {
        format: StateFormat,
        shape: Id,
        attributes: Id,
    },
}

impl Node {
    /// A tensor of one of torchao's classes: a function, the class, the function's arguments, of which the third is
    /// the shape, and attributes.
    pub(super) fn blocks(graph: &Graph, args: [Id; 4]) -> Result<Self, String> {
        let [function, class, args, attributes] = args;
        let &Self::Global(Global::Blocks(format)) = graph.node(class) else {
            return Err(format!("it makes a tensor of a class that is not known; {ONLY}"));
        };
        let shape = graph.items(args).and_then(|args| args.get(2)).copied();
        match (graph.node(function), graph.node(attributes), shape) {
            (Self::Global(Global::RebuildWrapper), Self::Dict(_), Some(shape)) => {
                Ok(Self::Blocks { format, shape, attributes })
            }
            _ => Err("a tensor in blocks is not made as torchao makes it".to_owned()),
        }
    }
}

/// A tensor as a view of a storage.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The name of the storage.
    pub(super) key: Rc<str>,
    pub(super) dtype: Dtype,
    /// The elements of the storage.
    pub(super) len: usize,
    /// The element of the storage that is the first of the tensor.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// The elements of the storage from one element of the tensor to the next, in each dimension.
    pub(super) strides: Vec<usize>,
}

/// The most dimensions that PyTorch has.
const DIMENSIONS: usize = 64;

/// The most elements of a tensor with more than its storage.
const REPEATED: usize = 1 << 16;

impl View {
    /// Whether all elements lie in the storage.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { key, len, offset, shape, strides, .. } = self;
        let is =
            || format!("a tensor of shape {shape:?} with strides {strides:?} from {offset} on");
        if shape.len() != strides.len() || shape.len() > DIMENSIONS {
            return Err(format!("{} has not as many strides as dimensions, or too many", is()));
        }
        let outside = || format!("{} does not lie in its storage `{key}` of {len} elements", is());
        let count = shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
        let count = count.ok_or_else(outside)?;
        let inside = match count {
            0 => *offset <= *len,
            _ => self
                .span()
                .and_then(|span| span.checked_add(*offset))
                .is_some_and(|end| end <= *len),
        };
        if inside { Ok(()) } else { Err(outside()) }
    }

    /// Whether the tensor is not far larger than its storage, as one that was expanded is.
    fn check_size(&self) -> Result<(), String> {
        let Self { key, len, shape, strides, .. } = self;
        let count = shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
        if count.is_none_or(|count| count > REPEATED.max(*len)) {
            return Err(format!(
                "the tensor of shape {shape:?} with strides {strides:?} repeats the {len} elements of its storage \
                 `{key}`; save t.contiguous() in its place"
            ));
        }
        Ok(())
    }

    /// The elements of the storage from the first of the tensor to its last.
    pub(super) fn span(&self) -> Option<usize> {
        let mut last = 0_usize;
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            last = last.checked_add(size.checked_sub(1)?.checked_mul(stride)?)?;
        }
        last.checked_add(1)
    }

    /// Whether the elements lie one after the other, in the order of rows.
    pub(super) fn is_contiguous(&self) -> bool {
        let mut next = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != next {
                return self.shape.contains(&0);
            }
            next = next.saturating_mul(size);
        }
        true
    }
}

/// All nodes of a pickle.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    /// The nodes, and the entries that a pickle makes without listing them.
    charged: usize,
}

impl Graph {
    pub(super) fn add(&mut self, node: Node) -> Result<Id, String> {
        self.charge(1)?;
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// Counts what a few bytes of a pickle make many times, so that it is not more than memory has.
    pub(super) fn charge(&mut self, entries: usize) -> Result<(), String> {
        self.charged = self.charged.saturating_add(entries);
        if self.charged > MOST {
            return Err(format!("it has more than {MOST} values"));
        }
        Ok(())
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Str(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn shared_text(&self, id: Id) -> Option<Rc<str>> {
        match self.node(id) {
            Node::Str(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// A whole number, 0 or more.
    pub(super) fn count(&self, id: Id) -> Option<usize> {
        match self.node(id) {
            Node::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::List(all) | Node::Tuple(all) => Some(all),
            _ => None,
        }
    }
}

/// Makes the tensor of a view.
pub(super) type Open<'a> = &'a mut dyn FnMut(&View) -> Result<Tensor, String>;

/// Makes values of a graph, each of them whole, as long as they are not out of proportion to the `length` of the
/// pickle.
pub(super) fn values(
    graph: &Graph,
    root: Id,
    length: usize,
    open: Open<'_>,
) -> Result<Value, String> {
    let [values, strings] =
        [VALUES, STRINGS].map(|most| length.saturating_mul(most).saturating_add(FEW));
    let mut made = Made { graph, values, strings, open };
    made.value(root, 0).map_err(|e| format!("data.pkl: {e}"))
}

/// The making of values.
struct Made<'a> {
    graph: &'a Graph,
    /// How many more may be made.
    values: usize,
    /// How many more bytes of strings may be made.
    strings: usize,
    open: Open<'a>,
}

impl Made<'_> {
    fn value(&mut self, id: Id, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err(format!("it nests more than {DEEPEST} containers, or one contains itself"));
        }
        self.count(1)?;
        let graph = self.graph;
        Ok(match graph.node(id) {
            Node::None => Value::None,
            Node::Bool(on) => Value::Bool(*on),
            Node::Int(n) => Value::Int(*n),
            Node::Float(x) => Value::Float(*x),
            Node::Str(text) => {
                let left = self.strings.checked_sub(text.len());
                self.strings = left.ok_or("it repeats its strings too often")?;
                Value::Str(text.to_string())
            }
            Node::List(all) => Value::List(self.all(all, depth)?),
            Node::Tuple(all) => Value::Tuple(self.all(all, depth)?),
            Node::Dict(all) => {
                let mut entries = Vec::new();
                for &(key, value) in all {
                    let text = graph.text(key).filter(|text| text.len() <= LONGEST);
                    let named = |e: String| match text {
                        Some(text) => format!("`{text}`: {e}"),
                        None => e,
                    };
                    let key = self.value(key, depth + 1)?;
                    entries.push((key, self.value(value, depth + 1).map_err(named)?));
                }
                Value::Dict(entries)
            }
            Node::Tensor(view) => {
                self.count(view.shape.len())?;
                view.check_size()?;
                Value::Tensor((self.open)(view)?)
            }
            Node::Blocks { format, shape, attributes } => {
                let shape = self.value(*shape, depth + 1)?;
                let attributes = self.value(*attributes, depth + 1)?;
                Value::Blocks(of_torchao(*format, &shape, &attributes)?)
            }
            Node::Global(global) => return Err(format!("{global:?} is there as a value")),
            Node::Storage { .. } => {
                return Err("a storage is there as a value; save tensors".to_owned());
            }
        })
    }

    fn count(&mut self, values: usize) -> Result<(), String> {
        let left = self.values.checked_sub(values);
        self.values = left.ok_or("it repeats its values too often")?;
        Ok(())
    }

    fn all(&mut self, ids: &[Id], depth: usize) -> Result<Vec<Value>, String> {
        ids.iter().map(|&id| self.value(id, depth + 1)).collect()
    }
}

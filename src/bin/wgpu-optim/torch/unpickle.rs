//! The reading of pickles, restricted to the data of checkpoints.
//!
//! A pickle is a program that can call any function of Python. This reader knows the few that `torch.save` needs for
//! tensors and containers, and refuses all others by name. It is written here because no kept crate fits:
//! `serde-pickle` reads neither persistent ids nor the calls that rebuild tensors, `repugnant-pickle` says of itself
//! that it scrapes with low effort, and a framework's own reader brings in the framework.

use std::collections::HashMap;

use super::global::{Global, ONLY};
use super::graph::{Graph, Id, Node, View};

/// The state of the machine that a pickle is a program for.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    graph: Graph,
    stack: Vec<Id>,
    /// The heights of the stack at its open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

/// Reads a pickle of protocol 2 to 5.
pub(super) fn unpickle(bytes: &[u8]) -> Result<(Graph, Id), String> {
    let (graph, stack, marks, memo) = (Graph::default(), Vec::new(), Vec::new(), HashMap::new());
    let mut machine = Machine { bytes, at: 0, graph, stack, marks, memo };
    let root = machine.run().map_err(|e| format!("data.pkl, byte {}: {e}", machine.at))?;
    Ok((machine.graph, root))
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Id, String> {
        if self.byte()? != 0x80 {
            return Err("it does not begin as a pickle of protocol 2 to 5 does".to_owned());
        }
        let protocol = self.byte()?;
        if !(2..=5).contains(&protocol) {
            return Err(format!("it has protocol {protocol}; 2 to 5 are read"));
        }
        loop {
            match self.byte()? {
                b'.' => break,
                // The length of a frame, which holds nothing new.
                0x95 => drop(self.take(8)?),
                opcode => self.step(opcode)?,
            }
        }
        match (&self.stack[..], self.marks.is_empty()) {
            (&[root], true) => Ok(root),
            _ => Err("it ends with more or less than one value".to_owned()),
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.popped()?),
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'K' => {
                let n = self.byte()?;
                self.push(Node::Int(n.into()))?;
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(n.into()))?;
            }
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(n.into()))?;
            }
            0x8a => self.long()?,
            b'G' => {
                let x = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(x))?;
            }
            0x8c => {
                let length = self.byte()?.into();
                self.text(length)?;
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?).into();
                self.text(length)?;
            }
            0x8d => {
                let length = u64::from_le_bytes(self.array()?);
                self.text(length)?;
            }
            b']' => self.push(Node::List(Vec::new()))?,
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b')' => self.push(Node::Tuple(Vec::new()))?,
            b'l' => {
                let items = self.popped()?;
                self.push(Node::List(items))?;
            }
            b'd' => {
                let entries = pairs(self.popped()?)?;
                self.push(Node::Dict(entries))?;
            }
            b't' => {
                let items = self.popped()?;
                self.push(Node::Tuple(items))?;
            }
            0x85..=0x87 => self.short_tuple(usize::from(opcode - 0x84))?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.popped()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let entries = pairs(self.popped()?)?;
                self.set(entries)?;
            }
            b'q' => {
                let key = self.byte()?.into();
                self.remember(key)?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let key = self.byte()?.into();
                self.recall(key)?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id| self.graph.text(id).map(str::to_owned);
                let (Some(module), Some(name)) = (text(module), text(name)) else {
                    return Err("a name is not a string".to_owned());
                };
                self.global(&module, &name)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(storage)?;
            }
            b'R' => self.call()?,
            b'b' => {
                let _attributes = self.pop()?;
                // The attributes of a state dict are the versions of its modules, which no number depends on.
                if !matches!(self.top()?, Node::Dict(_)) {
                    return Err(format!("it sets attributes of what is no OrderedDict; {ONLY}"));
                }
            }
            other => return Err(format!("it has the opcode {other:#04x}; {ONLY}")),
        }
        Ok(())
    }

    /// Calls a function with a tuple of arguments.
    fn call(&mut self) -> Result<(), String> {
        let (args, function) = (self.pop()?, self.pop()?);
        let &Node::Global(global) = self.graph.node(function) else {
            return Err(format!("it calls what is no function; {ONLY}"));
        };
        let Node::Tuple(args) = self.graph.node(args) else {
            return Err("it calls a function without a tuple of arguments".to_owned());
        };
        let args = args.clone();
        // A size is the tuple that it is made of.
        if let (Global::Size, &[sizes]) = (global, &args[..])
            && self.graph.items(sizes).is_some()
        {
            self.stack.push(sizes);
            return Ok(());
        }
        let node = match (global, &args[..]) {
            (Global::OrderedDict, []) => Node::Dict(Vec::new()),
            (Global::OrderedDict, &[all]) => self.ordered(all)?,
            // The attributes are left out, as no number depends on them.
            (Global::RebuildParameter, &[data, _, _])
            | (Global::RebuildParameterWithState, &[data, _, _, _]) => {
                match self.graph.node(data) {
                    Node::Tensor(view) => Node::Tensor(view.clone()),
                    _ => return Err("a parameter is no tensor".to_owned()),
                }
            }
            (Global::RebuildTensor, &[storage, offset, shape, strides, _, _]) => {
                self.tensor(storage, offset, shape, strides)?
            }
            (Global::RebuildTensor, [_, _, _, _, _, _, _]) => {
                return Err("a tensor has metadata, as a conjugate or negated view; save t.resolve_conj().resolve_neg()".to_owned());
            }
            // An object of these that stays unused, as no number depends on it.
            (Global::Layout | Global::Device, _) => Node::None,
            (Global::RebuildFromType, &[function, class, args, attributes]) => {
                Node::blocks(&self.graph, [function, class, args, attributes])?
            }
            (Global::Storage(_), _) => return Err(format!("it makes a storage by a call; {ONLY}")),
            (global, args) => {
                return Err(format!("it calls {global:?} with {} arguments", args.len()));
            }
        };
        self.push(node)
    }

    fn tensor(&mut self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<Node, String> {
        let &Node::Storage { key, dtype, len } = self.graph.node(storage) else {
            return Err("a tensor is made of what is no storage".to_owned());
        };
        let sizes = |id| {
            let items = self.graph.items(id)?.iter();
            items.map(|&item| self.graph.count(item)).collect::<Option<Vec<_>>>()
        };
        let (Some(offset), Some(shape), Some(mut strides)) =
            (self.graph.count(offset), sizes(shape), sizes(strides))
        else {
            return Err(
                "a tensor's offset, shape and strides are not whole numbers, 0 or more".to_owned()
            );
        };
        // Nothing is a stride away in a dimension of one element, whose stride may be any number.
        for (stride, _) in strides.iter_mut().zip(&shape).filter(|(_, size)| **size <= 1) {
            *stride = 0;
        }
        let Some(key) = self.graph.shared_text(key) else {
            return Err("a storage's name is no string".to_owned());
        };
        let view = View { key, dtype, len, offset, shape, strides };
        view.check()?;
        self.graph.charge(view.shape.len())?;
        Ok(Node::Tensor(Box::new(view)))
    }

    /// An OrderedDict of a list of pairs.
    fn ordered(&mut self, all: Id) -> Result<Node, String> {
        let wrong = || "an OrderedDict is made of what is no list of pairs".to_owned();
        let pair = |&id: &Id| match self.graph.items(id) {
            Some(&[key, value]) => Ok((key, value)),
            _ => Err(wrong()),
        };
        let all = self.graph.items(all).ok_or_else(wrong)?;
        let entries = all.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        self.graph.charge(entries.len())?;
        Ok(Node::Dict(entries))
    }

    /// The storage that a persistent id names.
    fn storage(&self, id: Id) -> Result<Node, String> {
        let wrong = || "a persistent id is not that of a storage".to_owned();
        let Some(&[tag, kind, key, _, len]) = self.graph.items(id) else { return Err(wrong()) };
        let &Node::Global(Global::Storage(dtype)) = self.graph.node(kind) else {
            return Err(wrong());
        };
        match (self.graph.text(tag), self.graph.text(key), self.graph.count(len)) {
            (Some("storage"), Some(_), Some(len)) => Ok(Node::Storage { key, dtype, len }),
            _ => Err(wrong()),
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        self.push(Node::Global(Global::named(module, name)?))
    }

    fn push(&mut self, node: Node) -> Result<(), String> {
        self.stack.push(self.graph.add(node)?);
        Ok(())
    }

    /// Takes the last value off the stack, but none below an open mark.
    fn pop(&mut self) -> Result<Id, String> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        let has = self.stack.len() > bottom;
        has.then(|| self.stack.pop())
            .flatten()
            .ok_or_else(|| "it takes a value from an empty stack".to_owned())
    }

    /// Takes all above the last mark, and the mark.
    fn popped(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("it ends a list that it did not begin")?;
        Ok(self.stack.split_off(mark))
    }

    fn top_id(&self) -> Result<Id, String> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.get(bottom..).and_then(|above| above.last());
        top.copied().ok_or_else(|| "it looks at a value of an empty stack".to_owned())
    }

    fn top(&mut self) -> Result<&mut Node, String> {
        let id = self.top_id()?;
        Ok(self.graph.node_mut(id))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        match self.top()? {
            Node::List(all) => all.extend(items),
            _ => return Err("it appends to what is no list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, entries: Vec<(Id, Id)>) -> Result<(), String> {
        match self.top()? {
            Node::Dict(all) => all.extend(entries),
            _ => return Err("it sets a key of what is no dict".to_owned()),
        }
        Ok(())
    }

    fn short_tuple(&mut self, len: usize) -> Result<(), String> {
        let mut items = (0..len).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Node::Tuple(items))
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        self.memo.insert(key, self.top_id()?);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let id = self
            .memo
            .get(&key)
            .ok_or_else(|| format!("it recalls {key}, which it did not keep"))?;
        self.stack.push(*id);
        Ok(())
    }

    /// An integer of up to 8 bytes.
    fn long(&mut self) -> Result<(), String> {
        let length = self.byte()?.into();
        let given = self.take(length)?;
        let negative = given.last().is_some_and(|last| *last >= 0x80);
        let mut bytes = [if negative { 0xff } else { 0 }; 8];
        let Some(place) = bytes.get_mut(..given.len()) else {
            return Err("an integer does not fit into 64 bits".to_owned());
        };
        place.copy_from_slice(given);
        self.push(Node::Int(i64::from_le_bytes(bytes)))
    }

    fn text(&mut self, length: u64) -> Result<(), String> {
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        let text = std::str::from_utf8(bytes).map_err(|e| format!("a string: {e}"))?;
        let text = Node::Str(text.into());
        self.push(text)
    }

    /// The text up to the end of the line.
    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(TRUNCATED)?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| TRUNCATED.to_owned())
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(length).ok_or(TRUNCATED)?;
        let bytes = self.bytes.get(self.at..end).ok_or(TRUNCATED)?;
        self.at = end;
        Ok(bytes)
    }
}

const TRUNCATED: &str = "it is truncated";

/// Keys and values that lie one after the other.
fn pairs(items: Vec<Id>) -> Result<Vec<(Id, Id)>, String> {
    if !items.len().is_multiple_of(2) {
        return Err("a dict has a key without a value".to_owned());
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

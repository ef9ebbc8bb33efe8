//! The buffers on the device, and where there is room in them.

use wgpu_optim::wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu_optim::wgpu::{Buffer, BufferUsages, Device};
use wgpu_optim::{Format, View};

use super::memory::{Spot, canary, size};
use super::program::Home;

/// The kind of numbers that an arena holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Param,
    Grad,
    Copy,
    Mixed,
}

struct Arena {
    role: Role,
    format: Format,
    buffer: usize,
    /// The first free byte.
    free: u64,
}

/// Bytes of an arena.
const ARENA: u64 = 16 << 10;

/// Variables of different types share no aligned range of this many bytes.
const APART: u64 = 256;

/// Words before the end of a buffer that nothing may touch.
const BEHIND: u64 = 3;

pub(crate) struct Store {
    device: Device,
    pub(crate) buffers: Vec<Buffer>,
    arenas: Vec<Arena>,
    /// Where gradients were.
    pub(crate) left: Vec<Spot>,
    /// The most bytes of a buffer.
    most: u64,
    /// The words of each buffer that the simulations do not know yet.
    pub(crate) created: Vec<usize>,
}

impl Store {
    pub(crate) fn new(device: &Device) -> Self {
        let most = device.limits().max_buffer_size;
        let (buffers, arenas, left, created) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { device: device.clone(), buffers, arenas, left, most, created }
    }

    pub(crate) fn view(&self, spot: &Spot) -> View {
        let whole = View::whole(&self.buffers[spot.buffer], spot.format);
        whole.range(spot.at..spot.at + spot.len)
    }

    /// A new buffer; none if the device allows none as large.
    fn create(&mut self, bytes: u64) -> Option<usize> {
        let words = bytes.div_ceil(4) + BEHIND;
        let index = self.buffers.len();
        let contents: Vec<u32> = (0..words as usize).map(|word| canary(index, word)).collect();
        if 4 * words > self.most {
            return None;
        }
        self.buffers.push(self.device.create_buffer_init(&BufferInitDescriptor {
            label: Some("program"),
            contents: bytemuck::cast_slice(&contents),
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
        }));
        self.created.push(words as usize);
        Some(index)
    }

    /// A place for numbers; none if the device allows none as large. `Home::Old` and `Home::Shared` are
    /// not this one's business and taken for an arena.
    pub(crate) fn place(
        &mut self,
        home: Home,
        role: Role,
        format: Format,
        len: u64,
    ) -> Option<Spot> {
        let bytes = size(format);
        let (gap, role) = match home {
            Home::Own(at) => {
                let at = u64::from(at);
                let buffer = self.create((at + len) * bytes)?;
                return Some(Spot { buffer, format, at, len });
            }
            Home::Arena(gap) => (gap, role),
            // Copies stay apart from f32 numbers, as gradients in 16 bits do.
            Home::Mixed(gap) => (gap, Role::Mixed),
            Home::Old(..) | Home::Shared(_) => (1, role),
        };
        let kind = if role == Role::Mixed { Format::F32 } else { format };
        let alien = format != kind;
        let start = |arena: &Arena| {
            let free = if alien { arena.free.next_multiple_of(APART) } else { arena.free };
            free + u64::from(gap) * bytes
        };
        let end = |arena: &Arena| {
            let end = start(arena) + len * bytes;
            if alien { end.next_multiple_of(APART) } else { end }
        };
        let fits =
            |arena: &Arena| arena.role == role && arena.format == kind && end(arena) <= ARENA;
        let index = match self.arenas.iter().position(fits) {
            Some(index) => index,
            None => {
                let buffer = self.create(ARENA.max(len * bytes + 2 * APART))?;
                self.arenas.push(Arena { role, format: kind, buffer, free: 0 });
                self.arenas.len() - 1
            }
        };
        let arena = &mut self.arenas[index];
        let at = start(arena) / bytes;
        arena.free = end(arena);
        Some(Spot { buffer: arena.buffer, format, at, len })
    }

    /// A place where a gradient of this format was, if this fits there and nothing of `taken` is in it.
    pub(crate) fn old<'a>(
        &mut self,
        (which, from): (u8, u8),
        format: Format,
        len: u64,
        taken: impl Iterator<Item = &'a Spot>,
    ) -> Option<Spot> {
        let index = usize::from(which) % self.left.len().max(1);
        let old = self.left.get(index)?;
        let from = u64::from(from);
        let spot = Spot { at: old.at + from, len, ..*old };
        if old.format != format || from + len > old.len {
            return None;
        }
        let mut taken = taken;
        if taken.any(|other| other.overlaps(&spot)) {
            return None;
        }
        self.left.swap_remove(index);
        Some(spot)
    }
}

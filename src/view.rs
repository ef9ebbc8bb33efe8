//! A run of numbers in a buffer that belongs to someone else.

use std::ops::Range;

use crate::error::Error;

/// Bytes of one element.
pub(crate) const ELEMENT: u64 = 4;

/// A run of f32 numbers in a `wgpu::Buffer`.
///
/// It holds a handle to the buffer, no more: whoever created the buffer goes on owning what is in it.
/// Nothing is checked until an optimizer is given the view, which then names the parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Where the numbers are. A parameter's or gradient's buffer needs `BufferUsages::STORAGE`.
    pub buffer: wgpu::Buffer,
    /// The first number's place in the buffer, in bytes; a multiple of 4.
    pub offset: u64,
    /// How many numbers, in elements.
    pub len: u64,
}

impl View {
    /// The whole buffer as f32.
    pub fn f32(buffer: &wgpu::Buffer) -> Self {
        Self { buffer: buffer.clone(), offset: 0, len: buffer.size() / ELEMENT }
    }

    /// `len` elements starting `offset` bytes into the buffer: what frameworks call a tensor's handle.
    pub fn f32_at(buffer: &wgpu::Buffer, offset: u64, len: u64) -> Self {
        Self { buffer: buffer.clone(), offset, len }
    }

    /// A part of this view, in elements counted from its start.
    ///
    /// A range that ends after this view is not cut: whoever is given it reports it.
    #[must_use]
    pub fn range(self, elements: Range<u64>) -> Self {
        Self {
            offset: self.offset.saturating_add(elements.start.saturating_mul(ELEMENT)),
            len: elements.end.saturating_sub(elements.start),
            buffer: self.buffer,
        }
    }

    /// First byte, and the first after the view. Only of a checked view.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.offset, self.offset + self.len * ELEMENT)
    }

    /// Whether the view can be bound. `what` names it in the error, as in "parameter `w`".
    pub(crate) fn check(&self, what: &str, needs: wgpu::BufferUsages) -> Result<(), Error> {
        let what = || what.to_owned();
        if self.len == 0 {
            return Err(Error::Empty { what: what() });
        }
        if !self.offset.is_multiple_of(ELEMENT) {
            return Err(Error::Unaligned { what: what(), offset: self.offset });
        }
        let end = u128::from(self.offset) + u128::from(self.len) * u128::from(ELEMENT);
        if end > u128::from(self.buffer.size()) {
            return Err(Error::PastEnd { what: what(), end, size: self.buffer.size() });
        }
        if !self.buffer.usage().contains(needs) {
            return Err(Error::MissingUsage { what: what(), usage: self.buffer.usage(), needs });
        }
        Ok(())
    }
}

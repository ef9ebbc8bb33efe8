//! A run of numbers in a buffer that belongs to someone else.

use std::ops::Range;

use crate::error::Error;
use crate::num::{Format, WORD};

/// A run of numbers in a `wgpu::Buffer`: f32, or two of 16 bits to a word, the first in its lower half.
///
/// It holds a handle to the buffer, no more: whoever created the buffer goes on owning what is in it.
/// Nothing is checked until an optimizer is given the view, which then names the parameter.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct View {
    /// The buffer of the numbers. The buffer of a parameter or gradient needs `BufferUsages::STORAGE`.
    pub buffer: wgpu::Buffer,
    /// The first number's place in the buffer, in bytes; a multiple of its size, 4 or 2.
    pub offset: u64,
    /// How many numbers, in elements.
    pub len: u64,
    /// The format of the numbers.
    pub format: Format,
}

impl View {
    /// The whole buffer as f32.
    pub fn f32(buffer: &wgpu::Buffer) -> Self {
        Self::whole(buffer, Format::F32)
    }

    /// The whole buffer as f16.
    pub fn f16(buffer: &wgpu::Buffer) -> Self {
        Self::whole(buffer, Format::F16)
    }

    /// The whole buffer as bf16.
    pub fn bf16(buffer: &wgpu::Buffer) -> Self {
        Self::whole(buffer, Format::Bf16)
    }

    /// The whole buffer in any format.
    pub fn whole(buffer: &wgpu::Buffer, format: Format) -> Self {
        Self { buffer: buffer.clone(), offset: 0, len: buffer.size() / format.bytes(), format }
    }

    /// `len` elements starting `offset` bytes into the buffer: what frameworks call a tensor's handle.
    pub fn f32_at(buffer: &wgpu::Buffer, offset: u64, len: u64) -> Self {
        Self { buffer: buffer.clone(), offset, len, format: Format::F32 }
    }

    /// The same of f16.
    pub fn f16_at(buffer: &wgpu::Buffer, offset: u64, len: u64) -> Self {
        Self { format: Format::F16, ..Self::f32_at(buffer, offset, len) }
    }

    /// The same of bf16.
    pub fn bf16_at(buffer: &wgpu::Buffer, offset: u64, len: u64) -> Self {
        Self { format: Format::Bf16, ..Self::f32_at(buffer, offset, len) }
    }

    /// A part of this view, in elements counted from its start.
    ///
    /// A range that ends after this view is not cut: whoever is given it reports it.
    #[must_use]
    pub fn range(self, elements: Range<u64>) -> Self {
        let bytes = elements.start.saturating_mul(self.format.bytes());
        Self {
            offset: self.offset.saturating_add(bytes),
            len: elements.end.saturating_sub(elements.start),
            ..self
        }
    }

    /// First byte, and the first after the view. Only of a checked view.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.offset, self.offset + self.len * self.format.bytes())
    }

    /// The first element's place in the buffer, in elements. Only of a checked view.
    pub(crate) fn at(&self) -> u64 {
        self.offset / self.format.bytes()
    }

    /// Whether the view can be bound. `what` names it in the error, as in "parameter `w`".
    pub(crate) fn check(
        &self,
        what: impl Fn() -> String,
        needs: wgpu::BufferUsages,
    ) -> Result<(), Error> {
        if self.len == 0 {
            return Err(Error::Empty { what: what() });
        }
        let element = self.format.bytes();
        if !self.offset.is_multiple_of(element) {
            return Err(Error::Unaligned { what: what(), offset: self.offset, element });
        }
        let end = u128::from(self.offset) + u128::from(self.len) * u128::from(element);
        let size = self.buffer.size();
        if end > u128::from(size) {
            return Err(Error::PastEnd { what: what(), end, size });
        }
        if end.next_multiple_of(WORD.into()) > u128::from(size) {
            return Err(Error::HalfWord { what: what(), size });
        }
        if !self.buffer.usage().contains(needs) {
            return Err(Error::MissingUsage { what: what(), usage: self.buffer.usage(), needs });
        }
        Ok(())
    }
}

//! A receiver's bytes to fixes: framing, reading and assembling in a row, with their counters.

use super::epoch::Assembler;
use super::fix::Fix;
use super::framing::{Counters, Frame, Framer};

/// Push decoder for one receiver's byte stream. Make a new one whenever the stream is interrupted.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    framer: Framer,
    assembler: Assembler,
}

impl Decoder {
    /// A decoder that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes and hands every epoch they complete to `on_fix`, in order.
    pub fn push(&mut self, bytes: &[u8], on_fix: impl FnMut(Fix)) {
        self.push_with(bytes, |_| {}, on_fix);
    }

    /// The same, and shows every frame to `on_frame` first.
    pub(super) fn push_with(
        &mut self,
        bytes: &[u8],
        mut on_frame: impl FnMut(&Frame<'_>),
        mut on_fix: impl FnMut(Fix),
    ) {
        let assembler = &mut self.assembler;
        self.framer.push(bytes, |frame| {
            on_frame(&frame);
            assembler.push(&frame, &mut on_fix);
        });
    }

    /// The stream has ended: what is complete is handed out, the last epoch too.
    pub fn finish(&mut self, mut on_fix: impl FnMut(Fix)) {
        let assembler = &mut self.assembler;
        self.framer
            .finish(|frame| assembler.push(&frame, &mut on_fix));
        assembler.finish(&mut on_fix);
    }

    /// What the line carried so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.framer.counters()
    }

    /// Sentences with a correct checksum and a known formatter that could not be read.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.assembler.refused()
    }
}

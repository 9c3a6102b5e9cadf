//! The kept output of one stream: its head and its tail, in bounded memory.
//!
//! Offsets count from the first byte of the stream. The head holds the bytes `0..head.len()`; the ring
//! holds the newest bytes after the head. What lies between them is gone, and offsets tell so.

use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::rc::Rc;

/// The ring never stays smaller than this: it is also the read buffer. It grows to it lazily.
const SMALLEST_RING: usize = 128 << 10;
const FIRST_HEAD: usize = 4 << 10;
const FIRST_RING: usize = 16 << 10;

/// Memory of all logs together.
pub struct Budget {
    used: Cell<usize>,
    limit: usize,
}

impl Budget {
    pub fn new(limit: usize) -> Rc<Budget> {
        Rc::new(Budget {
            used: Cell::new(0),
            limit,
        })
    }

    /// Nearly used up.
    pub fn is_short(&self) -> bool {
        self.used.get() > self.limit / 4 * 3
    }

    pub fn has_recovered(&self) -> bool {
        self.used.get() <= self.limit / 2
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = self.used.get() + bytes <= self.limit;
        if fits {
            self.used.set(self.used.get() + bytes);
        }
        fits
    }

    fn take_anyway(&self, bytes: usize) {
        self.used.set(self.used.get() + bytes);
    }

    fn give_back(&self, bytes: usize) {
        self.used.set(self.used.get() - bytes);
    }
}

pub struct Log {
    keep: usize,
    head: Vec<u8>,
    /// No more is added to the head: it is full, or the budget is.
    head_closed: bool,
    ring: Vec<u8>,
    total: u64,
    budget: Rc<Budget>,
    accounted: usize,
}

impl Log {
    pub fn new(keep: usize, budget: Rc<Budget>) -> Log {
        Log {
            keep,
            head: Vec::new(),
            head_closed: false,
            ring: Vec::new(),
            total: 0,
            budget,
            accounted: 0,
        }
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// How much may come in without overwriting what a reader at `cursor` has not seen.
    pub fn room_for(&self, cursor: u64) -> usize {
        if !self.head_closed {
            return self.keep - self.head.len();
        }
        let unread = self.total - cursor.max(self.head.len() as u64).min(self.total);
        // While it may still grow a full ring is no obstacle: growing keeps the content.
        let size = if self.may_grow() {
            self.ring_goal()
        } else {
            self.ring.len().max(FIRST_RING)
        };
        // The first ring is granted whatever the budget says: a reader must get on.
        size.saturating_sub(unread as usize)
    }

    /// Reads once into the log, at most `limit` bytes, without a copy.
    pub fn fill(
        &mut self,
        limit: usize,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if !self.head_closed && self.grow_head() {
            let old = self.head.len();
            let end = self.head.capacity().min(self.keep).min(old + limit);
            self.head.resize(end, 0);
            let outcome = read(&mut [IoSliceMut::new(&mut self.head[old..])]);
            let count = *outcome.as_ref().unwrap_or(&0);
            self.head.truncate(old + count);
            self.head_closed = self.head.len() == self.keep;
            self.total += count as u64;
            return outcome;
        }
        if self.ring_used() == self.ring.len() {
            self.grow_ring();
        }
        let (size, used) = (self.ring.len(), self.ring_used());
        let at = self.ring_position();
        let (front, back) = self.ring.split_at_mut(at);
        let first = back.len().min(limit);
        // Until the ring has been full once its front may hold what a reader has not seen.
        let second = if used < size {
            0
        } else {
            front.len().min(limit - first)
        };
        let outcome = read(&mut [
            IoSliceMut::new(&mut back[..first]),
            IoSliceMut::new(&mut front[..second]),
        ]);
        self.total += *outcome.as_ref().unwrap_or(&0) as u64;
        outcome
    }

    /// The kept bytes from `offset` on, as far as they lie in one piece, with their true offset. None
    /// when there is nothing (yet).
    pub fn read(&self, offset: u64) -> Option<(u64, &[u8])> {
        if offset < self.head.len() as u64 {
            return Some((offset, &self.head[offset as usize..]));
        }
        let offset = offset.max(self.ring_start());
        if offset >= self.total {
            return None;
        }
        let at = ((offset - self.head.len() as u64) % self.ring.len() as u64) as usize;
        let length = ((self.total - offset) as usize).min(self.ring.len() - at);
        Some((offset, &self.ring[at..at + length]))
    }

    /// The part of the head from `offset` on.
    pub fn head(&self, offset: u64) -> &[u8] {
        &self.head[self.head.len().min(offset.min(usize::MAX as u64) as usize)..]
    }

    /// The last `keep` bytes after the head, from `offset` on.
    pub fn tail(&self, offset: u64) -> Vec<u8> {
        let kept = self.total.saturating_sub(self.keep as u64);
        self.since(offset.max(kept).max(self.ring_start()))
    }

    /// Everything from `offset` on, where all of it is still kept.
    pub fn since(&self, offset: u64) -> Vec<u8> {
        let mut at = offset;
        let mut data = Vec::with_capacity(self.total.saturating_sub(at) as usize);
        while let Some((from, piece)) = self.read(at) {
            data.extend_from_slice(piece);
            at = from + piece.len() as u64;
        }
        data
    }

    /// No more is coming: gives up all memory beyond what is kept.
    pub fn settle(&mut self) {
        let tail = self.tail(0);
        self.keep_only(tail);
    }

    /// From now on it keeps no more than `keep` bytes of each end.
    pub fn shrink(&mut self, keep: usize) {
        if keep >= self.keep {
            return;
        }
        self.keep = keep;
        // Nothing is missing from here on.
        let whole = match self.ring_start() {
            start if start == self.head.len() as u64 => 0,
            start => start,
        };
        let after_head = self.head.len().min(keep) as u64;
        let kept = self.total.saturating_sub(keep as u64);
        let tail = self.since(after_head.max(kept).max(whole));
        self.head.truncate(keep);
        self.keep_only(tail);
    }

    fn keep_only(&mut self, tail: Vec<u8>) {
        self.head.shrink_to_fit();
        self.head_closed = true;
        // A ring of exactly the tail's length whose content is in order from the tail's offset on.
        self.ring = tail;
        if !self.ring.is_empty() {
            let at = self.ring_position();
            self.ring.rotate_right(at);
        }
        self.account();
    }

    fn ring_used(&self) -> usize {
        ((self.total - self.head.len() as u64) as usize).min(self.ring.len())
    }

    fn ring_start(&self) -> u64 {
        self.total - self.ring_used() as u64
    }

    fn ring_position(&self) -> usize {
        match self.ring.len() as u64 {
            0 => 0,
            size => ((self.total - self.head.len() as u64) % size) as usize,
        }
    }

    fn ring_goal(&self) -> usize {
        self.keep.max(SMALLEST_RING)
    }

    fn may_grow(&self) -> bool {
        let fits = |bytes| self.budget.used.get() + bytes <= self.budget.limit;
        self.ring.len() < self.ring_goal() && fits(self.ring_goal() - self.ring.len())
    }

    /// False when the head takes no more.
    fn grow_head(&mut self) -> bool {
        if self.head.len() < self.head.capacity() {
            return true;
        }
        let size = (self.head.len() * 4).max(FIRST_HEAD).min(self.keep);
        let more = size - self.head.len();
        if self.head.is_empty() {
            self.budget.take_anyway(more);
        } else if !self.budget.take(more) {
            self.head_closed = true;
            return false;
        }
        self.accounted += more;
        self.head.reserve_exact(more);
        true
    }

    fn grow_ring(&mut self) {
        let old = self.ring.len();
        let size = (old * 4).max(FIRST_RING).min(self.ring_goal());
        let more = size - old;
        if more == 0 {
            return;
        }
        if old == 0 {
            self.budget.take_anyway(more);
        } else if !self.budget.take(more) {
            return;
        }
        self.accounted += more;
        // The new ring is addressed by another modulus: put every byte where it belongs now.
        let start = self.ring_start();
        let mut ring = vec![0; size];
        let mut at = start;
        while let Some((from, piece)) = self.read_ring(at) {
            for (index, byte) in piece.iter().enumerate() {
                let place = (from - self.head.len() as u64) as usize + index;
                ring[place % size] = *byte;
            }
            at = from + piece.len() as u64;
        }
        self.ring = ring;
    }

    fn read_ring(&self, offset: u64) -> Option<(u64, &[u8])> {
        self.read(offset.max(self.head.len() as u64))
    }

    fn account(&mut self) {
        self.budget.give_back(self.accounted);
        self.accounted = self.head.capacity() + self.ring.capacity();
        self.budget.take_anyway(self.accounted);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.budget.give_back(self.accounted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fill_once(log: &mut Log, mut data: &[u8]) -> usize {
        let limit = data.len();
        let read = |slices: &mut [IoSliceMut<'_>]| {
            let mut count = 0;
            for slice in slices {
                let part = slice.len().min(data.len());
                slice[..part].copy_from_slice(&data[..part]);
                data = &data[part..];
                count += part;
            }
            Ok(count)
        };
        log.fill(limit, read).unwrap()
    }

    fn push(log: &mut Log, mut data: &[u8]) {
        while !data.is_empty() {
            let count = fill_once(log, data);
            data = &data[count..];
        }
    }

    fn byte(offset: u64) -> u8 {
        (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    fn stream(from: u64, length: usize) -> Vec<u8> {
        (from..from + length as u64).map(byte).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn head_and_tail_are_those_of_the_stream(
            keep in 1usize..300_000,
            writes in proptest::collection::vec(1usize..200_000, 0..8),
            limit in prop_oneof![Just(usize::MAX), 0usize..400_000],
            settle: bool,
        ) {
            let budget = Budget::new(limit);
            let mut log = Log::new(keep, budget.clone());
            let mut total = 0;
            for write in writes {
                push(&mut log, &stream(total, write));
                total += write as u64;
            }
            if settle {
                log.settle();
            }
            prop_assert_eq!(log.total(), total);
            let head = log.head(0).to_vec();
            let tail = log.tail(0);
            prop_assert_eq!(&head, &stream(0, head.len()));
            prop_assert_eq!(&tail, &stream(total - tail.len() as u64, tail.len()));
            if limit == usize::MAX {
                let wanted = (keep as u64).min(total);
                prop_assert_eq!(head.len() as u64, wanted);
                prop_assert_eq!(tail.len() as u64, (total - wanted).min(keep as u64));
            }
            // Every offset reads as the stream, or skips to what is kept.
            let mut at = 0;
            while let Some((from, piece)) = log.read(at) {
                prop_assert!(from >= at);
                prop_assert_eq!(piece, &stream(from, piece.len())[..]);
                at = from + piece.len() as u64;
            }
            prop_assert_eq!(at, total);
            drop(log);
            prop_assert_eq!(budget.used.get(), 0);
        }

        #[test]
        fn what_is_shrunk_keeps_less_of_both_ends_and_goes_on(
            keep in 1usize..300_000,
            less in 1usize..20_000,
            first in 0usize..600_000,
            second in 0usize..300_000,
            settle: bool,
        ) {
            let budget = Budget::new(usize::MAX);
            let mut log = Log::new(keep, budget.clone());
            push(&mut log, &stream(0, first));
            if settle {
                log.settle();
            }
            log.shrink(less);
            let kept = keep.min(less);
            prop_assert_eq!(log.head(0), &stream(0, first.min(kept))[..]);
            let rest = (first - first.min(kept)).min(kept);
            prop_assert_eq!(log.tail(0), stream((first - rest) as u64, rest));
            push(&mut log, &stream(first as u64, second));
            let total = (first + second) as u64;
            let tail = log.tail(0);
            prop_assert_eq!(&tail, &stream(total - tail.len() as u64, tail.len()));
            log.settle();
            if less < keep {
                prop_assert!(budget.used.get() <= 2 * less.max(FIRST_HEAD));
            }
        }

        #[test]
        fn a_reader_with_room_loses_nothing(
            keep in 1usize..100_000,
            steps in proptest::collection::vec((1usize..90_000, 0usize..100_000), 1..40),
            limit in prop_oneof![Just(usize::MAX), 0usize..200_000],
        ) {
            let mut log = Log::new(keep, Budget::new(limit));
            let (mut total, mut cursor) = (0u64, 0u64);
            for (write, read) in steps {
                let mut write = write;
                // Room is asked for before every read, as the supervisor does.
                while write.min(log.room_for(cursor)) > 0 {
                    let part = write.min(log.room_for(cursor));
                    let data = stream(total, part);
                    let count = fill_once(&mut log, &data);
                    total += count as u64;
                    write -= count;
                }
                let mut left = read;
                while left > 0 {
                    let Some((from, piece)) = log.read(cursor) else { break };
                    prop_assert_eq!(from, cursor);
                    let part = piece.len().min(left);
                    prop_assert_eq!(&piece[..part], &stream(from, part)[..]);
                    cursor += part as u64;
                    left -= part;
                }
            }
            // A reader that has caught up always leaves room.
            prop_assert!(log.room_for(total) > 0 || log.read(total).is_some());
        }
    }
}

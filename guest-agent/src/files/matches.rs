//! Collects matches into responses.

use std::io;

use bytes::Bytes;
use grep_matcher::Matcher;
use grep_regex::RegexMatcher;
use grep_searcher::{Searcher, Sink as LineSink, SinkContext, SinkContextKind, SinkMatch};

use super::produce::{gone, Sink};
use crate::gen::{SearchMatch, SearchResponse};
use crate::grpc::Status;

const LINE_BYTES: usize = 1024;
const BATCH: usize = 100;
const BATCH_BYTES: usize = 256 << 10;

/// What was found so far; sent in batches.
pub struct Found<'a> {
    sink: &'a Sink<SearchResponse>,
    left: usize,
    truncated: bool,
    batch: Vec<SearchMatch>,
    bytes: usize,
}

impl<'a> Found<'a> {
    pub fn new(sink: &'a Sink<SearchResponse>, limit: usize) -> Found<'a> {
        Found {
            sink,
            left: limit,
            truncated: false,
            batch: Vec::new(),
            bytes: 0,
        }
    }

    pub fn is_gone(&self) -> bool {
        self.sink.is_gone()
    }

    pub fn check(&self) -> Result<(), Status> {
        if self.is_gone() {
            Err(gone())
        } else {
            Ok(())
        }
    }

    /// False when no more is wanted.
    pub fn add(&mut self, found: SearchMatch) -> Result<bool, Status> {
        if self.left == 0 {
            self.truncated = true;
            return Ok(false);
        }
        self.left -= 1;
        let context = found
            .before
            .iter()
            .chain(&found.after)
            .map(Bytes::len)
            .sum::<usize>();
        self.bytes += found.path.len() + found.text.len() + context + 64;
        self.batch.push(found);
        if self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES {
            self.flush(false)?;
        }
        Ok(true)
    }

    pub fn finish(mut self) -> Result<(), Status> {
        if self.truncated || !self.batch.is_empty() {
            let truncated = self.truncated;
            self.flush(truncated)?;
        }
        Ok(())
    }

    fn flush(&mut self, truncated: bool) -> Result<(), Status> {
        self.bytes = 0;
        self.sink.put(SearchResponse {
            matches: std::mem::take(&mut self.batch),
            truncated,
        })
    }
}

/// The matches of one file. A match is complete only once its context after it has been seen.
pub struct Collector<'a, 'b> {
    found: &'a mut Found<'b>,
    matcher: &'a RegexMatcher,
    path: Bytes,
    context: usize,
    before: Vec<Bytes>,
    pending: Vec<SearchMatch>,
    outcome: Result<bool, Status>,
}

impl<'a, 'b> Collector<'a, 'b> {
    pub fn new(
        found: &'a mut Found<'b>,
        matcher: &'a RegexMatcher,
        path: Bytes,
        context: usize,
    ) -> Collector<'a, 'b> {
        Collector {
            found,
            matcher,
            path,
            context,
            before: Vec::new(),
            pending: Vec::new(),
            outcome: Ok(true),
        }
    }

    /// False when no more is wanted from any file.
    pub fn finish(mut self) -> Result<bool, Status> {
        self.release(usize::MAX);
        self.outcome
    }

    /// A line follows those that wait for their context.
    fn line_after(&mut self, text: &Bytes) {
        for pending in &mut self.pending {
            if pending.after.len() < self.context {
                pending.after.push(text.clone());
            }
        }
        let full = |found: &SearchMatch| found.after.len() >= self.context;
        let done = self.pending.iter().take_while(|found| full(found)).count();
        self.release(done);
    }

    fn release(&mut self, count: usize) {
        let count = count.min(self.pending.len());
        for found in self.pending.drain(..count) {
            if matches!(self.outcome, Ok(true)) {
                self.outcome = self.found.add(found);
            }
        }
    }

    fn wants_more(&self) -> bool {
        matches!(self.outcome, Ok(true)) && !self.found.is_gone()
    }
}

impl LineSink for Collector<'_, '_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, line: &SinkMatch<'_>) -> io::Result<bool> {
        let text = cut(line.bytes());
        self.line_after(&text);
        let (start, end) = match self.matcher.find(line.bytes()) {
            Ok(Some(place)) => (place.start(), place.end()),
            _ => (0, 0),
        };
        let before = self
            .before
            .split_off(self.before.len().saturating_sub(self.context));
        self.before.clear();
        if self.context > 0 {
            // The line is context of the next match too, if that is near.
            self.before.extend(before.iter().cloned());
            self.before.push(text.clone());
        }
        self.pending.push(SearchMatch {
            path: self.path.clone(),
            line: line.line_number().unwrap_or(0),
            start: start.min(text.len()) as u32,
            end: end.min(text.len()) as u32,
            text,
            before,
            after: Vec::new(),
        });
        if self.context == 0 {
            self.release(usize::MAX);
        }
        Ok(self.wants_more())
    }

    fn context(&mut self, _: &Searcher, line: &SinkContext<'_>) -> io::Result<bool> {
        let text = cut(line.bytes());
        if *line.kind() != SinkContextKind::Before {
            self.line_after(&text);
        }
        self.before.push(text);
        Ok(self.wants_more())
    }

    fn context_break(&mut self, _: &Searcher) -> io::Result<bool> {
        self.release(usize::MAX);
        self.before.clear();
        Ok(self.wants_more())
    }
}

/// Without its end, and not too long.
fn cut(line: &[u8]) -> Bytes {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Bytes::copy_from_slice(&line[..line.len().min(LINE_BYTES)])
}

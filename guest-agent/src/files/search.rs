//! Search: file names and lines.

use std::path::Path;

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use ignore::{DirEntry, Walk, WalkBuilder};

use super::globs::overrides;
use super::matches::{Collector, Found};
use super::path::{absolute, to_bytes};
use super::produce::{gone, produce, Sink};
use crate::gen::{SearchMatch, SearchRequest, SearchResponse};
use crate::grpc::{Outgoing, Status};

const DEFAULT_RESULTS: u32 = 1000;
const MOST_RESULTS: u32 = 100_000;
const MOST_CONTEXT: u32 = 20;
const PATTERN_BYTES: usize = 64 << 10;
/// Bounds what one regular expression may cost in memory.
const REGEX_BYTES: usize = 8 << 20;
/// A line without an end is not collected beyond this.
const HEAP_BYTES: usize = 8 << 20;

pub async fn search(
    request: SearchRequest,
    outgoing: Outgoing<SearchResponse>,
) -> Result<(), Status> {
    let path = absolute(&request.path)?;
    if request.context > MOST_CONTEXT {
        return Err(Status::invalid("context is more than 20"));
    }
    if request.max_results > MOST_RESULTS {
        return Err(Status::invalid("max_results is more than 100000"));
    }
    if request.pattern.len() > PATTERN_BYTES {
        return Err(Status::invalid("pattern is longer than 64 KiB"));
    }
    produce(&outgoing, move |sink| run(&path, &request, sink)).await
}

fn run(root: &Path, request: &SearchRequest, sink: &Sink<SearchResponse>) -> Result<(), Status> {
    std::fs::metadata(root)
        .map_err(|error| Status::from_io(&root.display().to_string(), &error))?;
    let limit = match request.max_results {
        0 => DEFAULT_RESULTS,
        limit => limit,
    };
    let mut found = Found::new(sink, limit as usize);
    let walk = walk(root, request)?;
    if request.pattern.is_empty() {
        names(walk, &mut found)?;
    } else {
        lines(walk, request, &mut found)?;
    }
    found.finish()
}

fn walk(root: &Path, request: &SearchRequest) -> Result<Walk, Status> {
    Ok(WalkBuilder::new(root)
        .standard_filters(!request.all_files)
        .require_git(false)
        .overrides(overrides(root, &request.include, &request.exclude)?)
        .sort_by_file_name(|a, b| a.cmp(b))
        .build())
}

fn names(walk: Walk, found: &mut Found<'_>) -> Result<(), Status> {
    for entry in walk.flatten().filter(is_file) {
        found.check()?;
        let path = to_bytes(entry.path());
        if !found.add(SearchMatch {
            path,
            ..Default::default()
        })? {
            break;
        }
    }
    Ok(())
}

fn lines(walk: Walk, request: &SearchRequest, found: &mut Found<'_>) -> Result<(), Status> {
    let matcher = matcher(request)?;
    let mut searcher = searcher(request.context as usize);
    for entry in walk.flatten().filter(is_file) {
        found.check()?;
        let mut collector = Collector::new(
            found,
            &matcher,
            to_bytes(entry.path()),
            request.context as usize,
        );
        // A file that cannot be read, or is binary, has no matches.
        let _ = searcher.search_path(&matcher, entry.path(), &mut collector);
        if !collector.finish()? {
            break;
        }
    }
    if found.is_gone() {
        return Err(gone());
    }
    Ok(())
}

fn is_file(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_file())
}

fn matcher(request: &SearchRequest) -> Result<RegexMatcher, Status> {
    RegexMatcherBuilder::new()
        .case_insensitive(request.ignore_case)
        .fixed_strings(request.literal)
        .line_terminator(Some(b'\n'))
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .build(&request.pattern)
        .map_err(|error| Status::invalid(format!("bad pattern: {error}")).with("bad_pattern"))
}

fn searcher(context: usize) -> Searcher {
    SearcherBuilder::new()
        .line_number(true)
        .before_context(context)
        .after_context(context)
        .heap_limit(Some(HEAP_BYTES))
        .binary_detection(BinaryDetection::quit(0))
        .build()
}

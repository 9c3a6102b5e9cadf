//! gitignore-style globs of a request.

use std::path::Path;

use ignore::overrides::{Override, OverrideBuilder};

use crate::grpc::Status;

const PATTERNS: usize = 1000;

/// Includes and excludes below `root`. Without includes everything that is not excluded matches.
pub fn overrides(root: &Path, include: &[String], exclude: &[String]) -> Result<Override, Status> {
    if include.len() + exclude.len() > PATTERNS {
        return Err(Status::invalid("more than 1000 globs"));
    }
    let mut builder = OverrideBuilder::new(root);
    let bad = |error: ignore::Error| Status::invalid(format!("bad glob: {error}"));
    for glob in include {
        builder.add(glob).map_err(bad)?;
    }
    for glob in exclude {
        builder.add(&format!("!{glob}")).map_err(bad)?;
    }
    builder.build().map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(include: &[&str], exclude: &[&str], path: &str, is_dir: bool) -> bool {
        let list = |globs: &[&str]| globs.iter().map(ToString::to_string).collect::<Vec<_>>();
        let overrides = overrides(Path::new("/r"), &list(include), &list(exclude)).unwrap();
        overrides
            .matched(Path::new("/r").join(path), is_dir)
            .is_ignore()
    }

    #[test]
    fn excludes_win_and_includes_limit() {
        assert!(ignored(&[], &["node_modules"], "a/node_modules", true));
        assert!(!ignored(&[], &["/node_modules"], "a/node_modules", true));
        assert!(!ignored(&["*.rs"], &[], "a/b.rs", false));
        assert!(ignored(&["*.rs"], &[], "a/b.c", false));
        assert!(ignored(&["*.rs"], &["target"], "target", true));
    }

    #[test]
    fn a_glob_that_cannot_be_is_an_error() {
        assert!(overrides(Path::new("/"), &["a[".into()], &[]).is_err());
    }
}

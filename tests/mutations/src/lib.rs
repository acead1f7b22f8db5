//! Mutations of the real code: the checks must notice each of them, or they would not notice a mistake.
//!
//! - [`catalogue`]: the 27 mutations of the protocol, each a patch, and the checks that must catch it.
//! - [`tree`]: a copy of the code that patches are made to; the code itself is never touched.
//! - [`check`]: building a checker of the copy, running it, and reading its verdict.
//! - [`catch`]: one mutation after the other.
//! - [`survivors`]: mutations that cargo-mutants makes by rote to the two pure crates, and what is said of those that
//!   no test notices.
//!
//! Not here: what the checks look for. The model and the simulator know nothing of mutations.

pub mod catalogue;
pub mod catch;
pub mod check;
pub mod survivors;
pub mod tree;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where the repository is.
///
/// # Errors
/// When it isn't there any more.
pub fn root() -> Result<PathBuf> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    root.canonicalize().with_context(|| format!("find {}", root.display()))
}

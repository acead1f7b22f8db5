//! Inputs that are worth keeping: what libFuzzer found to take another way through a door, and what once broke one.
//!
//! `corpus/<door>` holds those of one door: a length of four bytes, little endian, then the input, and again. An input that
//! broke something is a file of its own, `regressions/<door>/<what it broke>`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Door;

/// Where both are.
const HOUSE: &str = env!("CARGO_MANIFEST_DIR");

/// The file with the inputs of a door.
#[must_use]
pub fn path(door: &Door) -> PathBuf {
    Path::new(HOUSE).join("corpus").join(door.name)
}

/// Everything that is kept for a door, with the name of what it broke, if it did.
///
/// # Errors
/// When a file can't be read, or is no corpus.
pub fn kept(door: &Door) -> io::Result<Vec<(Option<String>, Vec<u8>)>> {
    let path = path(door);
    let packed = fs::read(&path).map_err(|error| named(&path, &error))?;
    let whole = unpacked(&packed).ok_or_else(|| named(&path, &"its end is missing"))?;
    let mut kept: Vec<_> = whole.into_iter().map(|input| (None, input)).collect();
    let broke = Path::new(HOUSE).join("regressions").join(door.name);
    if broke.is_dir() {
        for entry in fs::read_dir(&broke)? {
            let entry = entry?;
            let reason = entry.file_name().to_string_lossy().into_owned();
            kept.push((Some(reason), fs::read(entry.path())?));
        }
    }
    Ok(kept)
}

fn named(path: &Path, error: &impl ToString) -> io::Error {
    io::Error::other(format!("{}: {}", path.display(), error.to_string()))
}

/// Inputs as one file: each once, short ones first.
#[must_use]
pub fn packed(mut inputs: Vec<Vec<u8>>) -> Vec<u8> {
    inputs.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    inputs.dedup();
    let mut packed = Vec::new();
    for input in inputs {
        // No door takes inputs of gigabytes; one that is as long would be cut, and then told by `unpacked`.
        packed.extend_from_slice(&u32::try_from(input.len()).unwrap_or(u32::MAX).to_le_bytes());
        packed.extend_from_slice(&input);
    }
    packed
}

/// The inputs of a file; `None` if its end is missing.
#[must_use]
pub fn unpacked(mut packed: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut inputs = Vec::new();
    while !packed.is_empty() {
        let (length, rest) = packed.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (input, rest) = rest.split_at_checked(length)?;
        inputs.push(input.to_vec());
        packed = rest;
    }
    Some(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_once_and_in_order() {
        let inputs = vec![vec![1, 2], vec![], vec![3], vec![1, 2]];
        let packed = packed(inputs);
        assert_eq!(unpacked(&packed), Some(vec![vec![], vec![3], vec![1, 2]]));
        assert_eq!(unpacked(&packed[..packed.len() - 1]), None);
        assert_eq!(unpacked(&[]), Some(vec![]));
    }
}

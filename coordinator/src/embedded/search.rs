//! Where a nats-server may be, and whether it is new enough.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::Error;
use crate::journal::jetstream::is_supported;

const VARIABLE: &str = "SQUALL_NATS_SERVER";
const BINARY: &str = "nats-server";

/// The nats-server to use: `$SQUALL_NATS_SERVER`, else the first one beside this program, in `.tools` of the current
/// folder, or on the path.
///
/// # Errors
/// [`Error::NoFile`] for a variable that leads nowhere, [`Error::NotFound`] if there is none.
pub fn find() -> Result<PathBuf, Error> {
    let program = env::current_exe().unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    choose(env::var_os(VARIABLE), program.parent(), &path)
}

fn choose(named: Option<OsString>, beside: Option<&Path>, path: &OsStr) -> Result<PathBuf, Error> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        return if named.is_file() { Ok(named) } else { Err(Error::NoFile(named)) };
    }
    let beside = beside.map(Path::to_owned);
    let folders = beside.into_iter().chain([PathBuf::from(".tools")]).chain(env::split_paths(path));
    let found = folders.map(|folder| folder.join(BINARY)).find(|file| file.is_file());
    let found = found.ok_or(Error::NotFound)?;
    // It is started in another folder than this one.
    std::path::absolute(&found).map_err(|source| Error::Start { binary: found, source })
}

/// Refuses a server that is too old before it meets a configuration that it can't read.
pub(super) async fn check_version(binary: &Path) -> Result<(), Error> {
    let output = Command::new(binary).arg("--version").output().await;
    let output = output.map_err(|error| unknown(binary, error.to_string()))?;
    supported(binary, String::from_utf8_lossy(&output.stdout).trim())
}

/// Reads `nats-server: v2.15.1`.
fn supported(binary: &Path, said: &str) -> Result<(), Error> {
    match said.rsplit_once(' ') {
        Some((_, version)) if is_supported(version) => Ok(()),
        Some((_, version)) if version.starts_with('v') => {
            Err(Error::TooOld { binary: binary.to_owned(), version: version.to_owned() })
        }
        Some(_) | None => Err(unknown(binary, format!("it says {said:?}"))),
    }
}

fn unknown(binary: &Path, why: String) -> Error {
    Error::Unknown { binary: binary.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::super::folder::Folder;
    use super::*;

    fn server(folder: &Path) -> PathBuf {
        let file = folder.join(BINARY);
        std::fs::write(&file, "").unwrap();
        file
    }

    #[test]
    fn the_variable_comes_first_then_what_lies_beside_us_then_the_path() {
        let (beside, path) = (Folder::open(None).unwrap(), Folder::open(None).unwrap());
        let choose = |named: Option<&Path>| {
            choose(named.map(Into::into), Some(beside.path()), path.path().as_os_str())
        };
        let on_path = server(path.path());
        assert_eq!(choose(None).unwrap(), on_path);
        let beside_us = server(beside.path());
        assert_eq!(choose(None).unwrap(), beside_us);
        assert_eq!(choose(Some(&on_path)).unwrap(), on_path);
        let nowhere = path.path().join("nowhere");
        assert!(matches!(choose(Some(&nowhere)), Err(Error::NoFile(named)) if named == nowhere));
    }

    #[test]
    fn where_there_is_none_the_error_says_so() {
        assert!(matches!(choose(None, None, OsStr::new("")), Err(Error::NotFound)));
    }

    #[test]
    fn a_server_that_is_too_old_is_refused() {
        let said = |said| supported(Path::new("here"), said);
        let refused = said("nats-server: v2.9.10").unwrap_err();
        assert!(
            matches!(&refused, Error::TooOld { version, .. } if version == "v2.9.10"),
            "{refused}"
        );
        said("nats-server: v2.12.0").unwrap();
        for strange in ["", "hello", "hello there"] {
            assert!(matches!(said(strange), Err(Error::Unknown { .. })), "{strange:?}");
        }
    }
}

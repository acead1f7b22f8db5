//! Where a nats-server may be, and whether it is new enough.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::Error;
use crate::journal::jetstream::is_supported;

const VARIABLE: &str = "SQUALL_NATS_SERVER";
const BINARY: &str = "nats-server";
/// Where `make tools` puts it, in the repository.
const TOOLS: &str = ".tools";

/// The nats-server to use: `$SQUALL_NATS_SERVER`, else the first one of [`Places::folders`].
///
/// # Errors
/// [`Error::NoFile`] for a variable that leads nowhere, [`Error::NotFound`] if there is none.
pub fn find() -> Result<PathBuf, Error> {
    let places = Places {
        program: env::current_exe().unwrap_or_default(),
        path: env::var_os("PATH").unwrap_or_default().into(),
        folder: env::current_dir().unwrap_or_default(),
    };
    places.choose(env::var_os(VARIABLE))
}

/// Where a server may be.
#[derive(Clone, Debug, Default)]
struct Places {
    /// This program.
    program: PathBuf,
    /// `$PATH`.
    path: PathBuf,
    /// The current folder.
    folder: PathBuf,
}

impl Places {
    fn choose(self, named: Option<OsString>) -> Result<PathBuf, Error> {
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            let named = PathBuf::from(named);
            return if named.is_file() { Ok(named) } else { Err(Error::NoFile(named)) };
        }
        let found = self.folders().map(|folder| folder.join(BINARY)).find(|file| file.is_file());
        let Some(found) = found else {
            let Self { program, path, folder } = self;
            return Err(Error::NotFound { program, path, folder });
        };
        // It is started in another folder than this one.
        std::path::absolute(&found).map_err(|source| Error::Start { binary: found, source })
    }

    /// Best first: what belongs to this program, by `make tools` if it was built in a repository; what belongs to this
    /// machine; and what the current folder's repository has. Whoever can write above the current folder shall not be
    /// asked before the path.
    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let tools = |folder: &Path| folder.join(TOOLS);
        let beside = self.program.parent().map(Path::to_owned);
        let program = self.program.ancestors().skip(1).map(tools);
        let path = env::split_paths(&self.path);
        beside.into_iter().chain(program).chain(path).chain(self.folder.ancestors().map(tools))
    }
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
    fn the_variable_comes_first_then_the_program_s_repository_the_path_and_the_current_one() {
        let room = Folder::open(None).unwrap();
        let [built, path, current] =
            ["built", "path", "current"].map(|name| room.path().join(name));
        let (program, folder) = (built.join("target/debug"), current.join("here"));
        let (built, current) = (built.join(TOOLS), current.join(TOOLS));
        for folder in [&program, &folder, &built, &current, &path] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let places = Places { program: program.join("squall"), path: path.clone(), folder };
        let choose = |named: Option<&Path>| places.clone().choose(named.map(Into::into));

        let of_the_current = server(&current);
        assert_eq!(choose(None).unwrap(), of_the_current);
        let on_path = server(&path);
        assert_eq!(choose(None).unwrap(), on_path);
        let of_the_program = server(&built);
        assert_eq!(choose(None).unwrap(), of_the_program);
        let beside = server(&program);
        assert_eq!(choose(None).unwrap(), beside);
        assert_eq!(choose(Some(&on_path)).unwrap(), on_path);
        let nowhere = room.path().join("nowhere");
        assert!(matches!(choose(Some(&nowhere)), Err(Error::NoFile(named)) if named == nowhere));
    }

    #[test]
    fn where_there_is_none_the_error_names_all_places() {
        let room = Folder::open(None).unwrap();
        let [program, path, folder] =
            ["program", "path", "current"].map(|name| room.path().join(name));
        let places = Places { program, path, folder };
        let error = places.clone().choose(None).unwrap_err().to_string();
        for place in [places.program, places.path, places.folder, VARIABLE.into()] {
            assert!(error.contains(&place.display().to_string()), "{error}");
        }
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

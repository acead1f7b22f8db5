//! The folder of a server's files: given and kept, or temporary and removed.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::Error;

/// Locked as long as a server uses the folder: two of them would ruin the store.
const LOCK: &str = "lock";
/// For the user alone: the log of sessions is in it.
const MODE: u32 = 0o700;

/// A folder that nobody else uses.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    is_temporary: bool,
    _lock: File,
}

impl Folder {
    /// Uses the folder `path`, made if it is missing; `None` makes a temporary one.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let is_temporary = path.is_none();
        let path = path.map_or_else(temporary, Path::to_owned);
        match lock(&path) {
            Ok(lock) => Ok(Self { path, is_temporary, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path)),
            Err(TryLockError::Error(source)) => Err(Error::Folder { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn temporary() -> PathBuf {
    std::env::temp_dir().join(format!("squall-dev-{}", Uuid::new_v4().simple()))
}

fn lock(path: &Path) -> Result<File, TryLockError> {
    let open = || -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(MODE).create(path)?;
        File::options().create(true).truncate(false).write(true).open(path.join(LOCK))
    };
    let file = open().map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            // What can't be removed is the system's to sweep, as everything in its temporary folder.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_goes_and_a_given_one_stays() {
        let temporary = Folder::open(None).unwrap();
        let given = temporary.path().join("a/b");
        drop(Folder::open(Some(&given)).unwrap());
        assert!(given.is_dir());
        let path = temporary.path().to_owned();
        drop(temporary);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_is_in_use_is_refused_and_free_again_afterwards() {
        let temporary = Folder::open(None).unwrap();
        let given = temporary.path().join("a");
        let first = Folder::open(Some(&given)).unwrap();
        assert!(matches!(Folder::open(Some(&given)), Err(Error::InUse(_))));
        drop(first);
        Folder::open(Some(&given)).unwrap();
    }

    #[test]
    fn a_folder_that_is_a_file_is_refused() {
        let temporary = Folder::open(None).unwrap();
        let file = temporary.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(Folder::open(Some(&file)), Err(Error::Folder { .. })));
    }
}

//! The folder of a server's files: given and kept, or temporary and removed.

use std::fs::{DirBuilder, DirEntry, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::Error;

/// Locked as long as a server uses the folder: two of them would ruin the store.
const LOCK: &str = "lock";
/// For the user alone: the log of sessions is in it.
const MODE: u32 = 0o700;
/// How temporary folders are called, before what is random.
const TEMPORARY: &str = "squall-dev-";
/// A temporary folder that is younger may be one whose owner is about to lock it.
const ORPHANED_AFTER: Duration = Duration::from_secs(60);

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
        if is_temporary {
            sweep(&std::env::temp_dir(), ORPHANED_AFTER);
        }
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
    std::env::temp_dir().join(format!("{TEMPORARY}{}", Uuid::new_v4().simple()))
}

/// Removes what those left behind who were killed: temporary folders that nobody has locked.
fn sweep(all: &Path, orphaned_after: Duration) {
    let Ok(folders) = std::fs::read_dir(all) else { return };
    for folder in folders.flatten() {
        let is_temporary =
            folder.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY));
        if is_temporary && is_orphaned(&folder, orphaned_after) {
            // What can't be removed belongs to somebody else.
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}

/// Whether nobody uses the folder, which is as good as certain: its owner locks it as long as it lives.
fn is_orphaned(folder: &DirEntry, after: Duration) -> bool {
    let age = folder.metadata().and_then(|folder| folder.modified());
    let is_old = age.ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age >= after);
    let lock = || File::options().write(true).open(folder.path().join(LOCK));
    is_old && lock().is_ok_and(|lock| lock.try_lock().is_ok())
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
            // What can't be removed now is swept by the next one.
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
    fn what_a_killed_server_left_behind_is_swept_and_nothing_else() {
        let all = Folder::open(None).unwrap();
        let named = |name: &str| all.path().join(name);
        let used = Folder::open(Some(&named("squall-dev-used"))).unwrap();
        drop(Folder::open(Some(&named("squall-dev-orphaned"))).unwrap());
        drop(Folder::open(Some(&named("other"))).unwrap());
        sweep(all.path(), ORPHANED_AFTER);
        assert!(named("squall-dev-orphaned").exists(), "a young folder was swept");
        sweep(all.path(), Duration::ZERO);
        assert!(!named("squall-dev-orphaned").exists());
        assert!(used.path().exists() && named("other").exists());
    }

    #[test]
    fn a_folder_that_is_a_file_is_refused() {
        let temporary = Folder::open(None).unwrap();
        let file = temporary.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(Folder::open(Some(&file)), Err(Error::Folder { .. })));
    }
}

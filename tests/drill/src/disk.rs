//! The servers' disks: small file systems in memory of their own, where the machine lets us mount some, so that one can be
//! full without harm to anybody else. They go with the drill.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Result;

/// Size of a disk: a hundred faults write some dozens of megabytes.
const DISK: &str = "size=256m";
/// What is written at once to fill one.
const PIECE_BYTES: usize = 1 << 20;
/// The file that fills a disk.
const BALLAST: &str = "ballast";

/// Gives each server a disk of its own in `stores`. Must be called before any thread is started. Says whether it could.
///
/// # Errors
/// When the folders can't be made.
pub(crate) fn mount(stores: &Path, servers: usize) -> Result<bool> {
    let apart = apart();
    for number in 0..servers {
        let disk = stores.join(format!("n{number}"));
        std::fs::create_dir_all(&disk)?;
        if apart.is_ok() && tmpfs(&disk).is_err() {
            return Ok(false);
        }
    }
    Ok(apart.is_ok())
}

/// Mounts of this process are seen by its children alone, and go with the last of them.
fn apart() -> io::Result<()> {
    // SAFETY: a plain system call; no other thread runs.
    called(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the path is a string that ends with zero, and the pointers that are null may be.
    called(unsafe {
        libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null())
    })
}

fn tmpfs(at: &Path) -> io::Result<()> {
    let at = CString::new(at.as_os_str().as_encoded_bytes())?;
    let options = CString::new(DISK)?;
    let kind = c"tmpfs".as_ptr();
    // SAFETY: all strings end with zero and live until the call returns.
    called(unsafe { libc::mount(kind, at.as_ptr(), kind, 0, options.as_ptr().cast()) })
}

/// Takes the disks away, so that their folders can go.
///
/// # Errors
/// When one can't be taken away.
pub(crate) fn unmount(stores: &Path, servers: usize) -> Result<()> {
    for number in 0..servers {
        let disk = stores.join(format!("n{number}"));
        let disk = CString::new(disk.as_os_str().as_encoded_bytes())?;
        // SAFETY: the path ends with zero and lives until the call returns.
        called(unsafe { libc::umount2(disk.as_ptr(), libc::MNT_DETACH) })?;
    }
    Ok(())
}

fn called(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Fills a server's disk to the last byte.
///
/// # Errors
/// When it fails for another reason than that it is full.
pub(crate) fn fill(stores: &Path, server: usize) -> Result<()> {
    let mut ballast = File::create(stores.join(format!("n{server}")).join(BALLAST))?;
    let mut piece = vec![0; PIECE_BYTES];
    while !piece.is_empty() {
        match ballast.write_all(&piece) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                // The last bytes are taken by ever smaller pieces.
                piece.truncate(piece.len() / 2);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Gives the room back.
///
/// # Errors
/// When it can't.
pub(crate) fn empty(stores: &Path, server: usize) -> Result<()> {
    Ok(std::fs::remove_file(stores.join(format!("n{server}")).join(BALLAST))?)
}

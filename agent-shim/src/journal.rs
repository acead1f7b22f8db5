//! The journal: a small file, mapped into memory, that outlives a crash of its process (docs/protocol.md, shim rule 6).
//!
//! Each session has a slot whose hot part is 32 bytes. A burn adds one to a counter there, before its fault is applied;
//! that is one atomic increment of shared memory, without a system call. After a crash the kernel still has the pages. The
//! next process finds which grants the dead one held and how many permits it burned, and closes them.
//!
//! What makes that safe:
//! - Only one life at a time has the file: it is locked, with `flock`, which ends with the descriptor that took it. (A
//!   POSIX lock ends when *any* descriptor of the file is closed in the process, by whatever library.) A forked child
//!   shares the lock and never writes; as long as one outlives its parent, nobody closes the parent's grants and no other
//!   life can have the file. Those permits stay spent, which is the safe side.
//! - The bound doesn't rest on the lock. Who takes the file writes his life into it, and *then* reads what was burned; who
//!   burns counts the burn, and *then* looks whose life it is. So a burn is in what the successor closes, or its fault
//!   isn't applied.
//! - After a crash of the *machine* the file may be older than what was burned. So it names the boot, and is void in
//!   another one. Then the permits stay spent, as they do without a journal.
//! - A slot counts only if its checksum fits, and is marked empty while it is written.
//!
//! A slot is never given to another session in the same process: who still burns can't write into a stranger's.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use squall_proto::vocabulary::id::{Incarnation, SessionId, SessionKey, TenantId};
use squall_proto::vocabulary::limits::{GRANT_PERMITS_MAX, TOKEN_BYTES_MAX};
use squall_proto::vocabulary::message::{Close, GrantRef};
use squall_shim_core::journal::{self, BurnLog, Lost};

/// Sessions that one process can write down in its life. Later ones go without.
const SLOTS: usize = 63;
/// A slot: 32 bytes that change, and the session's names.
const SLOT_BYTES: usize = 256;
/// The header has the place of one slot.
const FILE_BYTES: usize = (SLOTS + 1) * SLOT_BYTES;
/// What a journal begins with; the last byte is the version of its layout.
const MAGIC: u64 = u64::from_le_bytes(*b"squall\0\x01");

// The header: magic, boot, incarnation.
const BOOT_AT: usize = 8;
const LIFE_AT: usize = 24;
// A slot: state, used, permits, unused, request number, checksum; then the names.
const STATE_AT: usize = 0;
const USED_AT: usize = 4;
const PERMITS_AT: usize = 8;
const REQ_NO_AT: usize = 16;
const CHECK_AT: usize = 24;
const TENANT_AT: usize = 32;
const SESSION_AT: usize = TENANT_AT + 8 + TOKEN_BYTES_MAX;

const EMPTY: u32 = 0;
const OPEN: u32 = 1;

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    map: Arc<Map>,
    life: Incarnation,
    slots: Mutex<BTreeMap<SessionKey, usize>>,
    /// Whether it was told that another life took the file. Every session meets that; once is enough.
    told: Arc<AtomicBool>,
    /// Holds the lock.
    _lock: File,
}

/// Shared memory, and nothing but atomics in it.
#[derive(Debug)]
struct Map(NonNull<u8>);

// SAFETY: the memory is only reached through atomics.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped with this length by `Map::of`, and nobody has a reference into it any more.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), FILE_BYTES) };
    }
}

impl Map {
    fn of(file: &File) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses; the file has this length.
        let memory = unsafe {
            mmap(std::ptr::null_mut(), FILE_BYTES, protection, MapFlags::SHARED, file, 0)
        }?;
        NonNull::new(memory.cast()).map(Self).ok_or_else(|| io::Error::other("mapped at 0"))
    }

    fn u32(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= FILE_BYTES);
        // SAFETY: inside the mapping and aligned; every access to it is atomic.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr().add(at).cast()) }
    }

    fn u64(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= FILE_BYTES);
        // SAFETY: inside the mapping and aligned; every access to it is atomic.
        unsafe { AtomicU64::from_ptr(self.0.as_ptr().add(at).cast()) }
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        for (n, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.u64(at + n * 8).store(u64::from_le_bytes(word), Ordering::SeqCst);
        }
    }

    fn read(&self, at: usize, length: usize) -> Vec<u8> {
        let words = (0..length.div_ceil(8)).map(|n| self.u64(at + n * 8).load(Ordering::SeqCst));
        let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        bytes.truncate(length);
        bytes
    }

    /// A length, and as many bytes of text.
    fn write_token(&self, at: usize, token: &str) {
        self.u64(at).store(token.len() as u64, Ordering::Relaxed);
        self.write(at + 8, token.as_bytes());
    }

    fn read_token(&self, at: usize) -> Option<String> {
        let length = usize::try_from(self.u64(at).load(Ordering::Relaxed)).ok()?;
        (length <= TOKEN_BYTES_MAX).then(|| String::from_utf8(self.read(at + 8, length)).ok())?
    }

    fn life(&self) -> Incarnation {
        Incarnation(self.read(LIFE_AT, 16).try_into().unwrap_or_default())
    }

    /// Makes the file `life`'s, and returns what the life before it owes. In this order: see the module.
    fn take(&self, boot: [u8; 16], life: Incarnation) -> Vec<Close> {
        let is_known =
            self.u64(0).load(Ordering::Relaxed) == MAGIC && self.read(BOOT_AT, 16) == boot;
        let before = self.life();
        self.write(LIFE_AT, &life.0);
        let slots = 0..if is_known { SLOTS } else { 0 };
        let owed = slots.filter_map(|slot| self.owed(slot, before)).collect();
        for slot in 0..SLOTS {
            self.u32(Self::start_of(slot)).store(EMPTY, Ordering::SeqCst);
        }
        self.write(0, &MAGIC.to_le_bytes());
        self.write(BOOT_AT, &boot);
        owed
    }

    fn start_of(slot: usize) -> usize {
        (slot + 1) * SLOT_BYTES
    }

    /// What a slot of this life says, or `None` if it says nothing that can be relied on.
    fn owed(&self, slot: usize, life: Incarnation) -> Option<Close> {
        let at = Self::start_of(slot);
        if self.u32(at + STATE_AT).load(Ordering::Acquire) != OPEN {
            return None;
        }
        let session = SessionKey {
            tenant: TenantId::new(self.read_token(at + TENANT_AT)?).ok()?,
            session: SessionId::new(self.read_token(at + SESSION_AT)?).ok()?,
        };
        let permits = self.u32(at + PERMITS_AT).load(Ordering::Relaxed);
        let req_no = self.u64(at + REQ_NO_AT).load(Ordering::Relaxed);
        let check = checksum(life, &session, req_no, permits);
        if self.u64(at + CHECK_AT).load(Ordering::Relaxed) != check {
            return None;
        }
        if !(1..=GRANT_PERMITS_MAX).contains(&permits) || req_no == 0 {
            // No grant is like that. A Close of one could not be read, and would be sent for ever.
            return None;
        }
        let used = self.u32(at + USED_AT).load(Ordering::SeqCst).min(permits);
        let grant = GrantRef { session, req_no };
        Some(Close { incarnation: life, grant, used })
    }

    fn begin(
        &self,
        slot: usize,
        life: Incarnation,
        session: &SessionKey,
        req_no: u64,
        permits: u32,
    ) {
        let at = Self::start_of(slot);
        self.u32(at + STATE_AT).store(EMPTY, Ordering::SeqCst);
        self.u32(at + USED_AT).store(0, Ordering::Relaxed);
        self.u32(at + PERMITS_AT).store(permits, Ordering::Relaxed);
        self.u64(at + REQ_NO_AT).store(req_no, Ordering::Relaxed);
        self.write_token(at + TENANT_AT, session.tenant.as_str());
        self.write_token(at + SESSION_AT, session.session.as_str());
        let check = checksum(life, session, req_no, permits);
        self.u64(at + CHECK_AT).store(check, Ordering::Relaxed);
        self.u32(at + STATE_AT).store(OPEN, Ordering::SeqCst);
    }
}

impl Journal {
    /// Takes the file at `path` for this process's `life`. Returns what the dead process before it owes.
    ///
    /// # Errors
    /// When the file can't be used, or another process has it.
    pub(crate) fn open(path: &Path, life: Incarnation) -> io::Result<(Arc<Self>, Vec<Close>)> {
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(locked)?;
        let boot = boot_id()?;
        if lock.metadata()?.len() != FILE_BYTES as u64 {
            // Nothing of another length is a journal: nothing in it is believed. Written, since a hole in a mapped file is filled
            // only when it is touched, and on a full disk that ends the process.
            lock.set_len(0)?;
            (&lock).write_all(&[0; FILE_BYTES])?;
        }
        let map = Map::of(&lock)?;
        let owed = map.take(boot, life);
        let (map, slots, told) = (Arc::new(map), Mutex::default(), Arc::default());
        Ok((Arc::new(Self { map, life, slots, told, _lock: lock }), owed))
    }

    /// Whether no other life has taken the file.
    fn is_ours(&self) -> bool {
        self.map.life() == self.life
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<SessionKey, usize>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl journal::Journal for Journal {
    fn open(&self, session: &SessionKey, req_no: u64, permits: u32) -> Option<Arc<dyn BurnLog>> {
        if !self.is_ours() {
            return None;
        }
        let mut slots = self.slots();
        let next = slots.len();
        let slot = match slots.get(session) {
            Some(slot) => *slot,
            None if next < SLOTS => *slots.entry(session.clone()).or_insert(next),
            None => return None,
        };
        self.map.begin(slot, self.life, session, req_no, permits);
        let (map, told) = (Arc::clone(&self.map), Arc::clone(&self.told));
        Some(Arc::new(Slot { map, life: self.life, slot, told }))
    }

    fn settled(&self, session: &SessionKey, req_no: u64) {
        if let Some(slot) = self.slots().get(session).filter(|_| self.is_ours()) {
            let at = Map::start_of(*slot);
            if self.map.u64(at + REQ_NO_AT).load(Ordering::Relaxed) == req_no {
                self.map.u32(at + STATE_AT).store(EMPTY, Ordering::SeqCst);
            }
        }
    }
}

#[derive(Debug)]
struct Slot {
    map: Arc<Map>,
    life: Incarnation,
    slot: usize,
    told: Arc<AtomicBool>,
}

impl BurnLog for Slot {
    fn burned(&self) -> Result<(), Lost> {
        let used = self.map.u32(Map::start_of(self.slot) + USED_AT);
        used.fetch_add(1, Ordering::SeqCst);
        if self.map.life() == self.life {
            return Ok(());
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!("another process took the journal; the grants of this one burn no more");
        }
        Err(Lost)
    }
}

fn locked(error: Errno) -> io::Error {
    if error == Errno::WOULDBLOCK {
        let whose =
            "another process has it, a forked child of the last one, or another handle here";
        return io::Error::new(io::ErrorKind::ResourceBusy, whose);
    }
    error.into()
}

/// Another one after each start of the machine.
fn boot_id() -> io::Result<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let life: Incarnation =
        text.trim().replace('-', "").parse().map_err(|_| io::Error::other("no boot id"))?;
    Ok(life.0)
}

/// FNV-1a over everything in a slot that does not change while it is open. Against torn writes, not against people.
fn checksum(life: Incarnation, session: &SessionKey, req_no: u64, permits: u32) -> u64 {
    let SessionKey { tenant, session } = session;
    let names = [tenant.as_str().as_bytes(), b".", session.as_str().as_bytes()];
    let numbers: [&[u8]; 2] = [&req_no.to_le_bytes(), &permits.to_le_bytes()];
    let parts = std::iter::once(life.0.as_slice()).chain(names).chain(numbers);
    parts.flatten().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;

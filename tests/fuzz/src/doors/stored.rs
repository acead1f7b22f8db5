//! Records of the log, snapshots, and a shim's journal.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, memfd_create};
use squall::journal::{Snapshot, codec};
use squall::replica::snapshot;
use squall_domain::world::Entry;
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::{Incarnation, TenantId};
use squall_proto::vocabulary::message::Request;
use squall_proto::wire;

use super::cast;

/// Length of a shim's journal; a file of another one is none.
const JOURNAL_BYTES: usize = 64 * 256;

pub(super) fn record(bytes: &[u8]) {
    let subject = Subject::SessionLog { session: cast::session(0) };
    let Ok(entry) = codec::decode(&subject, bytes) else { return };
    let Entry::Session(_, record) = &entry else { panic!("{subject} holds {entry:?}") };
    // A longer record than was read could not be written; it would have to be told, never cut.
    let Ok(again) = codec::encode_session(record) else { return };
    assert_eq!(codec::decode(&subject, &again), Ok(entry));
}

pub(super) fn lever(bytes: &[u8]) {
    let subject = Subject::LeverLog { scope: TenantId::fleet() };
    let Ok(entry) = codec::decode(&subject, bytes) else { return };
    let Entry::Lever(_, record) = &entry else { panic!("{subject} holds {entry:?}") };
    let Ok(again) = codec::encode_lever(record) else { return };
    assert_eq!(codec::decode(&subject, &again), Ok(entry));
}

/// A snapshot begins with the sequence up to which it holds the log; whoever keeps it says the same.
pub(super) fn snapshot(bytes: &[u8]) {
    let Ok((sequence, _)) = postcard::take_from_bytes::<u64>(bytes) else { return };
    let write = |(world, archive)| snapshot::of(&world, &archive).expect("it can be written");
    let Snapshot { format, .. } = write(Default::default());
    let kept = Snapshot { sequence, format, bytes: Bytes::copy_from_slice(bytes) };
    let Ok(read) = snapshot::read(&kept) else { return };
    // Compared as bytes: a number of a specification may be none, and equal to nothing.
    let again = write(read);
    assert_eq!(snapshot::read(&again).map(write).as_ref(), Ok(&again));
}

thread_local! {
    /// A file that is nowhere but in this process, and the id of this boot of the machine.
    static SCRATCH: (File, [u8; 16]) = {
        let file = memfd_create("journal", MemfdFlags::CLOEXEC).expect("a file in memory");
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux says it");
        let boot: Incarnation = boot.trim().replace('-', "").parse().expect("a UUID");
        (file.into(), boot.0)
    };
}

/// The file that a dead process left behind. Mostly it has the right length and is of this boot, else nothing in it counts.
pub(super) fn journal(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    SCRATCH.with(|(file, boot)| {
        let mut left = bytes.to_vec();
        if kind % 4 != 3 {
            left.resize(JOURNAL_BYTES, 0);
            left[8..24].copy_from_slice(boot);
        }
        file.set_len(left.len() as u64).expect("a file in memory takes any length");
        file.write_all_at(&left, 0).expect("a file in memory can be written");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let owed = |life| squall_shim::doors::journal(path.as_ref(), cast::incarnation(life));
        for close in owed(0xee).expect("any file can be taken over") {
            let request = Request::Close(close);
            let read = wire::decode_request(&wire::encode_request(&request));
            assert_eq!(read, Ok(request), "nobody could read what is owed");
        }
        assert_eq!(owed(0xef).expect("it is free again"), [], "it is owed twice");
    });
}

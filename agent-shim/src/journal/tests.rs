//! The file as the next life finds it, and as two lives that meet there do.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use squall_shim_core::journal::Journal as _;

use super::*;

const FIRST: Incarnation = Incarnation([1; 16]);
const SECOND: Incarnation = Incarnation([2; 16]);

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("squall-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key(name: &str) -> SessionKey {
    let (tenant, session) = (TenantId::new("acme").unwrap(), SessionId::new(name).unwrap());
    SessionKey { tenant, session }
}

fn owed(name: &str, req_no: u64, used: u32) -> Close {
    let grant = GrantRef { session: key(name), req_no };
    Close { incarnation: FIRST, grant, used }
}

#[test]
fn the_next_process_owes_what_the_dead_one_held() {
    let folder = Folder::new("owes");
    let (journal, before) = Journal::open(&folder.journal(), FIRST).unwrap();
    assert_eq!(before, []);
    let burns = journal.open(&key("s"), 4, 10).unwrap();
    burns.burned().unwrap();
    burns.burned().unwrap();
    journal.open(&key("t"), 9, 3).unwrap();
    drop((burns, journal));
    let (_, owes) = Journal::open(&folder.journal(), SECOND).unwrap();
    assert_eq!(owes, [owed("s", 4, 2), owed("t", 9, 0)]);
}

#[test]
fn a_grant_that_nobody_can_have_issued_is_not_owed() {
    let folder = Folder::new("impossible");
    let (journal, _) = Journal::open(&folder.journal(), FIRST).unwrap();
    journal.open(&key("none"), 1, 0).unwrap();
    journal.open(&key("many"), 1, GRANT_PERMITS_MAX + 1).unwrap();
    journal.open(&key("unasked"), 0, 1).unwrap();
    journal.open(&key("most"), 1, GRANT_PERMITS_MAX).unwrap();
    drop(journal);
    let (_, owes) = Journal::open(&folder.journal(), SECOND).unwrap();
    assert_eq!(owes, [owed("most", 1, 0)]);
}

#[test]
fn what_was_settled_is_not_owed_and_a_slot_is_used_again_by_its_session() {
    let folder = Folder::new("settled");
    let (journal, _) = Journal::open(&folder.journal(), FIRST).unwrap();
    journal.open(&key("s"), 4, 10).unwrap().burned().unwrap();
    journal.settled(&key("s"), 4);
    journal.open(&key("t"), 1, 1).unwrap();
    journal.settled(&key("t"), 99);
    journal.open(&key("s"), 5, 10).unwrap();
    drop(journal);
    let (_, owes) = Journal::open(&folder.journal(), SECOND).unwrap();
    assert_eq!(owes, [owed("s", 5, 0), owed("t", 1, 0)]);
}

#[test]
fn nothing_is_owed_after_the_machine_started_again() {
    let folder = Folder::new("boot");
    let (journal, _) = Journal::open(&folder.journal(), FIRST).unwrap();
    journal.open(&key("s"), 4, 10).unwrap();
    journal.map.write(BOOT_AT, &[0xee; 16]);
    drop(journal);
    assert_eq!(Journal::open(&folder.journal(), SECOND).unwrap().1, []);
}

#[test]
fn a_slot_that_was_torn_is_not_believed() {
    let folder = Folder::new("torn");
    let (journal, _) = Journal::open(&folder.journal(), FIRST).unwrap();
    journal.open(&key("s"), 4, 10).unwrap();
    journal.map.u64(Map::start_of(0) + REQ_NO_AT).store(5, Ordering::SeqCst);
    drop(journal);
    assert_eq!(Journal::open(&folder.journal(), SECOND).unwrap().1, []);
}

#[test]
fn any_file_can_be_there_before() {
    let folder = Folder::new("garbage");
    for bytes in [vec![], vec![0xff; 10], vec![0xff; FILE_BYTES], vec![1; 3 * FILE_BYTES]] {
        std::fs::write(folder.journal(), bytes).unwrap();
        assert_eq!(Journal::open(&folder.journal(), SECOND).unwrap().1, []);
    }
}

#[test]
fn a_journal_has_one_owner_at_a_time() {
    let folder = Folder::new("owner");
    let first = Journal::open(&folder.journal(), FIRST).unwrap();
    let refused = Journal::open(&folder.journal(), SECOND).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ResourceBusy);
    drop(first);
    assert!(Journal::open(&folder.journal(), SECOND).is_ok());
}

/// A POSIX lock ends when any descriptor of the file is closed in its process.
#[test]
fn the_lock_outlives_a_second_handle_that_is_refused_and_any_reader_of_the_file() {
    let folder = Folder::new("lock");
    let first = Journal::open(&folder.journal(), FIRST).unwrap();
    let inode = std::fs::metadata(folder.journal()).unwrap().ino();
    let is_locked = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains(&format!(":{inode} ")))
    };
    assert!(is_locked());
    assert!(Journal::open(&folder.journal(), SECOND).is_err());
    assert!(is_locked(), "the first handle still burns");
    std::fs::read(folder.journal()).unwrap();
    assert!(is_locked(), "the first handle still burns");
    drop(first);
    assert!(!is_locked());
}

/// What no lock can rule out, on whatever file system.
#[test]
fn a_life_that_lost_its_journal_burns_no_more_and_leaves_it_alone() {
    let folder = Folder::new("lost");
    let (journal, _) = Journal::open(&folder.journal(), FIRST).unwrap();
    let burns = journal.open(&key("s"), 4, 10).unwrap();
    burns.burned().unwrap();
    let file = OpenOptions::new().read(true).write(true).open(folder.journal()).unwrap();
    let successor = Map::of(&file).unwrap();
    assert_eq!(successor.take(boot_id().unwrap(), SECOND), [owed("s", 4, 1)]);
    assert_eq!(burns.burned(), Err(Lost));
    assert!(journal.open(&key("s"), 5, 10).is_none());
    successor.begin(0, SECOND, &key("t"), 4, 10);
    journal.settled(&key("s"), 4);
    assert_eq!(successor.owed(0, SECOND).unwrap().grant.session, key("t"));
}

#[test]
fn no_burn_is_both_applied_and_given_back_when_the_journal_is_taken_meanwhile() {
    let folder = Folder::new("race");
    for round in 1..=800 {
        let (journal, _) = Journal::open(&folder.journal(), FIRST).unwrap();
        let burns = journal.open(&key("s"), round, GRANT_PERMITS_MAX).unwrap();
        let started = std::sync::Barrier::new(2);
        let (closed, applied) = std::thread::scope(|scope| {
            let burner = scope.spawn(|| {
                started.wait();
                (0..GRANT_PERMITS_MAX).take_while(|_| burns.burned().is_ok()).count()
            });
            let file = OpenOptions::new().read(true).write(true).open(folder.journal()).unwrap();
            let successor = Map::of(&file).unwrap();
            started.wait();
            let closed = successor.take(boot_id().unwrap(), SECOND)[0].used;
            (closed as usize, burner.join().unwrap())
        });
        assert!(applied <= closed, "{applied} burns were applied, {closed} were closed as used");
    }
}

#[test]
fn more_sessions_than_there_is_room_for_go_without() {
    let folder = Folder::new("room");
    let (journal, _) = Journal::open(&folder.journal(), FIRST).unwrap();
    let open = |n: usize| journal.open(&key(&format!("s{n}")), 1, 1).is_some();
    assert!((0..SLOTS).all(open));
    assert!(!open(SLOTS));
    assert!(open(0));
}

#[test]
fn names_of_any_length_fit() {
    let folder = Folder::new("names");
    let long = SessionKey {
        tenant: TenantId::new("t".repeat(TOKEN_BYTES_MAX)).unwrap(),
        session: SessionId::new("s".repeat(TOKEN_BYTES_MAX)).unwrap(),
    };
    let (journal, _) = Journal::open(&folder.journal(), FIRST).unwrap();
    journal.open(&long, 1, 1).unwrap().burned().unwrap();
    drop(journal);
    let (_, owes) = Journal::open(&folder.journal(), SECOND).unwrap();
    assert_eq!((owes[0].grant.session.clone(), owes[0].used), (long, 1));
}

/// Counts the warnings of its thread.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicU32>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_life_that_lost_its_journal_says_so_once() {
    let folder = Folder::new("told");
    let (journal, _) = Journal::open(&folder.journal(), FIRST).unwrap();
    let burns = ["s", "t"].map(|name| journal.open(&key(name), 4, 10).unwrap());
    // A warning that is given for the first time on a thread without a subscriber, in another test, is switched off for all
    // threads, unless it is known before the subscriber is made.
    let elsewhere = Folder::new("told_before");
    let (lost, _) = Journal::open(&elsewhere.journal(), FIRST).unwrap();
    let burn = lost.open(&key("s"), 4, 10).unwrap();
    lost.map.take(boot_id().unwrap(), SECOND);
    assert_eq!(burn.burned(), Err(Lost));
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        burns[0].burned().unwrap();
        assert_eq!(warnings.0.load(Ordering::SeqCst), 0);
        journal.map.take(boot_id().unwrap(), SECOND);
        for burn in burns.iter().chain(&burns) {
            assert_eq!(burn.burned(), Err(Lost));
        }
    });
    assert_eq!(warnings.0.load(Ordering::SeqCst), 1);
}

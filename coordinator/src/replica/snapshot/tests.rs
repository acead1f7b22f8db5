//! The layout of snapshots, pinned: `golden/format-<FORMAT>.golden` is one fold's snapshot and is never edited.
//!
//! A changed layout or fold gets another format and another file: raise [`FORMAT`], delete the old file, and run the tests
//! with `SQUALL_WRITE_GOLDEN=1`, which writes the file that is missing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use squall_domain::event::{
    AbortCause, BoundScope, CommandKind, CommandRef, DrainReason, Ending, Event, Hash, LeverEvent,
    ProofKind, Record, Recorded, Totals,
};
use squall_domain::lever::Scope;
use squall_domain::session::Phase;
use squall_domain::world::Entry;
use squall_proto::vocabulary::counts::{Counts, TraceCounts};
use squall_proto::vocabulary::id::{AppendId, Holder, Incarnation, SessionKey};
use squall_proto::vocabulary::message::{CountRow, Evidence, GrantScope, TraceRow};
use squall_proto::vocabulary::session::SessionDraft;
use squall_proto::vocabulary::time::UnixMillis;

use super::*;

#[test]
fn the_layout_and_the_fold_are_those_of_the_format() {
    let (world, archive) = fold();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/replica/golden");
    let file = file.join(format!("format-{FORMAT}.golden"));
    let snapshot = of(&world, &archive).unwrap();
    if !file.exists() && std::env::var_os("SQUALL_WRITE_GOLDEN").is_some() {
        std::fs::write(&file, &snapshot.bytes).unwrap();
    }
    let golden = std::fs::read(&file).unwrap_or_else(|error| {
        panic!("{}: {error}; SQUALL_WRITE_GOLDEN=1 writes it", file.display())
    });
    assert!(
        snapshot.bytes == golden,
        "the layout of snapshots or the fold is another one than format {FORMAT} had: raise FORMAT in \
         replica/snapshot.rs, delete {}, and write the new one with SQUALL_WRITE_GOLDEN=1",
        file.display()
    );
    assert_eq!(read(&Snapshot { bytes: golden.into(), ..snapshot }), Ok((world, archive)));
}

/// What is pinned is worth something only if it holds a bit of everything.
#[test]
fn the_fold_that_pins_the_layout_holds_every_phase() {
    let (world, archive) = fold();
    for phase in [
        Phase::Draft,
        Phase::Running,
        Phase::Paused,
        Phase::Draining,
        Phase::Completed,
        Phase::Exhausted,
        Phase::Aborted,
        Phase::LogDamaged,
    ] {
        assert!(world.sessions().any(|session| session.phase == phase), "none is {phase:?}");
    }
    let sessions = || world.sessions();
    assert!(sessions().any(|session| session.ledger.open_grants().count() > 0));
    assert!(sessions().any(|session| session.stop.as_ref().is_some_and(|s| s.proof.is_some())));
    assert!(sessions().any(|session| session.abort_to_record().is_some()));
    assert!(world.levers().any(|(_, lever)| lever.engaged.is_some()));
    assert!(world.levers().any(|(_, lever)| lever.engaged.is_none()));
    assert_eq!((world.orphans, archive.samples_lost()), (1, 3));
}

#[test]
fn another_format_or_damage_leaves_the_snapshot_aside_and_says_why() {
    let (world, archive) = fold();
    let snapshot = of(&world, &archive).unwrap();
    let newer = Snapshot { format: FORMAT + 1, ..snapshot.clone() };
    assert!(read(&newer).unwrap_err().contains("format"));
    let elsewhere = Snapshot { sequence: snapshot.sequence + 1, ..snapshot.clone() };
    assert!(read(&elsewhere).unwrap_err().contains("ends at record"));
    for end in 0..snapshot.bytes.len() {
        let torn = Snapshot { bytes: snapshot.bytes.slice(..end), ..snapshot.clone() };
        assert!(read(&torn).is_err(), "{end} bytes of {} were enough", snapshot.bytes.len());
    }
}

/// A log in the making, with its fold.
#[derive(Default)]
struct Log {
    world: World,
}

impl Log {
    fn apply(&mut self, entry: &Entry) {
        let sequence = self.world.applied + 1;
        let mut hash = Hash::default();
        hash[..8].copy_from_slice(&sequence.to_le_bytes());
        self.world.apply(sequence, self.now(), entry, hash);
    }

    /// A second passes between two records.
    fn now(&self) -> UnixMillis {
        UnixMillis(1_795_300_000_123 + 1000 * self.world.applied)
    }

    fn record<E>(&self, previous: Hash, totals: Totals, event: E) -> Record<E> {
        let append = AppendId(u128::from(self.world.applied + 1).to_be_bytes());
        let events =
            vec![Recorded { command: Some(command(&format!("r-{}", self.world.applied))), event }];
        Record { append, at: self.now(), previous, totals, events }
    }

    /// Each event in a record of its own.
    fn session(&mut self, name: &str, events: impl IntoIterator<Item = Event>) {
        for event in std::iter::once(created()).chain(events) {
            let folded = self.world.session(&key(name)).cloned();
            let previous = folded.as_ref().map(|session| session.head).unwrap_or_default();
            let mut record = self.record(previous, Totals::default(), event);
            if let Some(mut after) = folded {
                after.preview(&record);
                record.totals = after.ledger.totals();
            }
            self.apply(&Entry::Session(key(name), record));
        }
    }

    fn lever(&mut self, scope: &Scope, event: LeverEvent) {
        let previous = self.world.lever(scope).map(|lever| lever.head).unwrap_or_default();
        let record = self.record(previous, Totals::default(), event);
        self.apply(&Entry::Lever(scope.clone(), record));
    }
}

/// A log with a bit of everything, folded.
fn fold() -> (World, Archive) {
    let mut log = Log::default();
    let started = || Event::Started { shims: 3 };
    let drained = || Event::DrainBegan { why: DrainReason::Operator };
    let reason = || "drill".to_owned();
    log.session("halted", [started(), issued("a", 1, 2)]);
    log.lever(&Scope::Fleet, LeverEvent::Engaged { reason: reason() });
    log.lever(&Scope::Fleet, LeverEvent::Released { reason: reason() });
    log.session("draft", []);
    let bound = BoundScope::Agent(parse("acme"), parse("planner"));
    log.session(
        "running",
        [
            started(),
            Event::ScopeBound { scope: bound },
            issued("a", 1, 5),
            Event::GrantClosed { holder: holder("a"), req_no: 1, used: 3 },
            issued("b", 7, 2),
            Event::GuardTripped { failed_downstream: 6, threshold: 5 },
        ],
    );
    log.session("paused", [started(), Event::Paused, Event::Resumed, Event::Paused]);
    log.session("draining", [started(), drained()]);
    let spent = Event::DrainBegan { why: DrainReason::Budget };
    log.session("spent", [started(), spent, Event::Ended { how: Ending::Exhausted }]);
    log.session("completed", [started(), drained(), Event::Ended { how: Ending::Completed }]);
    log.session("exhausted", [started(), Event::Ended { how: Ending::Exhausted }]);
    log.session("aborted", [started(), issued("a", 1, 1)].into_iter().chain(stop()));
    log.session("damaged", [started(), Event::LogDamaged { why: reason() }]);
    log.apply(&Entry::Unreadable(key("nobody"), reason()));
    log.lever(&Scope::Tenant(parse("globex")), LeverEvent::Engaged { reason: reason() });
    log.apply(&Entry::Other);
    let evidence = evidence(&log.world);
    (log.world, evidence)
}

fn stop() -> [Event; 3] {
    let last_injection_ago = Some(Duration::from_millis(1_250));
    [
        Event::Aborted { reason: "wrong tenant".to_owned(), cause: AbortCause::Operator },
        Event::InertConfirmed { holder: holder("a"), used: 1, last_injection_ago },
        Event::StopProven { by: ProofKind::Time, out_of_contact: vec![holder("b")] },
    ]
}

/// Three applied as the ledger has it, and a claim of more.
fn evidence(world: &World) -> Archive {
    let mut archive = Archive::default();
    archive.sequence = 9;
    let row = |experiment: &str, applied| CountRow {
        session: key("running"),
        experiment: parse(experiment),
        agent: parse("planner"),
        counts: Counts { seen: 100, applied, ..Counts::default() },
    };
    let rows = vec![row("fixed", 3), row("codes", 2), row("unknown", 0)];
    let counts = TraceCounts { failed_downstream: 2, ..TraceCounts::default() };
    let traces = vec![TraceRow { session: key("running"), counts }];
    let Holder { tenant, shim, incarnation } = holder("a");
    let evidence = Evidence { incarnation, rows, traces, samples: Vec::new(), samples_lost: 3 };
    archive.intake(&tenant, &shim, evidence, |key| world.session(key));
    archive
}

fn created() -> Event {
    let draft: SessionDraft =
        serde_json::from_str(include_str!("../../journal/codec/spec.json")).unwrap();
    Event::Created { spec: Arc::new(draft.validate().unwrap()), seed: 11, digest: [7; 32] }
}

fn issued(shim: &str, req_no: u64, permits: u32) -> Event {
    let scope = GrantScope {
        agent: Some(parse("planner")),
        trace: Some(parse("t-1")),
        request: Some(u64::MAX),
    };
    let (agent, trace) = (parse("planner"), Some(parse("t-1")));
    Event::GrantIssued { holder: holder(shim), req_no, permits, scope, agent, trace }
}

fn holder(shim: &str) -> Holder {
    Holder { tenant: parse("acme"), shim: parse(shim), incarnation: Incarnation([0xfe; 16]) }
}

fn command(request: &str) -> CommandRef {
    CommandRef {
        request: parse(request),
        actor: parse("ada@example.org"),
        kind: CommandKind::Create,
    }
}

fn key(session: &str) -> SessionKey {
    SessionKey { tenant: parse("acme"), session: parse(session) }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

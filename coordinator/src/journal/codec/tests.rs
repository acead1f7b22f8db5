//! Stored records, forever: each file in `golden/` is a record that some version wrote, and is never edited.
//!
//! A new event or a new format gets new files: run the tests with `SQUALL_WRITE_GOLDEN=1`, which writes those that are
//! missing and touches none that is there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_domain::event::{
    AbortCause, BoundScope, DrainReason, Ending, ProofKind, Recorded, Totals,
};
use squall_domain::lever::Engaged;
use squall_proto::vocabulary::id::{Actor, AppendId, Incarnation, SessionKey, TenantId};
use squall_proto::vocabulary::message::GrantScope;
use squall_proto::vocabulary::session::{SessionDraft, SessionSpec};
use squall_proto::vocabulary::time::UnixMillis;

use super::*;

#[test]
fn every_event_ever_stored_is_read_as_what_it_was() {
    for (name, record) in session_records() {
        let read = decode(&session_subject(), &golden(&name)).unwrap();
        assert_eq!(read, Entry::Session(session_key(), record), "{name}");
    }
    for (name, record) in lever_records() {
        let read = decode(&lever_subject("acme"), &golden(&name)).unwrap();
        assert_eq!(read, Entry::Lever(Scope::Tenant(parse("acme")), record), "{name}");
    }
}

#[test]
fn events_are_stored_as_they_always_were() {
    for (name, record) in session_records() {
        assert_eq!(encode_session(&record).unwrap(), golden(&name), "{name}");
    }
    for (name, record) in lever_records() {
        assert_eq!(encode_lever(&record).unwrap(), golden(&name), "{name}");
    }
}

#[test]
fn every_golden_file_is_of_a_record_that_is_tested() {
    let tested: BTreeSet<String> = session_records()
        .into_iter()
        .map(|(name, _)| name)
        .chain(lever_records().into_iter().map(|(name, _)| name))
        .map(|name| format!("{name}.golden"))
        .collect();
    let there: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, tested);
}

#[test]
fn a_record_of_a_newer_format_is_refused_and_says_so() {
    // Whatever else a newer format changes, its version is where it always was: here, nothing else can be read.
    let mut newer =
        v1::StoredSessionRecord { version: VERSION + 1, ..Default::default() }.encode_to_vec();
    newer.extend([0x10, 0x01]); // field 2 as a number, which this version knows as bytes
    for subject in [session_subject(), lever_subject("acme")] {
        let error = decode(&subject, &newer).unwrap_err();
        assert_eq!(error, Error::Newer { found: VERSION + 1 });
        assert!(error.to_string().contains("upgrade this one"), "{error}");
    }
}

#[test]
fn an_event_that_this_version_does_not_know_is_an_error() {
    let (_, record) = &session_records()[1];
    let stored = session::store(record);
    let mut event =
        v1::StoredSessionEvent { event: None, ..stored.events[0].clone() }.encode_to_vec();
    event.extend([0xa2, 0x06, 0x00]); // field 100, empty
    let mut bytes = v1::StoredSessionRecord { events: Vec::new(), ..stored }.encode_to_vec();
    bytes.extend([0x3a, u8::try_from(event.len()).unwrap()]); // field 7: an event
    bytes.extend(event);
    let error = decode(&session_subject(), &bytes).unwrap_err();
    assert!(matches!(error, Error::Field { field: "event", .. }), "{error}");
}

#[test]
fn numbers_that_this_version_does_not_know_are_errors_that_name_the_field() {
    let stored = |event: v1::stored_session_event::Event| {
        let mut record = session::store(&session_records()[1].1);
        record.events[0].event = Some(event);
        decode(&session_subject(), &record.encode_to_vec()).unwrap_err().to_string()
    };
    use v1::stored_session_event::Event::{Aborted, DrainBegan, Ended, StopProven};
    let error = stored(DrainBegan(v1::StoredDrainBegan { why: 9 }));
    assert!(error.contains("drain_began.why: is 9"), "{error}");
    let error = stored(Ended(v1::StoredEnded { how: 0 }));
    assert!(error.contains("ended.how: is 0"), "{error}");
    let error = stored(Aborted(v1::StoredAborted { cause: 9, ..Default::default() }));
    assert!(error.contains("aborted.cause: is 9"), "{error}");
    let error = stored(StopProven(v1::StoredStopProven { by: 9, ..Default::default() }));
    assert!(error.contains("stop_proven.by: is 9"), "{error}");
}

#[test]
fn what_is_no_record_is_an_error_and_never_a_panic() {
    let whole = golden(&session_records()[0].0);
    for end in 0..whole.len() {
        // Cut behind an event, it is a shorter record; anywhere else it is none.
        if let Ok(read) = decode(&session_subject(), &whole[..end]) {
            assert_ne!(read, Entry::Session(session_key(), session_records()[0].1.clone()));
        }
    }
    assert_eq!(
        decode(&session_subject(), b""),
        Err(Error::Malformed("it has no format".to_owned()))
    );
    assert!(decode(&session_subject(), b"hello").is_err());
}

#[test]
fn a_record_over_the_limit_is_not_written() {
    let (_, mut record) = session_records().remove(1);
    let why = "x".repeat(RECORD_BYTES_MAX);
    record.events = vec![Recorded { command: None, event: Event::LogDamaged { why } }];
    let error = encode_session(&record).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes } if bytes > RECORD_BYTES_MAX), "{error}");
}

#[test]
fn the_lever_over_all_tenants_is_told_from_that_of_one() {
    let (name, record) = lever_records().remove(0);
    let read = decode(&lever_subject(TenantId::FLEET), &golden(&name)).unwrap();
    assert_eq!(read, Entry::Lever(Scope::Fleet, record));
}

#[test]
fn subjects_that_the_fold_does_not_read_only_move_its_position() {
    let barrier = Subject::BarrierLog { replica: parse("r1") };
    assert_eq!(decode(&barrier, b"anything"), Ok(Entry::Other));
    assert!(decode(&Subject::Alive { replica: parse("r1") }, b"").is_err());
}

#[test]
fn the_chain_is_blake3_of_the_stored_bytes() {
    // The published test vector for no input.
    let empty = hash(b"").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(empty, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
}

/// One record of each kind of event, with its file's name, of the format that is written.
fn session_records() -> Vec<(String, Record<Event>)> {
    let mut records = Vec::new();
    let mut last = None;
    while let Some(event) = after(last.as_ref()) {
        records.extend(variants(&event).into_iter().map(|(suffix, event)| {
            let name = format!("v{VERSION}-session-{}{suffix}", event.kind());
            (name, record(vec![Recorded { command: command(), event }]))
        }));
        last = Some(event);
    }
    let (none, event) = (None, Event::Paused);
    let together = vec![
        Recorded { command: none, event: event.clone() },
        Recorded { command: command(), event: Event::Resumed },
    ];
    records.push((format!("v{VERSION}-session-several"), record(together)));
    records
}

/// The event after `last` in a walk through all kinds: a new kind fails to compile until it has its place, and so a file.
fn after(last: Option<&Event>) -> Option<Event> {
    let Some(last) = last else {
        return Some(Event::Created {
            spec: Arc::new(spec()),
            seed: u64::MAX - 1,
            digest: [7; 32],
        });
    };
    Some(match last {
        Event::Created { .. } => Event::Started { shims: 3 },
        Event::Started { .. } => Event::Paused,
        Event::Paused => Event::Resumed,
        Event::Resumed => Event::DrainBegan { why: DrainReason::Operator },
        Event::DrainBegan { .. } => Event::Ended { how: Ending::Completed },
        Event::Ended { .. } => {
            Event::ScopeBound { scope: BoundScope::Agent(parse("acme"), parse("Größe 7")) }
        }
        Event::ScopeBound { .. } => Event::GrantIssued {
            holder: holder(),
            req_no: 300,
            permits: 256,
            scope: GrantScope {
                agent: Some(parse("planner")),
                trace: Some(parse("t-1")),
                request: Some(u64::MAX),
            },
            agent: parse("planner"),
            trace: Some(parse("t-1")),
        },
        Event::GrantIssued { .. } => Event::GrantClosed { holder: holder(), req_no: 300, used: 17 },
        Event::GrantClosed { .. } => {
            Event::Aborted { reason: "wrong tenant".to_owned(), cause: AbortCause::Operator }
        }
        Event::Aborted { .. } => Event::InertConfirmed {
            holder: holder(),
            used: 17,
            last_injection_ago: Some(Duration::from_millis(1_250)),
        },
        Event::InertConfirmed { .. } => {
            Event::StopProven { by: ProofKind::Confirmations, out_of_contact: Vec::new() }
        }
        Event::StopProven { .. } => Event::GuardTripped { failed_downstream: 6, threshold: 5 },
        Event::GuardTripped { .. } => Event::LogDamaged { why: "a record is missing".to_owned() },
        Event::LogDamaged { .. } => return None,
    })
}

/// `event`, and the same kind with every other choice inside it.
fn variants(event: &Event) -> Vec<(&'static str, Event)> {
    let others = match event {
        Event::DrainBegan { .. } => {
            vec![
                ("-duration", Event::DrainBegan { why: DrainReason::Duration }),
                ("-budget", Event::DrainBegan { why: DrainReason::Budget }),
            ]
        }
        Event::Ended { .. } => vec![
            ("-exhausted", Event::Ended { how: Ending::Exhausted }),
            ("-expired", Event::Ended { how: Ending::Expired }),
        ],
        Event::ScopeBound { .. } => vec![
            ("-trace", Event::ScopeBound { scope: BoundScope::Trace(parse("acme"), parse("t-1")) }),
            ("-request", Event::ScopeBound { scope: BoundScope::Request(parse("acme"), 0) }),
        ],
        Event::GrantIssued { .. } => vec![(
            "-unscoped",
            Event::GrantIssued {
                holder: holder(),
                req_no: 1,
                permits: 1,
                scope: GrantScope::default(),
                agent: parse("planner"),
                trace: None,
            },
        )],
        Event::Aborted { .. } => [
            ("-lever", AbortCause::Lever(77)),
            ("-cascade", AbortCause::Cascade),
            ("-reported", AbortCause::Reported),
        ]
        .map(|(suffix, cause)| (suffix, Event::Aborted { reason: String::new(), cause }))
        .to_vec(),
        Event::InertConfirmed { .. } => vec![(
            "-never",
            Event::InertConfirmed { holder: holder(), used: 0, last_injection_ago: None },
        )],
        Event::StopProven { .. } => vec![(
            "-time",
            Event::StopProven { by: ProofKind::Time, out_of_contact: vec![holder(), holder()] },
        )],
        Event::Created { .. }
        | Event::Started { .. }
        | Event::Paused
        | Event::Resumed
        | Event::GrantClosed { .. }
        | Event::GuardTripped { .. }
        | Event::LogDamaged { .. } => Vec::new(),
    };
    std::iter::once(("", event.clone())).chain(others).collect()
}

fn lever_records() -> Vec<(String, Record<LeverEvent>)> {
    let reason = || "drill".to_owned();
    let events = [
        ("engaged", LeverEvent::Engaged { reason: reason() }),
        ("released", LeverEvent::Released { reason: reason() }),
        ("renewed", LeverEvent::Renewed { engaged: Some(engaged(command().map(|by| by.actor))) }),
        ("renewed-by-nobody", LeverEvent::Renewed { engaged: Some(engaged(None)) }),
        ("renewed-released", LeverEvent::Renewed { engaged: None }),
    ];
    let record = |event| Record {
        totals: Totals::default(),
        ..record(vec![Recorded { command: command(), event }])
    };
    events.map(|(name, event)| (format!("v{VERSION}-lever-{name}"), record(event))).to_vec()
}

fn engaged(actor: Option<Actor>) -> Engaged {
    Engaged {
        sequence: 77,
        append: AppendId(*b"an append's id 2"),
        reason: "drill".to_owned(),
        actor,
        at: UnixMillis(1_795_200_000_456),
    }
}

fn record<E>(events: Vec<Recorded<E>>) -> Record<E> {
    Record {
        append: AppendId(*b"an append's id 1"),
        at: UnixMillis(1_795_300_000_123),
        previous: [9; 32],
        totals: Totals { issued: 1_000, refunded: 983 },
        events,
    }
}

fn command() -> Option<CommandRef> {
    Some(CommandRef {
        request: parse("req-1"),
        actor: parse("ada@example.org"),
        kind: CommandKind::Abort,
    })
}

fn holder() -> Holder {
    let (tenant, shim) = (parse("acme"), parse("shim-1"));
    Holder { tenant, shim, incarnation: Incarnation([0xfe; 16]) }
}

/// Every kind of fault and every field, so that none changes its place unnoticed; nothing is left to a default.
fn spec() -> SessionSpec {
    let draft: SessionDraft = serde_json::from_str(include_str!("spec.json")).unwrap();
    draft.validate().unwrap()
}

fn session_key() -> SessionKey {
    SessionKey { tenant: parse("acme"), session: parse("s-1") }
}

fn session_subject() -> Subject {
    Subject::SessionLog { session: session_key() }
}

fn lever_subject(scope: &str) -> Subject {
    Subject::LeverLog { scope: parse(scope) }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/journal/golden")
}

/// The stored bytes called `name`.
fn golden(name: &str) -> Vec<u8> {
    // Tests run beside each other: one writes, the others wait.
    static WRITING: Mutex<()> = Mutex::new(());
    let _writing = WRITING.lock();
    let file = folder().join(format!("{name}.golden"));
    if !file.exists() && std::env::var_os("SQUALL_WRITE_GOLDEN").is_some() {
        std::fs::write(&file, encoded(name)).unwrap();
    }
    std::fs::read(&file).unwrap_or_else(|error| {
        panic!("{}: {error}; SQUALL_WRITE_GOLDEN=1 writes it", file.display())
    })
}

fn encoded(name: &str) -> Bytes {
    let session = session_records().into_iter().find(|(of, _)| of == name);
    if let Some((_, record)) = session {
        return encode_session(&record).unwrap();
    }
    let (_, record) = lever_records().into_iter().find(|(of, _)| of == name).unwrap();
    encode_lever(&record).unwrap()
}

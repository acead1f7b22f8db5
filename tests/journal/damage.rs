//! A log that contradicts what was read of it, on real servers.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream;
use futures::StreamExt;
use futures::stream::BoxStream;
use squall::journal::contract::{append, commit, entries, id};
use squall::journal::jetstream::{JetStream, SCHEMA_KEY, Settings};
use squall::journal::{Damage, Journal, TailEvent};
use squall_proto::subject::{EVIDENCE_STREAM, Filter, LOG_STREAM};
use std::sync::Arc;

use crate::backend::{Real, on_one_server};

/// Longer than a stream that looks gone or shorter is given to come back.
const BELIEF: Duration = Duration::from_secs(40);

async fn written(backend: &Real, count: u64) -> Arc<dyn Journal> {
    let journal = backend.journal().await;
    for number in 1..=count {
        commit(&journal, append(&format!("s{number}"), 0, id(number), b"x")).await;
    }
    journal
}

/// What ends the tail, after hints.
async fn end_of(mut tail: BoxStream<'static, TailEvent>) -> Damage {
    let end = async {
        while let Some(event) = tail.next().await {
            if let TailEvent::Damaged { why } = event {
                assert_eq!(tail.next().await, None, "the tail goes on after damage");
                return why;
            }
        }
        panic!("the tail ended without damage");
    };
    tokio::time::timeout(BELIEF, end).await.unwrap()
}

#[tokio::test]
async fn a_stream_made_anew_is_another_log() {
    let backend = on_one_server().await;
    let journal = written(&backend, 3).await;
    let first_id = journal.facts().await.unwrap().log_id;
    let mut tail = journal.tail(0);
    entries(&mut tail, 3).await;
    backend.raw().await.delete_stream(LOG_STREAM).await.unwrap();
    let anew = written(&backend, 5).await;
    let second_id = anew.facts().await.unwrap().log_id;
    let (expected, found) = (first_id.to_string(), second_id.to_string());
    assert_ne!(expected, found);
    assert_eq!(end_of(tail).await, Damage::Recreated { expected, found });
}

#[tokio::test]
async fn a_stream_that_stays_away_is_gone() {
    let backend = on_one_server().await;
    let journal = written(&backend, 1).await;
    let mut tail = journal.tail(0);
    entries(&mut tail, 1).await;
    backend.raw().await.delete_stream(LOG_STREAM).await.unwrap();
    assert_eq!(end_of(tail).await, Damage::Gone);
}

#[tokio::test]
async fn a_log_that_is_shorter_than_what_was_read_is_truncated() {
    let backend = on_one_server().await;
    let journal = written(&backend, 3).await;
    assert_eq!(end_of(journal.tail(9)).await, Damage::Truncated { last: 3, read: 9 });
}

#[tokio::test]
async fn a_record_that_was_removed_is_a_gap() {
    let backend = on_one_server().await;
    let journal = written(&backend, 3).await;
    let api = backend.raw().await;
    let mut stream = api.get_stream(LOG_STREAM).await.unwrap();
    // Our own settings forbid it, for good: only a log that somebody made otherwise can lose one.
    let error = stream.delete_message(2).await.unwrap_err();
    assert!(error.to_string().contains("delete"), "{error}");
    let error = stream.purge().await.unwrap_err();
    assert!(error.to_string().contains("purge"), "{error}");
    // So it is made otherwise: the same identity, with a record missing.
    let mut config = stream.info().await.unwrap().config.clone();
    assert!(config.metadata.contains_key(SCHEMA_KEY));
    api.delete_stream(LOG_STREAM).await.unwrap();
    (config.deny_delete, config.deny_purge) = (false, false);
    let harmed = api.create_stream(config).await.unwrap();
    for number in 0..3 {
        api.publish(format!("log.s.acme.n{number}"), "y".into()).await.unwrap().await.unwrap();
    }
    harmed.delete_message(2).await.unwrap();
    assert_eq!(end_of(journal.tail(0)).await, Damage::Gap { expected: 2, found: 3 });
    assert!(JetStream::open(backend.settings()).await.is_err());
}

/// As `max_age` removes them, only sooner: a stream of ours can't be purged, so it is made otherwise.
#[tokio::test]
async fn records_that_expired_unread_are_told_from_lost_ones() {
    let backend = on_one_server().await;
    let journal = written(&backend, 3).await;
    let mut tail = journal.tail(0);
    entries(&mut tail, 1).await;
    let api = backend.raw().await;
    let mut config = api.get_stream(LOG_STREAM).await.unwrap().cached_info().config.clone();
    api.delete_stream(LOG_STREAM).await.unwrap();
    (config.deny_delete, config.deny_purge) = (false, false);
    let shorter = api.create_stream(config).await.unwrap();
    for number in 0..9 {
        api.publish(format!("log.s.acme.n{number}"), "y".into()).await.unwrap().await.unwrap();
    }
    shorter.purge().sequence(6).await.unwrap();
    // It read up to 3, and 4 and 5 are gone.
    assert_eq!(end_of(journal.tail(3)).await, Damage::Expired { expected: 4, first: 6 });
    // Whoever begins anew begins with what there is.
    assert_eq!(entries(&mut journal.tail(0), 1).await[0].sequence, 6);
}

#[tokio::test]
async fn a_record_that_changed_since_it_was_read_is_noticed_before_anything_follows() {
    let backend = on_one_server().await;
    let journal = written(&backend, 3).await;
    let mut tail = journal.tail(0);
    entries(&mut tail, 3).await;
    let api = backend.raw().await;
    let config = api.get_stream(LOG_STREAM).await.unwrap().cached_info().config.clone();
    api.delete_stream(LOG_STREAM).await.unwrap();
    // The same identity and length, as after a restore of an old backup that was written to.
    api.create_stream(config).await.unwrap();
    for number in 0..4 {
        api.publish(format!("log.s.acme.n{number}"), "y".into()).await.unwrap().await.unwrap();
    }
    assert_eq!(end_of(tail).await, Damage::Rewritten { sequence: 3 });
}

#[tokio::test]
async fn a_subject_that_nobody_writes_is_damage_in_the_log_and_skipped_in_the_evidence() {
    let backend = on_one_server().await;
    let journal = written(&backend, 1).await;
    let api = backend.raw().await;
    let strange = Filter::Log.to_string().replace('>', "x.y.z.w");
    api.publish(strange.clone(), "y".into()).await.unwrap().await.unwrap();
    let expected = Damage::UnknownSubject { sequence: 2, subject: strange };
    assert_eq!(end_of(journal.tail(0)).await, expected);
    let client = api.client();
    for subject in ["tenant.acme.ev.a.b.c.d", "tenant.acme.ev.shim1.5"] {
        client.publish(subject, "e".into()).await.unwrap();
    }
    let evidence = entries(&mut journal.evidence_tail(0), 1).await;
    assert_eq!(evidence[0].sequence, 2);
}

#[tokio::test]
async fn evidence_that_was_discarded_for_want_of_room_is_no_damage() {
    let backend = on_one_server().await;
    let settings = Settings { evidence_bytes_max: 64 << 10, ..backend.settings() };
    let journal = JetStream::open(settings).await.unwrap();
    let client = backend.raw().await.client();
    let publish = async |count: u64, size: usize| {
        for _ in 0..count {
            let bytes = vec![b'e'; size].into();
            client.publish("tenant.acme.ev.shim1.5", bytes).await.unwrap();
        }
        client.flush().await.unwrap();
    };
    publish(1, 10).await;
    let mut tail = journal.evidence_tail(0);
    entries(&mut tail, 1).await;
    // Thirty times 8 KiB push each other out of 64 KiB, the first one too.
    publish(30, 8 << 10).await;
    while entries(&mut tail, 1).await[0].sequence < 31 {}
    let rest = entries(&mut journal.evidence_tail(1), 1).await;
    assert!(rest[0].sequence > 20, "{} is still there", rest[0].sequence);
}

#[tokio::test]
async fn evidence_whose_stream_was_deleted_is_made_anew_and_read_on() {
    let backend = on_one_server().await;
    let journal = backend.journal().await;
    let api = backend.raw().await;
    let client = api.client();
    let publish = async |text: &'static str| {
        client.publish("tenant.acme.ev.shim1.5", text.into()).await.unwrap();
        client.flush().await.unwrap();
    };
    let mut tail = journal.evidence_tail(0);
    publish("one").await;
    publish("two").await;
    entries(&mut tail, 2).await;
    api.delete_stream(EVIDENCE_STREAM).await.unwrap();
    let anew =
        async { while tail.next().await != Some(TailEvent::CaughtUp { last_sequence: 0 }) {} };
    tokio::time::timeout(BELIEF, anew).await.unwrap();
    publish("three").await;
    let found = entries(&mut tail, 1).await;
    assert_eq!((found[0].sequence, found[0].bytes.as_ref()), (1, b"three".as_slice()));
    // So it is for one that was away meanwhile.
    assert_eq!(entries(&mut journal.evidence_tail(2), 1).await[0].sequence, 1);
}

#[tokio::test]
async fn evidence_that_cannot_be_read_for_long_is_said_to_be_so_and_read_once_it_can() {
    let backend = on_one_server().await;
    let journal = backend.journal().await;
    let api = backend.raw().await;
    let mut tail = journal.evidence_tail(0);
    assert_eq!(tail.next().await, Some(TailEvent::CaughtUp { last_sequence: 0 }));
    let config = api.get_stream(EVIDENCE_STREAM).await.unwrap().cached_info().config.clone();
    // Somebody else's stream takes its subjects, so that it can't be made anew.
    api.delete_stream(EVIDENCE_STREAM).await.unwrap();
    let subjects = config.subjects.clone();
    let other = stream::Config { name: "OTHER".into(), subjects, no_ack: true, ..config };
    let taken = async || api.create_stream(other.clone()).await.is_ok();
    while !taken().await {
        let _made_anew_before = api.delete_stream(EVIDENCE_STREAM).await;
    }
    let event = tokio::time::timeout(BELIEF, tail.next()).await.unwrap();
    let Some(TailEvent::Unreadable { why, silent }) = event else { panic!("{event:?}") };
    assert!(why.contains(EVIDENCE_STREAM) && silent >= Duration::from_secs(12), "{why} {silent:?}");
    api.delete_stream("OTHER").await.unwrap();
    let event = tokio::time::timeout(BELIEF, tail.next()).await.unwrap();
    assert_eq!(event, Some(TailEvent::CaughtUp { last_sequence: 0 }));
}

#[tokio::test]
async fn evidence_that_answers_and_gives_no_consumer_is_said_to_be_unreadable() {
    let backend = on_one_server().await;
    let journal = backend.journal().await;
    let api = backend.raw().await;
    let config = api.get_stream(EVIDENCE_STREAM).await.unwrap().cached_info().config.clone();
    // The same identity with room for one consumer, which somebody else takes.
    api.delete_stream(EVIDENCE_STREAM).await.unwrap();
    let narrow = api.create_stream(stream::Config { max_consumers: 1, ..config }).await.unwrap();
    let other = pull::Config { durable_name: Some("other".into()), ..pull::Config::default() };
    narrow.create_consumer(other).await.unwrap();
    publish_evidence(&backend, "tenant.acme.ev.shim1.5", 1).await;
    let mut tail = journal.evidence_tail(0);
    let event = tokio::time::timeout(BELIEF, tail.next()).await.unwrap();
    assert!(matches!(event, Some(TailEvent::Unreadable { .. })), "{event:?}");
    narrow.delete_consumer("other").await.unwrap();
    let event = tokio::time::timeout(BELIEF, tail.next()).await.unwrap();
    assert!(matches!(event, Some(TailEvent::Entry(_))), "{event:?}");
    until_caught_up(&mut tail, 1).await;
}

#[tokio::test]
async fn evidence_that_ends_with_a_strange_subject_is_read_to_its_end() {
    let backend = on_one_server().await;
    let mut tail = backend.journal().await.evidence_tail(0);
    publish_evidence(&backend, "tenant.acme.ev.shim1.5", 1).await;
    publish_evidence(&backend, "tenant.acme.ev.a.b.c.d", 1).await;
    until_caught_up(&mut tail, 2).await;
}

#[tokio::test]
async fn evidence_that_changed_since_it_was_read_is_read_from_its_beginning() {
    let backend = on_one_server().await;
    let mut tail = backend.journal().await.evidence_tail(0);
    publish_evidence(&backend, "tenant.acme.ev.shim1.5", 3).await;
    entries(&mut tail, 3).await;
    let api = backend.raw().await;
    let config = api.get_stream(EVIDENCE_STREAM).await.unwrap().cached_info().config.clone();
    // The same identity, and longer by the time that the tail looks: it does nothing until it is asked.
    api.delete_stream(EVIDENCE_STREAM).await.unwrap();
    api.create_stream(config).await.unwrap();
    publish_evidence(&backend, "tenant.acme.ev.shim1.5", 4).await;
    let found = entries(&mut tail, 4).await;
    let sequences: Vec<u64> = found.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
}

/// Publishes `count` messages and waits until they are stored: nobody acknowledges evidence.
async fn publish_evidence(backend: &Real, subject: &'static str, count: u64) {
    let api = backend.raw().await;
    let mut stream = api.get_stream(EVIDENCE_STREAM).await.unwrap();
    let due = stream.cached_info().state.last_sequence + count;
    for _ in 0..count {
        api.client().publish(subject, "e".into()).await.unwrap();
    }
    let stored = async { while stream.info().await.unwrap().state.last_sequence < due {} };
    tokio::time::timeout(BELIEF, stored).await.unwrap();
}

async fn until_caught_up(tail: &mut BoxStream<'static, TailEvent>, last_sequence: u64) {
    let caught_up =
        async { while tail.next().await != Some(TailEvent::CaughtUp { last_sequence }) {} };
    tokio::time::timeout(BELIEF, caught_up).await.unwrap();
}

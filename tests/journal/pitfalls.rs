//! The pitfalls of docs/nats.md that the journal stands on, each met on three real servers. If one of these tests fails after
//! an upgrade of NATS, the rule built on it is to be thought through again.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures::future::join_all;
use squall::journal::contract::{Repeated, append, commit, id, session_log};
use squall::journal::{AppendError, Journal};
use squall_proto::subject::LOG_STREAM;
use squall_tests::nats::{self, Cluster, Options};

use crate::backend::{on_cluster, on_one_server, on_three_servers};

/// Of `count` pipelined writes to one subject, each expecting the sequence that the one before will have, how many are
/// refused.
async fn refused_of_pipelined(api: &Context, subject: &str, count: u64) -> usize {
    let mut acks = Vec::new();
    for revision in 0..count {
        let write = PublishMessage::build().expected_last_subject_sequence(revision);
        acks.push(api.send_publish(subject.to_owned(), write).await.unwrap());
    }
    let acks = join_all(acks.into_iter().map(IntoFuture::into_future)).await;
    acks.iter().filter(|ack| ack.is_err()).count()
}

#[tokio::test]
async fn pitfall_1_a_cluster_takes_one_conditional_write_in_flight_per_subject() {
    let subject = session_log("pipelined").to_string();
    let (one, three) = (on_one_server().await, on_three_servers().await);
    one.journal().await;
    three.journal().await;
    let (one, three) = (one.raw().await, three.raw().await);
    assert_eq!(refused_of_pipelined(&one, &subject, 200).await, 0);
    let refused = refused_of_pipelined(&three, &subject, 200).await;
    assert!(refused > 100, "only {refused} of 200 were refused: may writes be pipelined now?");
}

#[tokio::test]
async fn pitfall_2_a_conflict_on_its_way_has_a_code_of_its_own_and_is_a_conflict() {
    let backend = on_three_servers().await;
    let journal = backend.journal().await;
    let api = backend.raw().await;
    let subject = session_log("raced").to_string();
    // In flight at once: the server refuses all but the first with 10164, which async-nats calls `Other`.
    let write = || PublishMessage::build().expected_last_subject_sequence(0);
    let acks = join_all((0..8).map(|_| api.send_publish(subject.clone(), write()))).await;
    let acks = join_all(acks.into_iter().map(|ack| ack.unwrap().into_future())).await;
    let errors: Vec<_> = acks.into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 7);
    assert!(
        errors.iter().any(|error| error.kind() == PublishErrorKind::Other
            && format!("{error:?}").contains("10164"))
    );
    // The journal tells the two codes apart from everything else, and not from each other.
    let race = join_all((0..8).map(|n| journal.append(append("ours", 0, id(n), b"x")))).await;
    let conflicts = race.iter().filter(|r| matches!(r, Err(AppendError::Conflict { .. })));
    assert_eq!(conflicts.count(), 7, "{race:?}");
}

#[tokio::test]
async fn pitfall_3_a_wildcard_expectation_is_unsafe_so_the_journal_never_sends_one() {
    let backend = on_three_servers().await;
    let journal = backend.journal().await;
    let api = backend.raw().await;
    let stream = api.get_stream(LOG_STREAM).await.unwrap();
    let sequence = commit(&journal, append("literal", 0, id(1), b"x")).await;
    let stored = stream.get_raw_message(sequence).await.unwrap();
    let names: Vec<String> = stored.headers.iter().map(|(name, _)| name.to_string()).collect();
    assert!(names.contains(&"Nats-Msg-Id".to_owned()), "{names:?}");
    let filter = "Nats-Expected-Last-Subject-Sequence-Subject".to_owned();
    assert!(!names.contains(&filter), "{names:?}");
    // With the filter, a write passes the check although the log already goes on behind it on another subject.
    let mut slipped = 0;
    for round in 0..40 {
        slipped += usize::from(both_committed(&api, round).await);
    }
    assert!(slipped > 0, "40 races under a wildcard and none slipped through: is it safe now?");
}

/// A write that expects nothing under `log.s.<round>.>`, raced by one without expectation: whether the second came first
/// and the first still passed.
async fn both_committed(api: &Context, round: usize) -> bool {
    let subject = |name: &str| format!("{}{round}", session_log(name));
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    headers.insert(
        "Nats-Expected-Last-Subject-Sequence-Subject",
        format!("log.s.*.*-{round}").as_str(),
    );
    let plain = api.send_publish(subject("plain-"), PublishMessage::build());
    let plain = plain.await.unwrap();
    let checked = PublishMessage::build().headers(headers);
    let checked = api.send_publish(subject("checked-"), checked).await.unwrap();
    let (plain, checked) = futures::join!(plain.into_future(), checked.into_future());
    plain.is_ok() && checked.is_ok()
}

#[tokio::test]
async fn pitfall_4_a_leader_without_quorum_still_answers_duplicates_and_wrong_expectations() {
    let cluster = Cluster::start(&Options { accounts: 1, ..Options::default() }).await.unwrap();
    let backend = on_cluster(&cluster, 0);
    let journal = backend.journal().await;
    let write = append("s", 0, id(1), b"x");
    let sequence = commit(&journal, write.clone()).await;
    let leader = cluster.leader(0, LOG_STREAM).await.unwrap();
    // A connection to the leader itself, as a replica beside it has.
    let settings = squall::journal::jetstream::Settings {
        address: squall::journal::jetstream::Address::of([leader.account_url(0)]),
        append_timeout: Duration::from_secs(2),
        ..backend.settings()
    };
    let beside: std::sync::Arc<dyn Journal> =
        std::sync::Arc::new(squall::journal::jetstream::JetStream::open(settings).await.unwrap());
    for server in cluster.servers().iter().filter(|server| server.name() != leader.name()) {
        server.freeze();
    }
    let repeated = beside.append(write).await.unwrap();
    assert!(repeated.duplicate, "{repeated:?}");
    let wrong = beside.append(append("s", sequence + 9, id(2), b"x")).await;
    assert!(matches!(wrong, Err(AppendError::Conflict { .. })), "{wrong:?}");
    // So neither is proof of anything. What needs a quorum stays unanswered.
    let fresh = beside.append(append("t", 0, id(3), b"x")).await;
    assert!(matches!(fresh, Err(AppendError::Unanswered { .. })), "{fresh:?}");
    assert_eq!(squall::journal::contract::Backend::repeated(&backend), Repeated::Duplicate);
}

#[tokio::test]
async fn pitfall_5_a_leader_that_lost_its_quorum_still_answers_reads() {
    let cluster = Cluster::start(&Options { accounts: 1, ..Options::default() }).await.unwrap();
    let backend = on_cluster(&cluster, 0);
    let journal = backend.journal().await;
    let old = commit(&journal, append("s", 0, id(1), b"old")).await;
    let leader = cluster.leader(0, LOG_STREAM).await.unwrap();
    let client = nats::connect([leader.account_url(0)]).await.unwrap();
    let stream = jetstream::new(client).get_stream(LOG_STREAM).await.unwrap();
    for server in cluster.servers().iter().filter(|server| server.name() != leader.name()) {
        server.freeze();
    }
    let subject = session_log("s").to_string();
    let read = stream.get_last_raw_message_by_subject(&subject).await.unwrap();
    assert_eq!((read.sequence, read.payload), (old, Bytes::from_static(b"old")));
    // It can't know whether the others went on without it. Only a write finds out.
}

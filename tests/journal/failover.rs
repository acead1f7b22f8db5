//! Servers that die or freeze under the journal, and streams that are not there. Whoever harms a server has one of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use squall::journal::contract::{append, commit, entries, id};
use squall::journal::jetstream::{JetStream, Settings};
use squall::journal::{AppendError, Appended, Journal, TailEvent, Unanswered};
use squall_proto::subject::LOG_STREAM;
use squall_tests::nats::{Cluster, Options, Server};
use tokio::time::{Instant, timeout};

use crate::backend::{on_cluster, on_one_server};

fn options() -> Options {
    Options { sync_always: true, accounts: 1, ..Options::default() }
}

/// Appends to a subject of its own until one is answered; its number and sequence. Every number is tried once.
async fn until_one_commits(journal: &Arc<dyn Journal>, next: &mut u64) -> (u64, u64) {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        let number = *next;
        *next += 1;
        match journal.append(append(&format!("n{number}"), 0, id(number), b"x")).await {
            Ok(Appended { sequence, duplicate: false }) => return (number, sequence),
            Err(AppendError::Unanswered { .. }) => {}
            other => panic!("append {number}: {other:?}"),
        }
    }
    panic!("no append was answered for a minute");
}

#[tokio::test]
async fn killing_the_leader_loses_no_acknowledged_record_and_the_tail_goes_on_without_a_gap() {
    let cluster = Cluster::start(&options()).await.unwrap();
    let journal = on_cluster(&cluster, 0).journal().await;
    let mut tail = journal.tail(0);
    let (mut acked, mut next) = (BTreeMap::new(), 1);
    for _ in 0..50 {
        let (number, sequence) = until_one_commits(&journal, &mut next).await;
        acked.insert(sequence, number);
    }
    let leader = cluster.leader(0, LOG_STREAM).await.unwrap();
    leader.kill();
    for _ in 0..50 {
        let (number, sequence) = until_one_commits(&journal, &mut next).await;
        acked.insert(sequence, number);
    }
    let last = *acked.keys().next_back().unwrap();
    // `entries` panics at damage; here is every record once, in order.
    let read = entries(&mut tail, usize::try_from(last).unwrap()).await;
    for (entry, sequence) in read.iter().zip(1..) {
        assert_eq!(entry.sequence, sequence);
    }
    for (sequence, number) in acked {
        assert_eq!(read[usize::try_from(sequence).unwrap() - 1].id, Some(id(number)));
    }
    leader.restart().await.unwrap();
}

#[tokio::test]
async fn an_append_without_quorum_stays_unanswered_and_may_commit_after_healing() {
    let cluster = Cluster::start(&options()).await.unwrap();
    let backend = on_cluster(&cluster, 0);
    let leader_of_a_log = {
        backend.journal().await;
        cluster.leader(0, LOG_STREAM).await.unwrap()
    };
    let settings = Settings {
        address: squall::journal::jetstream::Address::of([leader_of_a_log.account_url(0)]),
        append_timeout: Duration::from_secs(1),
        ..backend.settings()
    };
    let journal: Arc<dyn Journal> = Arc::new(JetStream::open(settings).await.unwrap());
    let others: Vec<&Server> =
        cluster.servers().iter().filter(|s| s.name() != leader_of_a_log.name()).collect();
    others.iter().for_each(|server| server.freeze());
    let write = append("s", 0, id(1), b"late");
    let unanswered = journal.append(write.clone()).await;
    assert!(matches!(unanswered, Err(AppendError::Unanswered { .. })), "{unanswered:?}");
    others.iter().for_each(|server| server.thaw());
    // Whether it committed is decided by the log alone; a repeat of the same write never stores it twice.
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < until, "no answer after healing");
        match journal.append(write.clone()).await {
            Ok(_) | Err(AppendError::Conflict { last: Some(1..) }) => break,
            Err(AppendError::Unanswered { .. } | AppendError::Conflict { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let end = commit(&journal, append("end", 0, id(2), b"x")).await;
    let read = entries(&mut journal.tail(0), usize::try_from(end).unwrap()).await;
    assert_eq!(read.iter().filter(|entry| entry.id == Some(id(1))).count(), 1);
}

#[tokio::test]
async fn a_frozen_server_is_left_and_the_tail_goes_on_elsewhere() {
    let cluster = Cluster::start(&options()).await.unwrap();
    let journal = on_cluster(&cluster, 0).journal().await;
    let mut tail = journal.tail(0);
    let mut next = 1;
    until_one_commits(&journal, &mut next).await;
    entries(&mut tail, 1).await;
    cluster.leader(0, LOG_STREAM).await.unwrap().freeze();
    let (number, sequence) = until_one_commits(&journal, &mut next).await;
    let rest = usize::try_from(sequence).unwrap() - 1;
    let read = timeout(Duration::from_secs(60), entries(&mut tail, rest)).await.unwrap();
    assert_eq!(read.last().unwrap().id, Some(id(number)));
}

#[tokio::test]
async fn after_a_kill_one_server_has_every_acknowledged_record_and_the_handle_works_again() {
    let server = Server::start(&options()).await.unwrap();
    let settings = Settings {
        replicas: 1,
        ..Settings::new(squall::journal::jetstream::Address::of([server.url()]))
    };
    let journal: Arc<dyn Journal> = Arc::new(JetStream::open(settings).await.unwrap());
    let mut tail = journal.tail(0);
    for number in 1..=100 {
        commit(&journal, append(&format!("s{number}"), 0, id(number), b"x")).await;
    }
    server.kill();
    let meanwhile = journal.append(append("down", 0, id(200), b"x")).await;
    assert!(matches!(meanwhile, Err(AppendError::Unanswered { .. })), "{meanwhile:?}");
    server.restart().await.unwrap();
    let (number, sequence) = until_one_commits(&journal, &mut 101).await;
    assert_eq!((number, sequence), (101, 101));
    let read = entries(&mut tail, 101).await;
    assert!(read.iter().zip(1..).all(|(entry, sequence)| entry.sequence == sequence));
    let hint = timeout(Duration::from_secs(10), tail.next()).await.unwrap();
    assert_eq!(hint, Some(TailEvent::CaughtUp { last_sequence: 101 }));
}

#[tokio::test]
async fn an_append_waits_for_a_stream_and_gives_up_in_time() {
    let backend = on_one_server().await;
    let settings = Settings { append_timeout: Duration::from_secs(2), ..backend.settings() };
    let journal: Arc<dyn Journal> = Arc::new(JetStream::open(settings).await.unwrap());
    let api = backend.raw().await;
    let config = api.get_stream(LOG_STREAM).await.unwrap().cached_info().config.clone();
    api.delete_stream(LOG_STREAM).await.unwrap();
    let nobody = journal.append(append("s", 0, id(1), b"x")).await;
    assert_eq!(nobody, Err(AppendError::Unanswered { why: Unanswered::NoResponders }));
    let (waiting, _) = futures::join!(journal.append(append("s", 0, id(2), b"x")), async {
        api.create_stream(config).await.unwrap()
    });
    assert_eq!(waiting, Ok(Appended { sequence: 1, duplicate: false }));
}

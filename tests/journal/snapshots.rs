//! Starts from a snapshot, through the whole replica: on a log in memory and on a real one.

mod house;

use bytes::Bytes;
use squall::engine::{Losses, OrderKind};
use squall::journal::Snapshot;
use squall_domain::lever::Scope;
use squall_proto::subject::LOG_STREAM;

use self::house::{House, Log, NEVER, Replica};

#[tokio::test(flavor = "multi_thread")]
async fn a_start_from_a_snapshot_ends_where_a_replay_of_everything_ends() {
    for house in House::both().await {
        let kept = house.live().await;
        let restored = house.start(NEVER).await;
        restored.until_answering().await;
        let began = restored.tails();
        assert!(began.len() == 1 && began[0] >= kept, "{began:?}, not from {kept} on");
        let replayed = house.replay().await;
        replayed.until_answering().await;
        assert_eq!(replayed.tails(), [0]);
        // The evidence follows the log.
        let lost = Losses { samples_lost: 2, ..Losses::default() };
        let counted = async |replica: &Replica| {
            let state = replica.state().await;
            (state.losses == lost).then_some(state)
        };
        let state = replayed.wait("the counters", counted).await;
        assert_eq!((state.sessions.len(), state.levers.len()), (2, 2));
        assert!(state.sessions.iter().any(|(_, applied, _)| *applied == 3));
        restored.until_shows(&state).await;
        restored.stop().await;
        replayed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_left_aside_and_everything_is_replayed() {
    for house in House::both().await {
        house.live().await;
        let replayed = house.replay().await;
        replayed.until_answering().await;
        house.damage_snapshot().await;
        let restored = house.start(NEVER).await;
        restored.until_answering().await;
        assert_eq!(restored.tails(), [0]);
        restored.until_shows(&replayed.state().await).await;
        restored.stop().await;
        replayed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_foreign_format_is_left_aside_and_everything_is_replayed() {
    for house in House::both().await {
        house.live().await;
        let journal = house.journal().await;
        // Newer than the kept one, or it would be dropped.
        let sequence = journal.facts().await.unwrap().last_sequence + 1;
        let foreign = Snapshot { sequence, format: u32::MAX, bytes: Bytes::from_static(b"new") };
        journal.save_snapshot(foreign).await.unwrap();
        let restored = house.start(NEVER).await;
        restored.until_answering().await;
        assert_eq!(restored.tails(), [0]);
        assert_eq!(restored.state().await.sessions.len(), 2);
        restored.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_newer_than_its_log_means_that_the_log_lost_records() {
    let house = House::in_memory().await;
    house.live().await;
    let Log::Memory(memory) = &house.log else { panic!() };
    memory.truncate(2);
    let replica = house.start(NEVER).await;
    let why = replica
        .wait("a verdict", async |replica| {
            replica.health().await.err().filter(|why| why.contains("damaged"))
        })
        .await;
    assert!(why.contains("ends at sequence 2"), "{why}");
    let scope = Scope::Fleet;
    let engage = OrderKind::Engage { scope, reason: "drill".into() };
    assert!(
        replica.order("engage", engage).await.is_err(),
        "it writes to a log that it can't trust"
    );
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_another_log_is_left_aside() {
    let house = House::real().await;
    house.live().await;
    let Log::Real(real) = &house.log else { panic!() };
    real.raw().await.delete_stream(LOG_STREAM).await.unwrap();
    let replica = house.start(NEVER).await;
    replica.until_answering().await;
    assert_eq!(replica.tails(), [0]);
    assert!(replica.state().await.sessions.is_empty());
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_whose_next_records_have_expired_is_left_aside_and_what_is_kept_is_replayed() {
    let house = House::in_memory().await;
    let kept = house.live().await;
    let replica = house.start(NEVER).await;
    replica.until_answering().await;
    replica.engage("umbrella").await;
    let beyond = house.journal().await.facts().await.unwrap().last_sequence;
    replica.engage("wayne").await;
    replica.stop().await;
    let Log::Memory(memory) = &house.log else { panic!() };
    memory.expire(beyond);
    let restored = house.start(NEVER).await;
    restored.until_answering().await;
    let began = restored.tails();
    assert!(began.len() == 2 && began[0] >= kept && began[1] == 0, "{began:?}");
    let state = restored.state().await;
    assert_eq!((state.sessions.len(), state.levers.len()), (0, 1));
    restored.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_expire_unread_under_a_replica_that_answers_are_damage() {
    let house = House::in_memory().await;
    let replica = house.start(NEVER).await;
    replica.until_answering().await;
    replica.engage("umbrella").await;
    let Log::Memory(memory) = &house.log else { panic!() };
    let last = house.journal().await.facts().await.unwrap().last_sequence;
    memory.expire(last + 5);
    let why = replica.wait("a verdict", async |replica| replica.health().await.err()).await;
    assert!(why.contains("expired unread"), "{why}");
    replica.stop().await;
}

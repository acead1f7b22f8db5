//! What the journal refuses to work with, and what is refused to it.

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use squall::journal::contract::{append, id};
use squall::journal::jetstream::{Address, JetStream, OpenError, Settings};
use squall::journal::{Append, AppendError, Journal};
use squall_proto::subject::{Filter, LOG_STREAM};
use squall_tests::nats::{Options, Server};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::backend::{on_one_server, on_three_servers, one_server};

#[tokio::test]
async fn a_foreign_stream_with_our_name_is_refused_and_left_alone() {
    let backend = on_one_server().await;
    let api = backend.raw().await;
    let foreign = Config {
        name: LOG_STREAM.to_owned(),
        subjects: vec![Filter::Log.to_string(), "orders".to_owned()],
        discard: DiscardPolicy::Old,
        ..Config::default()
    };
    let before = api.create_stream(foreign).await.unwrap().cached_info().config.clone();
    let Err(error) = JetStream::open(backend.settings()).await else { panic!("it was accepted") };
    let OpenError::Foreign { stream, differences } = &error else { panic!("{error}") };
    assert_eq!(stream, LOG_STREAM);
    let named: Vec<&str> = differences.iter().map(|difference| difference.setting).collect();
    for setting in ["metadata squall.log_id", "subjects", "discard", "max_age", "deny_delete"] {
        assert!(named.contains(&setting), "{setting} is missing in {named:?}");
    }
    assert!(error.to_string().contains("deny_purge is false, needed is true"), "{error}");
    let after = api.get_stream(LOG_STREAM).await.unwrap().cached_info().config.clone();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_log_with_fewer_copies_than_wanted_is_refused() {
    let backend = on_three_servers().await;
    JetStream::open(Settings { replicas: 1, ..backend.settings() }).await.unwrap();
    let Err(error) = JetStream::open(backend.settings()).await else { panic!("it was accepted") };
    assert!(error.to_string().contains("num_replicas is 1, needed is 3"), "{error}");
}

#[tokio::test]
async fn opening_again_changes_nothing() {
    let backend = on_one_server().await;
    let config = || async {
        JetStream::open(backend.settings()).await.unwrap();
        let stream = backend.raw().await.get_stream(LOG_STREAM).await.unwrap();
        stream.cached_info().config.clone()
    };
    assert_eq!(config().await, config().await);
}

#[tokio::test]
async fn a_server_before_2_12_is_refused() {
    let address = old_server("2.9.25").await;
    let settings = Settings { replicas: 1, ..Settings::new(Address::of([address])) };
    let Err(error) = JetStream::open(settings).await else { panic!("it was accepted") };
    let text = error.to_string();
    assert!(text.contains("2.9.25") && text.contains("needs 2.12 or newer"), "{text}");
}

/// Something that greets as a NATS server of `version` does, and answers pings.
async fn old_server(version: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("nats://{}", listener.local_addr().unwrap());
    let info = format!(
        r#"INFO {{"server_id":"x","server_name":"old","version":"{version}","max_payload":1048576,"headers":true,"jetstream":true}}"#
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let info = info.clone();
            tokio::spawn(async move {
                let (reader, mut writer) = stream.into_split();
                writer.write_all(format!("{info}\r\n").as_bytes()).await.unwrap();
                let mut lines = BufReader::new(reader).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "PING" && writer.write_all(b"PONG\r\n").await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_write_without_permission_is_refused_at_once_instead_of_timing_out() {
    let server = one_server().await;
    let account = server.take_account();
    let settings = |url| Settings {
        replicas: 1,
        evidence_bytes_max: 16 << 20,
        snapshots_bytes_max: 64 << 20,
        ..Settings::new(Address::of([url]))
    };
    JetStream::open(settings(server.account_url(account))).await.unwrap();
    let reader = JetStream::open(settings(server.reader_url(account))).await.unwrap();
    let refused = reader.append(append("s", 0, id(1), b"x")).await;
    let Err(AppendError::Refused { code: None, text }) = refused else { panic!("{refused:?}") };
    assert!(text.to_lowercase().contains("permissions violation"), "{text}");
}

#[tokio::test]
async fn only_a_witness_shows_that_every_server_syncs_always() {
    // This server does.
    let backend = on_one_server().await;
    let by = async |settings: Settings| {
        JetStream::open(settings).await.unwrap().facts().await.unwrap().sync_always
    };
    assert!(by(backend.settings()).await, "the system account didn't tell");
    let mut nobody = backend.settings();
    nobody.witness.system = None;
    assert!(!by(nobody.clone()).await, "unknown was taken for always");
    nobody.witness.monitoring = vec![one_server().await.monitoring_url()];
    assert!(by(nobody).await, "the monitoring port didn't tell");
    // These don't.
    assert!(!by(on_three_servers().await.settings()).await);
}

#[tokio::test]
async fn evidence_never_gets_an_answer_from_jetstream() {
    let backend = on_one_server().await;
    JetStream::open(backend.settings()).await.unwrap();
    let client = backend.raw().await.client();
    let asked = client.request("tenant.acme.ev.shim1.5".to_owned(), "x".into());
    let answer = tokio::time::timeout(std::time::Duration::from_millis(500), asked).await;
    assert!(answer.is_err(), "JetStream answered for the coordinator: {answer:?}");
}

#[tokio::test]
async fn a_server_without_room_says_so_and_stores_nothing() {
    let room = 4 << 20;
    let options = Options { accounts: 1, file_store_bytes_max: Some(room), ..Options::default() };
    let server = Server::start(&options).await.unwrap();
    let settings = Settings {
        replicas: 1,
        evidence_bytes_max: 64 << 10,
        snapshots_bytes_max: 64 << 10,
        ..Settings::new(Address::of([server.url()]))
    };
    let journal = JetStream::open(settings).await.unwrap();
    let mut stored = 0;
    let refused = loop {
        let bytes = vec![b'x'; 256 << 10].into();
        let write = Append { bytes, ..append("s", stored, id(stored), b"") };
        match journal.append(write).await {
            Ok(appended) => stored = appended.sequence,
            Err(error) => break error,
        }
        assert!(stored < 20, "{stored} records of 256 KiB in 4 MiB");
    };
    assert!(matches!(refused, AppendError::Full { .. }), "{refused:?}");
    assert!(stored > 8, "only {stored} records of 256 KiB in 4 MiB");
    assert_eq!(journal.facts().await.unwrap().last_sequence, stored);
}

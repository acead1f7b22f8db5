//! A server that reads no more broadcasts, and still gets a stop.

use std::time::Duration;

use squall_proto::subject::{Subject, TenantSubject};
use squall_proto::vocabulary::id::{AppendId, LogId, SessionKey, TenantId};
use squall_proto::vocabulary::message::Command;
use squall_proto::vocabulary::plan::{AbortEpoch, PlanVersion};
use squall_proto::wire;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::Bus;
use crate::engine::Lane;
use crate::journal::jetstream::Address;

const INFO: &str = r#"INFO {"server_id":"x","server_name":"x","version":"2.15.1","max_payload":1048576,"headers":true}"#;
/// Longest wait for a stop that is under way.
const PATIENCE: Duration = Duration::from_secs(20);

/// The test reads one message; its sender never waits for room.
const PUBLISHED_MAX: usize = 16;

type Published = mpsc::Sender<(String, Vec<u8>)>;

/// Greets and answers pings as a NATS server does. It reads nothing of broadcasts once their connection stands, and tells
/// what is published on the others.
async fn serve(stream: TcpStream, published: Published) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    writer.write_all(format!("{INFO}\r\n").as_bytes()).await?;
    let mut reader = BufReader::new(reader);
    let mut is_stalled = false;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["CONNECT", ..] => is_stalled = line.contains("squall broadcasts"),
            ["PING"] => {
                writer.write_all(b"PONG\r\n").await?;
                if is_stalled {
                    std::future::pending::<()>().await;
                }
            }
            ["PUB", subject, size] => {
                let mut payload = vec![0; size.parse::<usize>().expect("a size") + 2];
                reader.read_exact(&mut payload).await?;
                payload.truncate(payload.len() - 2);
                published.try_send(((*subject).to_owned(), payload)).expect("one message");
            }
            _ => {}
        }
    }
}

async fn server() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("nats://{}", listener.local_addr().unwrap());
    let (published, received) = mpsc::channel(PUBLISHED_MAX);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, published.clone()));
        }
    });
    (address, received)
}

#[tokio::test]
async fn an_abort_arrives_while_the_server_reads_no_broadcasts() {
    let (address, mut published) = server().await;
    let replica = "replica-0".parse().unwrap();
    let (bus, _received) = Bus::open(&Address::of([address]), replica).await.unwrap();
    let tenant: TenantId = "acme".parse().unwrap();
    let version = PlanVersion { log: "log-1".parse::<LogId>().unwrap(), sequence: 1 };
    for _ in 0..10_000 {
        bus.command(tenant.clone(), None, Lane::Bulk, &Command::Beat(version.clone()));
    }
    let session = SessionKey { tenant: tenant.clone(), session: "main".parse().unwrap() };
    let abort = Command::Abort { session, epoch: AbortEpoch::Pushed(AppendId([7; 16])) };
    bus.command(tenant.clone(), None, Lane::Urgent, &abort);
    let first = tokio::time::timeout(PATIENCE, published.recv()).await;
    let (subject, payload) = first.expect("the abort stood behind the broadcasts").unwrap();
    let everybody = Subject::Tenant { tenant, subject: TenantSubject::CommandAll };
    assert_eq!(subject, everybody.to_string());
    assert_eq!(wire::decode_command(&payload), Ok(abort));
}

//! Who says how the servers sync. A normal account can't see it: neither STREAM.INFO nor the account's own information
//! tells (nats-server 2.15.1). The system account can (`$SYS.REQ.SERVER.PING.VARZ`, answered by every server), and so can
//! each server's monitoring port (`/varz`). Both show `jetstream.config.sync_always`; the interval beside it stays at
//! 120 s and means nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::stream;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connect::{Address, Connection};

/// Longest wait for the servers to answer. One that doesn't is unknown, so not "always".
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest answer that is read: varz has about 6 KiB.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const PING: &str = "$SYS.REQ.SERVER.PING.VARZ";

/// Who can be asked how the servers sync. With nobody to ask, a log never counts as always synced.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// A user of the system account.
    pub system: Option<Address>,
    /// Monitoring ports, `http://host:port`; for networks where plain HTTP is good enough.
    pub monitoring: Vec<String>,
}

/// What a server says of itself.
#[derive(Debug, Deserialize)]
struct Varz {
    server_name: String,
    #[serde(default)]
    jetstream: JetStreamVarz,
}

#[derive(Debug, Default, Deserialize)]
struct JetStreamVarz {
    #[serde(default)]
    config: JetStreamConfig,
}

#[derive(Debug, Default, Deserialize)]
struct JetStreamConfig {
    #[serde(default)]
    sync_always: bool,
}

/// A varz in its envelope, as the system account gets it.
#[derive(Debug, Deserialize)]
struct Answer {
    data: Varz,
}

/// Names of the servers that hold a stream; without a cluster, the one we are connected to.
pub(super) fn holders(info: &stream::Info, connected_to: &str) -> BTreeSet<String> {
    let Some(cluster) = info.cluster.as_ref().filter(|cluster| cluster.leader.is_some()) else {
        return BTreeSet::from([connected_to.to_owned()]);
    };
    let followers = cluster.replicas.iter().map(|peer| peer.name.clone());
    cluster.leader.clone().into_iter().chain(followers).collect()
}

impl Witness {
    /// Whether each of `servers` was seen to sync every write.
    pub(super) async fn all_sync_always(&self, servers: &BTreeSet<String>) -> bool {
        let said = self.ask(servers).await;
        servers.iter().all(|server| said.get(server) == Some(&true))
    }

    /// What each server says, the more pessimistic answer if it says two things.
    async fn ask(&self, servers: &BTreeSet<String>) -> BTreeMap<String, bool> {
        let mut said: BTreeMap<String, bool> = BTreeMap::new();
        let mut note = |varz: Varz| {
            let always = varz.jetstream.config.sync_always;
            said.entry(varz.server_name).and_modify(|said| *said &= always).or_insert(always);
        };
        let pages = join_all(self.monitoring.iter().map(|url| fetch_varz(url))).await;
        for page in pages.into_iter().flatten() {
            if let Ok(varz) = serde_json::from_slice(&page) {
                note(varz);
            }
        }
        if let Some(system) = &self.system {
            ping(system, servers).await.into_iter().for_each(note);
        }
        said
    }
}

/// Asks every server over the system account, until all of `servers` answered or time is over.
async fn ping(system: &Address, servers: &BTreeSet<String>) -> Vec<Varz> {
    let mut answers = Vec::new();
    let asked = timeout(ANSWER_TIMEOUT, async {
        let connection =
            Connection::open(system, "squall witness").await.map_err(|e| e.to_string())?;
        let client = connection.client();
        let inbox = client.new_inbox();
        let mut inbox_messages =
            client.subscribe(inbox.clone()).await.map_err(|e| e.to_string())?;
        client.publish_with_reply(PING, inbox, Bytes::new()).await.map_err(|e| e.to_string())?;
        let mut missing = servers.clone();
        while !missing.is_empty() {
            let Some(message) = inbox_messages.next().await else { break };
            if let Ok(Answer { data }) = serde_json::from_slice(&message.payload) {
                missing.remove(&data.server_name);
                answers.push(data);
            }
        }
        Ok::<(), String>(())
    });
    match asked.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error, "the NATS system account can't be asked"),
        Err(_) => tracing::warn!(?servers, "not every NATS server answered the system account"),
    }
    answers
}

/// The `/varz` page of a monitoring port, `None` if it can't be had. Plain HTTP/1.0, so that the answer ends with the connection.
pub async fn fetch_varz(url: &str) -> Option<Vec<u8>> {
    let host = url.strip_prefix("http://")?.trim_end_matches('/');
    let page = timeout(ANSWER_TIMEOUT, async {
        let mut stream = TcpStream::connect(host).await.ok()?;
        let request = format!("GET /varz HTTP/1.0\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await.ok()?;
        body(&answer)
    });
    page.await.ok().flatten()
}

fn body(answer: &[u8]) -> Option<Vec<u8>> {
    let first_line = answer.split(|byte| *byte == b'\r').next()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    first_line.ends_with(b" 200 OK").then(|| answer[end + 4..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_means_nothing_and_silence_is_not_always() {
        let read = |text: &str| {
            let varz: Varz = serde_json::from_str(text).unwrap();
            varz.jetstream.config.sync_always
        };
        assert!(read(
            r#"{"server_name":"a","jetstream":{"config":{"sync_interval":120000000000,"sync_always":true}}}"#
        ));
        assert!(!read(
            r#"{"server_name":"a","jetstream":{"config":{"sync_interval":120000000000}}}"#
        ));
        assert!(!read(r#"{"server_name":"a"}"#));
    }

    #[tokio::test]
    async fn without_a_witness_no_server_syncs_always() {
        let servers = BTreeSet::from(["a".to_owned()]);
        assert!(!Witness::default().all_sync_always(&servers).await);
    }

    #[test]
    fn only_a_page_that_was_found_has_a_body() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some(b"{}".to_vec()));
        assert_eq!(body(b"HTTP/1.0 404 Not Found\r\n\r\n{}"), None);
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n"), None);
    }
}

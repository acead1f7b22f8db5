//! Who says how the servers sync. A normal account can't see it: neither STREAM.INFO nor the account's own information
//! tells (nats-server 2.15.1). The system account can (`$SYS.REQ.SERVER.PING.VARZ`, answered by every server), and so can
//! each server's monitoring port. Both show `sync_always`; the interval beside it stays at 120 s and means nothing.
//!
//! On the monitoring port it is read from `/jsz`. `/varz` leaves JetStream's settings out for as long as the server runs
//! if anyone asked for it before JetStream was up (nats-server `monitor.go`, `HandleVarz`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::stream;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connect::{Address, Connection};

/// Longest wait for the servers to answer, a busy one included. One that doesn't is unknown, so not "always".
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
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

/// Whether a server syncs always, as it says itself.
struct Said {
    server: String,
    always: bool,
}

/// What a server says of itself over the system account.
#[derive(Debug, Deserialize)]
struct Answer {
    data: Varz,
}

#[derive(Debug, Deserialize)]
struct Varz {
    server_id: String,
    server_name: String,
    #[serde(default)]
    jetstream: Jsz,
}

#[derive(Debug, Default, Deserialize)]
struct Jsz {
    #[serde(default)]
    server_id: String,
    #[serde(default)]
    config: JetStreamConfig,
}

#[derive(Debug, Default, Deserialize)]
struct JetStreamConfig {
    #[serde(default)]
    sync_always: bool,
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
        let mut note = |Said { server, always }| {
            said.entry(server).and_modify(|said| *said &= always).or_insert(always);
        };
        let pages = join_all(self.monitoring.iter().map(|url| look(url))).await;
        pages.into_iter().flatten().for_each(&mut note);
        if let Some(system) = &self.system {
            ping(system, servers).await.into_iter().for_each(note);
        }
        said
    }
}

async fn look(url: &str) -> Option<Said> {
    let said = read_pages(url).await;
    if let Err(error) = &said {
        tracing::warn!(url, error, "a NATS monitoring port doesn't say how its server syncs");
    }
    said.ok()
}

async fn read_pages(url: &str) -> Result<Said, String> {
    let varz: Varz = read(&get(url, "/varz").await?)?;
    let jsz: Jsz = read(&get(url, "/jsz").await?)?;
    if varz.server_id != jsz.server_id {
        return Err("two servers answered".to_owned());
    }
    Ok(Said { server: varz.server_name, always: jsz.config.sync_always })
}

fn read<T: DeserializeOwned>(page: &[u8]) -> Result<T, String> {
    serde_json::from_slice(page).map_err(|error| error.to_string())
}

/// Asks every server over the system account, until all of `servers` answered or time is over.
async fn ping(system: &Address, servers: &BTreeSet<String>) -> Vec<Said> {
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
                let always = data.jetstream.config.sync_always;
                answers.push(Said { server: data.server_name, always });
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

/// The `/varz` page of a monitoring port, `None` if it can't be had now.
pub async fn fetch_varz(url: &str) -> Option<Vec<u8>> {
    get(url, "/varz").await.ok()
}

/// Plain HTTP/1.0, so that the answer ends with the connection.
async fn get(url: &str, path: &str) -> Result<Vec<u8>, String> {
    let host = url.strip_prefix("http://").ok_or("it is not an http:// address")?;
    let host = host.trim_end_matches('/');
    let page = timeout(ANSWER_TIMEOUT, async {
        let mut stream = TcpStream::connect(host).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    });
    let answer = page.await.map_err(|_| "no answer in time")?.map_err(|error| error.to_string())?;
    body(&answer).ok_or_else(|| "the answer is not a page".to_owned())
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
        let always = |text: &str| read::<Jsz>(text.as_bytes()).unwrap().config.sync_always;
        assert!(always(r#"{"config":{"sync_interval":120000000000,"sync_always":true}}"#));
        assert!(!always(r#"{"config":{"sync_interval":120000000000}}"#));
        assert!(!always("{}"));
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

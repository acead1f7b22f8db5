//! A stop, or a host that gives up, while a call waits for the client's loop.

use futures::future::poll_immediate;
use tokio::io::{AsyncBufReadExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::*;
use crate::testing::LONG;

/// A transport without a client behind it: the test is the client's loop.
struct Bare {
    transport: ChaosTransport<
        AsyncRwTransport<RoleClient, ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>,
    >,
    server: tokio::io::Lines<BufReader<DuplexStream>>,
    shim: Shim,
}

impl Bare {
    fn with(fault: Fault) -> Self {
        Self::through(64 * 1024, fault)
    }

    /// Of which `bytes` can be on their way to the server.
    fn through(bytes: usize, fault: Fault) -> Self {
        let shim = local(&[(fault, &[])], 1.0);
        let (near, far) = tokio::io::duplex(bytes);
        let (read, write) = tokio::io::split(near);
        let agent = AgentName::new("planner").unwrap();
        let inner = AsyncRwTransport::new_client(read, write);
        let transport = ChaosTransport::new(inner, &shim, agent, Counterpart::Tools);
        Self { transport, server: BufReader::new(far).lines(), shim }
    }

    /// Sends a call, up to the moment at which it waits for the client's loop.
    async fn call(&mut self) -> tokio::task::JoinHandle<()> {
        let sending = self.transport.send(hello());
        let sending = tokio::spawn(async move { sending.await.unwrap() });
        let departures = self.transport.departures.outside.clone();
        until(|| departures.capacity() < DOOR).await;
        sending
    }

    /// What the server saw, with the client's loop running.
    async fn heard(&mut self) -> Value {
        let line = async {
            tokio::select! {
                biased; // What the server hears by another way must not end this before the loop ran.
                got = self.transport.receive() => panic!("the client was given {got:?}"),
                line = self.server.next_line() => line.unwrap().unwrap(),
            }
        };
        let line = timeout(LONG, line).await.expect("the server heard nothing");
        serde_json::from_str(&line).unwrap()
    }

    #[track_caller]
    fn assert_counts(&self, applied: u64, not_applicable: u64) {
        let counts = counts(&self.shim);
        assert_eq!((counts.applied, counts.not_applicable), (applied, not_applicable));
    }
}

fn message(message: Value) -> Tx {
    serde_json::from_value(message).unwrap()
}

fn hello() -> Tx {
    message(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "echo", "arguments": { "text": "hello, world" } } }))
}

fn truncated() -> Fault {
    let (from, unit) = (LostPart::End, TruncationUnit::Characters);
    Fault::ContextTruncation(ContextTruncation { fraction: 0.5, from, unit })
}

/// The client's loop may be busy, or its process may have stood still.
#[tokio::test]
async fn a_failure_that_was_not_handed_over_before_the_stop_never_is() {
    for fault in [
        Fault::Error(ErrorCodes { codes: vec![503], message: None }),
        unavailable(Unavailability::Disconnect, 5),
        truncated(),
    ] {
        let mut bare = Bare::with(fault);
        let sending = bare.call().await;
        bare.shim.kill();
        let heard = bare.heard().await;
        assert_eq!(heard["params"]["arguments"]["text"], "hello, world");
        sending.await.unwrap();
        bare.assert_counts(0, 1);
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_before_its_failure_is_taken_is_not_counted() {
    let mut bare = Bare::with(Fault::Error(ErrorCodes { codes: vec![503], message: None }));
    let sending = bare.call().await;
    let cancel = message(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": { "requestId": 1, "reason": "time-out" } }));
    bare.transport.send(cancel).await.unwrap();
    let ping = message(json!({ "jsonrpc": "2.0", "id": 2, "method": "ping" }));
    bare.transport.send(ping).await.unwrap();
    assert_eq!(bare.heard().await["method"], "ping", "the server never saw the call");
    sending.await.unwrap();
    bare.assert_counts(0, 1);
}

#[tokio::test]
async fn a_call_that_leaves_changed_is_counted_once_it_was_sent() {
    let mut bare = Bare::with(truncated());
    let sending = bare.call().await;
    bare.assert_counts(0, 0);
    assert_eq!(bare.heard().await["params"]["arguments"]["text"], "hello,");
    sending.await.unwrap();
    bare.assert_counts(1, 0);
}

#[tokio::test]
async fn a_call_that_left_changed_is_counted_also_if_the_host_gives_up_before_it_knows() {
    let mut bare = Bare::with(truncated());
    let sending = bare.call().await;
    assert_eq!(bare.heard().await["params"]["arguments"]["text"], "hello,");
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    bare.assert_counts(1, 0);
}

#[tokio::test]
async fn a_server_that_stopped_reading_keeps_no_stop_of_a_changed_call_waiting() {
    let mut bare = Bare::through(16, truncated());
    let sending = bare.call().await;
    assert!(poll_immediate(bare.transport.receive()).await.is_none(), "it is on its way");
    assert_eq!(running(&bare.shim), 1);
    bare.shim.kill();
    until(|| running(&bare.shim) == 0).await;
    bare.assert_counts(1, 0);
    assert_eq!(bare.heard().await["params"]["arguments"]["text"], "hello,");
    sending.await.unwrap();
    bare.assert_counts(1, 0);
}

#[tokio::test]
async fn a_hold_that_a_stop_cut_does_not_wait_for_the_clients_loop() {
    let mut bare = Bare::with(latency(FOREVER_MS));
    let mut sending = Box::pin(bare.transport.send(hello()));
    assert!(poll_immediate(&mut sending).await.is_none(), "it is held");
    let sending = tokio::spawn(async move { sending.await.unwrap() });
    bare.shim.kill();
    until(|| running(&bare.shim) == 0).await;
    bare.assert_counts(1, 0);
    assert_eq!(bare.heard().await["params"]["arguments"]["text"], "hello, world");
    sending.await.unwrap();
    bare.assert_counts(1, 0);
}

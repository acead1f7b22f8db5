//! Messages of the Model Context Protocol, through the adapter that injects into them.
//!
//! Each line is a message: of the client where it begins with `>`, else of the server. What is no message never gets
//! this far, since a transport reads them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rmcp::RoleClient;
use rmcp::model::{JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use squall::session_file::SessionFile;
use squall_proto::vocabulary::session::Experiment;
use squall_shim::Shim;
use squall_shim::rmcp::{ChaosTransport, Counterpart};
use tokio::runtime::{Builder, Runtime};

use super::cast;

/// Faults that hold no call, so that nothing waits for a clock.
const FAULTS: [&str; 10] = [
    "error: {codes: [503]}",
    "tool_unavailable: {}",
    "tool_unavailable: {mode: not_found}",
    "tool_unavailable: {mode: disconnect}",
    "uncooperative_agent: {}",
    "uncooperative_agent: {behaviors: [partial]}",
    "uncooperative_agent: {behaviors: [wrong_format]}",
    "context_truncation: {}",
    "malformed_output: {}",
    "malformed_output: {mode: encoding}",
];

/// Tools of one shim, before another one takes its place.
const SITES_MAX: usize = 256;

type Sent = TxJsonRpcMessage<RoleClient>;
type Received = RxJsonRpcMessage<RoleClient>;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without a network needs nothing of the system");
    /// One for each fault, as soon as it is used.
    static SHIMS: RefCell<BTreeMap<usize, Shim>> = RefCell::default();
}

fn shim(fault: &str) -> Shim {
    let text =
        format!("{{experiments: [{{fault: {{{fault}}}}}], safety: {{max_affected_requests: 9}}}}");
    let file = SessionFile::parse(&text).unwrap_or_else(|why| panic!("{text}: {why}"));
    let experiments: Vec<Experiment> = file.spec.experiments;
    Shim::local(experiments, 1000, 1).expect("a thread can be started")
}

pub(super) fn frames(bytes: &[u8]) {
    let Some((which, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let which = usize::from(*which);
    let counterpart = if (which / FAULTS.len()).is_multiple_of(2) {
        Counterpart::Tools
    } else {
        Counterpart::Agent
    };
    let shim = SHIMS.with_borrow_mut(|shims| {
        // A process has room for some tools. What is full takes no more of them.
        shims.retain(|_, shim| shim.registry().site_count() < SITES_MAX);
        let which = which % FAULTS.len();
        shims.entry(which).or_insert_with(|| self::shim(FAULTS[which])).clone()
    });
    shim.reset();
    RUNTIME.with(|runtime| runtime.block_on(talk(&shim, counterpart, text)));
    assert_eq!(shim.status().panics, 0, "a panic was caught");
}

/// A server that says what it was given to say, and hears everything.
struct Server {
    says: VecDeque<Received>,
    heard: Arc<Mutex<Vec<Sent>>>,
}

impl Transport<RoleClient> for Server {
    type Error = Infallible;

    fn send(
        &mut self,
        message: Sent,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        std::future::ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<Received> {
        self.says.pop_front()
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

async fn talk(shim: &Shim, counterpart: Counterpart, text: &str) {
    let (mut asks, mut says): (Vec<Sent>, VecDeque<Received>) = Default::default();
    for line in text.lines() {
        match line.strip_prefix('>') {
            Some(line) => asks.extend(serde_json::from_str::<Sent>(line).ok()),
            None => says.extend(serde_json::from_str::<Received>(line).ok()),
        }
    }
    let heard = Arc::default();
    let said: Vec<RequestId> = says.iter().filter_map(answers).collect();
    let asked: Vec<RequestId> = asks.iter().filter_map(asks_for).collect();
    let server = Server { says, heard: Arc::clone(&heard) };
    let mut transport = ChaosTransport::new(server, shim, cast::agent(0), counterpart);
    let mut sending: FuturesUnordered<_> = FuturesUnordered::new();
    let count = asks.len();
    for message in asks {
        sending.push(transport.send(message));
    }
    loop {
        tokio::select! {
            biased;
            Some(sent) = sending.next() => sent.unwrap_or_else(|error| match error {}),
            message = transport.receive() => match message {
                Some(message) => {
                    // An answer is the server's, or stands in its place for a call of the client.
                    if let Some(id) = answers(&message) {
                        assert!(said.contains(&id) || asked.contains(&id), "an answer to nothing: {message:?}");
                    }
                }
                None => break,
            },
        }
    }
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(heard.len() <= count, "the server heard more than was said");
    for id in heard.iter().filter_map(asks_for) {
        assert!(asked.contains(&id), "the server heard of {id:?}, which nobody asked");
    }
}

fn answers(message: &Received) -> Option<RequestId> {
    match message {
        JsonRpcMessage::Response(answer) => Some(answer.id.clone()),
        JsonRpcMessage::Error(answer) => answer.id.clone(),
        JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
    }
}

fn asks_for(message: &Sent) -> Option<RequestId> {
    match message {
        JsonRpcMessage::Request(request) => Some(request.id.clone()),
        JsonRpcMessage::Response(_)
        | JsonRpcMessage::Error(_)
        | JsonRpcMessage::Notification(_) => None,
    }
}

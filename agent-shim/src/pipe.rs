//! A way to a coordinator in memory, for simulations and tests: the same bytes on the same subjects, and no network.

use std::sync::{Arc, Mutex, PoisonError};

use squall_proto::subject::TenantSubject;
use squall_shim_core::link::Correlation;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::worker::{Arrival, Wire};

/// The shim's end. It is used up by the first shim that starts on it; a forked child finds it gone.
#[derive(Clone, Debug)]
pub struct Pipe(Arc<Mutex<Option<Near>>>);

#[derive(Debug)]
pub(crate) struct Near {
    out: UnboundedSender<Sent>,
    arriving: UnboundedReceiver<Arrival>,
}

/// The other end. Dropped, it is a network on which nothing arrives any more.
#[derive(Debug)]
pub struct Far {
    sent: UnboundedReceiver<Sent>,
    arriving: UnboundedSender<Arrival>,
}

/// What a shim sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// The subject, without the tenant.
    pub subject: TenantSubject,
    /// For the reply; `None` where none is expected.
    pub reply: Option<Correlation>,
    /// The message.
    pub payload: Vec<u8>,
}

/// Both ends. What lies in between is as large as the test lets it become.
#[must_use]
pub fn pipe() -> (Pipe, Far) {
    let (out, sent) = unbounded_channel();
    let (arriving, arrivals) = unbounded_channel();
    let near = Near { out, arriving: arrivals };
    (Pipe(Arc::new(Mutex::new(Some(near)))), Far { sent, arriving })
}

impl Pipe {
    pub(crate) fn take(&self) -> Option<Near> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Far {
    /// The next message of the shim; `None` once it is gone.
    pub async fn sent(&mut self) -> Option<Sent> {
        self.sent.recv().await
    }

    /// The shim's next message, if it sent one.
    pub fn try_sent(&mut self) -> Option<Sent> {
        self.sent.try_recv().ok()
    }

    /// The connection stands.
    pub fn connect(&self) {
        self.arrive(Arrival::Connected);
    }

    /// The connection is gone.
    pub fn disconnect(&self) {
        self.arrive(Arrival::Disconnected);
    }

    /// A command arrives.
    pub fn command(&self, payload: Vec<u8>) {
        self.arrive(Arrival::Command(payload));
    }

    /// A reply arrives; `None` is a server's word that nobody is there to answer.
    pub fn reply(&self, to: Correlation, payload: Option<Vec<u8>>) {
        self.arrive(Arrival::Reply(to, payload));
    }

    fn arrive(&self, arrival: Arrival) {
        // The shim may be gone; then nothing arrives.
        let _ = self.arriving.send(arrival);
    }
}

impl Wire for Near {
    async fn next(&mut self) -> Arrival {
        match self.arriving.recv().await {
            Some(arrival) => arrival,
            None => std::future::pending().await,
        }
    }

    fn send(
        &mut self,
        subject: &TenantSubject,
        reply: Option<Correlation>,
        payload: Vec<u8>,
    ) -> bool {
        self.out.send(Sent { subject: subject.clone(), reply, payload }).is_ok()
    }
}

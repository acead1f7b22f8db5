//! The shim's own thread: everything meets in one `select!`, and goes into the link one at a time.
//!
//! It owns the link and the connection. It never runs on the host's runtime, and the host never waits for it but in a
//! [`Wait`](crate::timers::Wait) that it ends. A panic in here ends chaos in this process, and nothing else.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use squall_proto::subject::{Partition, TenantSubject};
use squall_proto::vocabulary::id::{ShimId, TenantId};
use squall_proto::vocabulary::limits::MESSAGE_BYTES_MAX;
use squall_proto::vocabulary::message::Request;
use squall_proto::vocabulary::time::BootNanos;
use squall_proto::wire::{decode_command, decode_reply, encode_evidence, encode_request};
use squall_shim_core::link::{self, Correlation, Input, Link, Lost, Output, Plane};
use squall_shim_core::{Clock, Registry};
use tokio::sync::Notify;

use crate::bell::Bell;
use crate::timers::Timers;

/// An answer to an Ask that comes later has no use.
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// All other answers: they may need a commit, or a large plan.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A process that ends waits this long for its Closes to be acknowledged.
const LEAVE_WITHIN: Duration = Duration::from_millis(500);
/// Timers stand still while the machine is suspended; so the thread looks at the clock this often at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What came from outside.
#[derive(Debug)]
pub(crate) enum Arrival {
    Connected,
    Disconnected,
    Command(Vec<u8>),
    /// `None`: nobody is there to answer.
    Reply(Correlation, Option<Vec<u8>>),
}

/// A way to a coordinator.
pub(crate) trait Wire {
    /// The next thing that arrives; may be dropped and called again.
    async fn next(&mut self) -> Arrival;

    /// Sends, or says at once that it can't.
    fn send(
        &mut self,
        subject: &TenantSubject,
        reply: Option<Correlation>,
        payload: Vec<u8>,
    ) -> bool;

    /// Nothing more will be sent: waits until what was handed over is out, for `within` at most.
    async fn leave(&mut self, _within: Duration) {}
}

/// No coordinator at all.
pub(crate) struct Nobody;

impl Wire for Nobody {
    async fn next(&mut self) -> Arrival {
        std::future::pending().await
    }

    fn send(&mut self, _: &TenantSubject, _: Option<Correlation>, _: Vec<u8>) -> bool {
        false
    }
}

/// What went wrong inside the shim. Each led to a passed call, never to an error in the host.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    pub(crate) panics: AtomicU64,
    pub(crate) unreadable: AtomicU64,
    pub(crate) unsent: AtomicU64,
}

/// What the thread shares with the rest of the shim.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) bell: Arc<Bell>,
    pub(crate) timers: Arc<Timers>,
    pub(crate) failures: Arc<Failures>,
    pub(crate) status: Mutex<Option<link::Status>>,
}

/// Everything that a worker needs but its wire.
pub(crate) struct Tools<P> {
    pub(crate) link: Link,
    pub(crate) plane: P,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) listener: Arc<Notify>,
    pub(crate) tenant: TenantId,
    pub(crate) shim: ShimId,
}

/// See the module.
pub(crate) struct Worker<W, P> {
    wire: W,
    link: Link,
    plane: P,
    clock: Arc<dyn Clock>,
    desk: Arc<Desk>,
    tenant: TenantId,
    shim: ShimId,
    /// Requests without an answer, by the time when they count as lost.
    unanswered: BTreeSet<(BootNanos, Correlation)>,
}

/// What woke the thread.
enum Woken {
    Arrived(Arrival),
    Rung,
    Time,
}

impl<W: Wire, P: Plane> Worker<W, P> {
    /// Works until the process leaves, or something in here panics.
    pub(crate) async fn run(wire: W, tools: Tools<P>) {
        let Tools { link, plane, clock, desk, listener, tenant, shim } = tools;
        let unanswered = BTreeSet::new();
        let mut worker = Self { wire, link, plane, clock, desk, tenant, shim, unanswered };
        worker.work(&listener).await;
    }

    async fn work(&mut self, listener: &Notify) {
        let mut leave_by = None;
        loop {
            if self.desk.bell.is_leaving() {
                let now = self.clock.now();
                let by = *leave_by.get_or_insert_with(|| now.plus(LEAVE_WITHIN));
                self.link.handle(now, Input::Leave, &mut self.plane);
                self.perform();
                if self.link.owes_nothing() || now >= by {
                    self.wire.leave(by.since(now)).await;
                    break;
                }
            }
            let pause = self.pause(leave_by);
            let woken = tokio::select! {
                arrival = self.wire.next() => Woken::Arrived(arrival),
                () = listener.notified() => Woken::Rung,
                () = tokio::time::sleep(pause) => Woken::Time,
            };
            let step = catch_unwind(AssertUnwindSafe(|| {
                self.step(woken);
                self.perform();
            }));
            if step.is_err() {
                self.desk.failures.panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!("failed inside the shim; no more chaos in this process");
                break;
            }
        }
    }

    fn pause(&self, leave_by: Option<BootNanos>) -> Duration {
        let (link, _) = self.link.next_wake();
        let unanswered = self.unanswered.first().map(|(due, _)| *due);
        let next = [Some(link), unanswered, self.desk.timers.next(), leave_by];
        let next = next.into_iter().flatten().min().unwrap_or(link);
        next.since(self.clock.now()).min(LOOK_EVERY)
    }

    fn step(&mut self, woken: Woken) {
        let now = self.clock.now();
        self.desk.timers.end_due(now);
        while let Some((due, correlation)) = self.unanswered.first().copied()
            && due <= now
        {
            self.answered(now, correlation, Err(Lost));
        }
        match woken {
            Woken::Arrived(arrival) => self.arrived(now, arrival),
            Woken::Rung => {
                if self.desk.bell.take() {
                    self.link.handle(now, Input::Stirred, &mut self.plane);
                }
            }
            Woken::Time => self.link.handle(now, Input::Tick, &mut self.plane),
        }
    }

    fn arrived(&mut self, now: BootNanos, arrival: Arrival) {
        match arrival {
            Arrival::Connected => self.link.handle(now, Input::Connected, &mut self.plane),
            Arrival::Disconnected => {
                self.desk.timers.answered(false);
                self.unanswered.clear();
                self.link.handle(now, Input::Disconnected, &mut self.plane);
            }
            Arrival::Command(bytes) => match decode_command(&bytes) {
                Ok(command) => self.link.handle(now, Input::Command(command), &mut self.plane),
                Err(error) => self.unreadable("command", &error),
            },
            Arrival::Reply(correlation, None) => self.answered(now, correlation, Err(Lost)),
            Arrival::Reply(correlation, Some(bytes)) => {
                let result = decode_reply(&bytes).map_err(|error| {
                    self.unreadable("reply", &error);
                    Lost
                });
                self.answered(now, correlation, result);
            }
        }
    }

    fn unreadable(&self, what: &str, error: &dyn std::fmt::Display) {
        self.desk.failures.unreadable.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%error, "failed to read a {what}");
    }

    fn answered(
        &mut self,
        now: BootNanos,
        correlation: Correlation,
        result: Result<squall_proto::vocabulary::message::Reply, Lost>,
    ) {
        self.desk.timers.answered(result.is_ok());
        self.unanswered.retain(|(_, waiting)| *waiting != correlation);
        self.link.handle(now, Input::Reply { correlation, result }, &mut self.plane);
    }

    /// Does what the link wants done.
    fn perform(&mut self) {
        while let Some(output) = self.link.poll() {
            match output {
                Output::Send { correlation, request } => self.send(correlation, &request),
                Output::Publish { session, evidence } => {
                    let partition = Partition::of_session(&session);
                    let subject = TenantSubject::Evidence { shim: self.shim.clone(), partition };
                    self.hand_over(&subject, None, encode_evidence(&evidence));
                }
                Output::WakeDelays => self.desk.timers.wake_held(),
                Output::ClaimAnswered(session) => self.desk.timers.wake_claims(&session),
                Output::PlanChanged => {}
            }
        }
        let mut status = self.desk.status.lock().unwrap_or_else(PoisonError::into_inner);
        *status = Some(self.link.status());
    }

    fn send(&mut self, correlation: Correlation, request: &Request) {
        let subject = TenantSubject::ask(&self.tenant, &self.shim, request);
        let within = match request {
            Request::Ask(_) => ASK_WITHIN,
            Request::Hello(_)
            | Request::Sync(_)
            | Request::Renew(_)
            | Request::Close(_)
            | Request::Inert(_) => ANSWER_WITHIN,
        };
        // What could not be sent is lost like any other: its time runs out.
        self.unanswered.insert((self.clock.now().plus(within), correlation));
        self.hand_over(&subject, Some(correlation), encode_request(request));
    }

    fn hand_over(&mut self, subject: &TenantSubject, reply: Option<Correlation>, payload: Vec<u8>) {
        if payload.len() > MESSAGE_BYTES_MAX || !self.wire.send(subject, reply, payload) {
            self.desk.failures.unsent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whatever ends the thread: nothing is injected any more, and nobody waits.
pub(crate) struct End(pub(crate) Arc<Desk>, pub(crate) Arc<Registry>);

impl Drop for End {
    fn drop(&mut self) {
        let Self(desk, registry) = self;
        registry.lease().end();
        registry.install(&[]);
        desk.timers.close();
        *desk.status.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

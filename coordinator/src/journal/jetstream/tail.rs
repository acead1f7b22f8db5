//! Reading a stream in order, for as long as somebody listens.
//!
//! A pull consumer of our own: in memory, without acknowledgements, with a heartbeat of 500 ms, made anew after two
//! misses (async-nats' ordered consumer notices after 5 to 15 s). It starts one record early, at the last one that was
//! read: if that record is another one by now, the log was rewritten below us.
//!
//! A log that contradicts itself ends its tail. Evidence is no truth: its stream is made anew if it is gone, and read from
//! its beginning if it is another one.

mod kind;

use std::time::Duration;

use async_nats::header;
use async_nats::jetstream::consumer::pull::{self, Config};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::{Message, stream};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, unfold};
use squall_proto::vocabulary::id::LogId;
use squall_proto::vocabulary::time::UnixMillis;
use tokio::time::Instant;

use super::super::{Damage, Entry, TailEvent};
use super::{chain, streams};
pub(super) use kind::Kind;

/// A consumer says that it lives this often; after two misses it is made anew.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// A pull request lasts this long; the client renews it.
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// Records asked for at once, and their bytes: the most that waits here untaken is one and a half times that.
const PULL_RECORDS: usize = 2_048;
const PULL_BYTES: usize = 8 * 1024 * 1024;
/// The server drops a consumer that nobody pulled from for this long.
const ABANDONED_AFTER: Duration = Duration::from_secs(10);
/// A consumer that lives and delivers nothing for this long is held against what the leader has: it may stand beside a copy
/// that got stuck, as one does whose disk was full. A silent log costs a small request each time.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// First and longest wait before the next try to make a consumer.
const AGAIN_FIRST: Duration = Duration::from_millis(50);
const AGAIN_LONGEST: Duration = Duration::from_secs(1);
/// A stream that looks gone or shorter is believed to be so after this time: twice what a leader without quorum may
/// keep answering (10 s, nats-server `raft.go`, `lostQuorumInterval`), and far longer than one lags after an election.
const BELIEVED_AFTER: Duration = Duration::from_secs(20);
/// Evidence that can't be read for longer is said to be so: a change of its leader takes 4 to 9 s (docs/nats.md).
const UNREADABLE_AFTER: Duration = Duration::from_secs(12);

/// The records of `kind`'s stream after `after`; `id` is the stream that was opened.
pub(super) fn start(
    api: Context,
    kind: Kind,
    id: LogId,
    after: u64,
) -> BoxStream<'static, TailEvent> {
    let tail = Tail {
        api,
        kind,
        id,
        read: after,
        last: None,
        consumer: None,
        pause: AGAIN_FIRST,
        suspicion: None,
        missed: None,
        end: 0,
        at_end: false,
        told_end: None,
        over: false,
        unread: None,
    };
    unfold(tail, |mut tail| async move { Some((tail.next().await?, tail)) }).boxed()
}

struct Tail {
    api: Context,
    kind: Kind,
    id: LogId,
    /// Last sequence that was yielded or skipped.
    read: u64,
    /// What stood at `read`, as far as we saw it.
    last: Option<(UnixMillis, Bytes)>,
    consumer: Option<Reading>,
    pause: Duration,
    suspicion: Option<(Instant, Damage)>,
    /// Where a record was due that did not come.
    missed: Option<u64>,
    /// Newest sequence that the leader had when the consumer was made.
    end: u64,
    /// The record just yielded was the newest one.
    at_end: bool,
    /// The last sequence that was told to be the newest.
    told_end: Option<u64>,
    over: bool,
    /// Since when evidence can't be read, and whether that was said. Only reading ends it, or that there is nothing to read.
    unread: Option<(Instant, bool)>,
}

/// A consumer at work.
struct Reading {
    name: String,
    messages: pull::Stream,
    /// Messages that it delivered.
    delivered: u64,
}

/// What became of one step.
enum Step {
    Yield(TailEvent),
    Again,
    /// The consumer is of no use any more.
    Lost(String),
}

impl Tail {
    async fn next(&mut self) -> Option<TailEvent> {
        while !self.over {
            let step =
                if std::mem::take(&mut self.at_end) { self.tell_end() } else { self.step().await };
            match self.forgiven(step).await {
                Step::Yield(event) => {
                    self.over = matches!(event, TailEvent::Damaged { .. });
                    return Some(event);
                }
                Step::Again => {}
                Step::Lost(why) => {
                    self.wait_before_next_try(&why).await;
                    if let Some(event) = self.unreadable(why) {
                        return Some(event);
                    }
                }
            }
        }
        None
    }

    /// Evidence that is gone, or another one than what was read, is read from its beginning: it is cumulative, so that what
    /// is read again changes nothing.
    async fn forgiven(&mut self, step: Step) -> Step {
        let (Step::Yield(TailEvent::Damaged { why }), Kind::Evidence(config)) = (&step, &self.kind)
        else {
            return step;
        };
        match streams::ensure(&self.api, config.as_ref().clone()).await {
            Ok(id) => {
                tracing::error!(%why, "evidence was lost; what is there is read from its beginning");
                (self.id, self.read, self.last, self.told_end) = (id, 0, None, None);
                // It stands behind what is to be read again.
                if let Some(reading) = self.consumer.take() {
                    self.drop_consumer(reading.name);
                }
                Step::Again
            }
            Err(error) => Step::Lost(error.to_string()),
        }
    }

    /// That evidence can't be read, once it lasts.
    fn unreadable(&mut self, why: String) -> Option<TailEvent> {
        let (since, is_told) = self.unread.get_or_insert_with(|| (Instant::now(), false));
        let silent = since.elapsed();
        if self.kind.is_log() || *is_told || silent < UNREADABLE_AFTER {
            return None;
        }
        *is_told = true;
        self.told_end = None;
        Some(TailEvent::Unreadable { why, silent })
    }

    async fn step(&mut self) -> Step {
        match self.consumer.take() {
            None => self.open().await,
            Some(reading) => self.read_on(reading).await,
        }
    }

    async fn wait_before_next_try(&mut self, why: &str) {
        let stream = self.kind.stream();
        tracing::debug!(stream, read = self.read, why, "making the consumer anew");
        tokio::time::sleep(self.pause.mul_f64(rand::random_range(0.5..=1.0))).await;
        self.pause = (self.pause * 2).min(AGAIN_LONGEST);
    }

    async fn open(&mut self) -> Step {
        let info = match self.api.get_stream(self.kind.stream()).await {
            Ok(stream) => stream.cached_info().clone(),
            Err(error) if streams::is_missing(&error.kind()) => return self.suspect(Damage::Gone),
            Err(error) => return Step::Lost(chain(&error)),
        };
        if let Some(step) = self.contradiction(&info) {
            return step;
        }
        self.suspicion = None;
        self.end = info.state.last_sequence;
        if info.state.messages == 0 {
            // Whatever there was has expired, or there never was anything.
            self.read = self.end;
        }
        match self.make_consumer().await {
            Ok(consumer) => {
                self.consumer = Some(consumer);
                if self.read >= self.end {
                    self.unread = None;
                }
                self.tell_end()
            }
            Err(why) => Step::Lost(why),
        }
    }

    /// What the stream says of itself that can't be true of the one that was read.
    fn contradiction(&mut self, info: &stream::Info) -> Option<Step> {
        let found = streams::id_of(&info.config).map(|id| id.to_string()).unwrap_or_default();
        if found != self.id.as_str() {
            return Some(damaged(Damage::Recreated { expected: self.id.to_string(), found }));
        }
        let stream::State { first_sequence: first, last_sequence: last, .. } = info.state;
        if last < self.read {
            return Some(self.suspect(Damage::Truncated { last, read: self.read }));
        }
        if self.kind.is_log() && self.read > 0 && first > self.read + 1 {
            return Some(damaged(Damage::Expired { expected: self.read + 1, first }));
        }
        None
    }

    /// Damage that a server which lags or lost its peers shows too: it has to last, unless it is forgiven.
    fn suspect(&mut self, why: Damage) -> Step {
        let now = Instant::now();
        let (since, _) = self.suspicion.get_or_insert_with(|| (now, why.clone()));
        if !self.kind.is_log() || now.duration_since(*since) >= BELIEVED_AFTER {
            return damaged(why);
        }
        Step::Lost(why.to_string())
    }

    async fn make_consumer(&self) -> Result<Reading, String> {
        let start_sequence = if self.last.is_some() { self.read } else { self.read + 1 };
        let config = Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            ack_policy: AckPolicy::None,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: ABANDONED_AFTER,
            ..Config::default()
        };
        let consumer: Consumer<Config> = self
            .api
            .create_consumer_on_stream(config, self.kind.stream())
            .await
            .map_err(|error| chain(&error))?;
        let name = consumer.cached_info().name.clone();
        let messages = consumer
            .stream()
            .heartbeat(HEARTBEAT)
            .expires(PULL_EXPIRES)
            .max_messages_per_batch(PULL_RECORDS)
            .max_bytes_per_batch(PULL_BYTES)
            .messages()
            .await
            .map_err(|error| chain(&error))?;
        Ok(Reading { name, messages, delivered: 0 })
    }

    async fn read_on(&mut self, mut reading: Reading) -> Step {
        let message = match tokio::time::timeout(SILENT_MAX, reading.messages.next()).await {
            Ok(Some(Ok(message))) => message,
            Err(_) => return self.silent(reading).await,
            Ok(lost) => {
                let why = lost.and_then(Result::err).map_or("ended".to_owned(), |e| chain(&e));
                self.drop_consumer(reading.name);
                return Step::Lost(why);
            }
        };
        match self.take(&message, &mut reading) {
            Step::Lost(why) => {
                self.drop_consumer(reading.name);
                Step::Lost(why)
            }
            step @ (Step::Yield(_) | Step::Again) => {
                self.consumer = Some(reading);
                self.pause = AGAIN_FIRST;
                self.unread = None;
                step
            }
        }
    }

    /// A consumer says that it lives, and nothing else: there is nothing to say, or its copy of the stream is stuck. Another
    /// one may be placed beside another copy.
    async fn silent(&mut self, reading: Reading) -> Step {
        let newest = match self.api.get_stream(self.kind.stream()).await {
            Ok(stream) => stream.cached_info().state.last_sequence,
            // Whether the consumer lives shows without the leader's word.
            Err(_) => self.read,
        };
        if newest <= self.read {
            self.consumer = Some(reading);
            return Step::Again;
        }
        self.drop_consumer(reading.name);
        let read = self.read;
        Step::Lost(format!("the consumer delivers nothing after {read}, and there is {newest}"))
    }

    /// Spares the server a consumer that it would keep for [`ABANDONED_AFTER`]; nothing depends on it.
    fn drop_consumer(&self, name: String) {
        let (api, stream) = (self.api.clone(), self.kind.stream());
        tokio::spawn(async move { api.delete_consumer_from_stream(name, stream).await.ok() });
    }

    fn take(&mut self, message: &Message, reading: &mut Reading) -> Step {
        let Ok(info) = message.info() else {
            return Step::Lost("a message without its position".to_owned());
        };
        reading.delivered += 1;
        if info.consumer_sequence != reading.delivered {
            return Step::Lost("a message was lost on its way".to_owned());
        }
        let (sequence, at_end) = (info.stream_sequence, info.pending == 0);
        let time = UnixMillis(
            u64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or(0),
        );
        if sequence <= self.read {
            return self.compare(sequence, time, &message.payload, at_end);
        }
        let expected = self.read + 1;
        if self.kind.is_log() && self.read > 0 && sequence > expected {
            return self.missing(expected, sequence);
        }
        self.yield_entry(message, sequence, time, at_end)
    }

    /// Records are missing. They may have expired on their way here, and then the stream says that it begins behind them;
    /// if it doesn't, and they are missing again, they are lost.
    fn missing(&mut self, expected: u64, found: u64) -> Step {
        if self.missed.replace(expected) == Some(expected) {
            return damaged(Damage::Gap { expected, found });
        }
        Step::Lost(format!("sequence {found} came where {expected} was due"))
    }

    /// Looks at the record before the first new one: it must be the one that was read.
    fn compare(&mut self, sequence: u64, time: UnixMillis, bytes: &Bytes, at_end: bool) -> Step {
        let same = self.last.as_ref().is_none_or(|last| *last == (time, bytes.clone()));
        if sequence == self.read && !same {
            return damaged(Damage::Rewritten { sequence });
        }
        if at_end { self.tell_end() } else { Step::Again }
    }

    fn yield_entry(
        &mut self,
        message: &Message,
        sequence: u64,
        time: UnixMillis,
        at_end: bool,
    ) -> Step {
        let bytes = message.payload.clone();
        self.read = sequence;
        self.last = Some((time, bytes.clone()));
        self.at_end = at_end;
        let subject = match message.subject.parse() {
            Ok(subject) => subject,
            Err(error) => return self.strange(message, sequence, &error),
        };
        let id = message.headers.as_ref().and_then(|headers| headers.get(header::NATS_MESSAGE_ID));
        let id = id.filter(|_| self.kind.is_log()).and_then(|id| id.as_str().parse().ok());
        Step::Yield(TailEvent::Entry(Entry { sequence, subject, bytes, time, id }))
    }

    fn strange(&self, message: &Message, sequence: u64, error: &dyn std::error::Error) -> Step {
        let subject = message.subject.to_string();
        match &self.kind {
            Kind::Log => damaged(Damage::UnknownSubject { sequence, subject }),
            Kind::Evidence(_) => {
                tracing::debug!(subject, sequence, %error, "evidence on a strange subject is skipped");
                Step::Again
            }
        }
    }

    /// Says once that nothing follows. A consumer may live beside a copy that lags: only what the leader had counts.
    fn tell_end(&mut self) -> Step {
        if self.told_end == Some(self.read) || self.read < self.end {
            return Step::Again;
        }
        self.told_end = Some(self.read);
        Step::Yield(TailEvent::CaughtUp { last_sequence: self.read })
    }
}

fn damaged(why: Damage) -> Step {
    Step::Yield(TailEvent::Damaged { why })
}

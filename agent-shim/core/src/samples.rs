//! A bounded store of what happened to single calls, for the timeline. Full or busy: drop and count, never block.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_proto::vocabulary::id::{InjectionId, TraceId};
use squall_proto::vocabulary::message::{Sample, SampleKind};
use squall_proto::vocabulary::time::UnixMillis;

use crate::directive::NotApplied;
use crate::inline::InlineName;
use crate::limits::{SAMPLE_SHARDS, SAMPLES_PER_SHARD};
use crate::lock::{lock, try_lock};
use crate::site::Rule;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Applied { held: Duration },
    NotApplied(NotApplied),
    Failed,
}

/// Everything that a sample says, without text of its own: written by hook threads.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) rule: Arc<Rule>,
    pub(crate) injection: InjectionId,
    pub(crate) trace: InlineName,
    pub(crate) at: UnixMillis,
    pub(crate) what: What,
}

#[derive(Debug, Default)]
pub(crate) struct Samples {
    shards: [Mutex<VecDeque<Record>>; SAMPLE_SHARDS],
    next: AtomicUsize,
    lost: AtomicU64,
}

impl Samples {
    /// Keeps a record in the first shard that is free and has room.
    pub(crate) fn record(&self, record: Record) {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for offset in 0..SAMPLE_SHARDS {
            let shard = &self.shards[first.wrapping_add(offset) % SAMPLE_SHARDS];
            if let Some(mut records) = try_lock(shard).filter(|r| r.len() < SAMPLES_PER_SHARD) {
                if records.capacity() == 0 {
                    records.reserve_exact(SAMPLES_PER_SHARD);
                }
                records.push_back(record);
                return;
            }
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes up to `max` samples: the oldest of each shard, sorted by time.
    pub(crate) fn drain(&self, max: usize) -> Vec<Sample> {
        let mut taken = Vec::new();
        let mut room = max;
        // Small shares in turn, so that no shard starves when `max` is small.
        loop {
            let before = taken.len();
            for shard in &self.shards {
                let mut records = lock(shard);
                let share = room.min(records.len()).min(max.div_ceil(SAMPLE_SHARDS));
                taken.extend(records.drain(..share));
                room -= share;
            }
            if room == 0 || taken.len() == before {
                break;
            }
        }
        let mut samples: Vec<Sample> = taken.iter().map(Record::sample).collect();
        samples.sort_by_key(|sample| sample.at);
        samples
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Forgets everything; `false` if a fork left a lock held.
    pub(crate) fn clear(&self) -> bool {
        self.lost.store(0, Ordering::Relaxed);
        self.shards.iter().all(|shard| try_lock(shard).map(|mut shard| shard.clear()).is_some())
    }
}

impl Record {
    fn sample(&self) -> Sample {
        let Self { rule, injection, trace, at, what } = self;
        Sample {
            session: rule.live.key().clone(),
            experiment: rule.experiment().name.clone(),
            injection: *injection,
            agent: rule.agent.clone(),
            tool: rule.tool.clone(),
            trace: TraceId::new(trace.as_str()).ok(),
            at: *at,
            what: match what {
                What::Applied { held } => SampleKind::Applied { held: *held },
                What::NotApplied(why) => SampleKind::NotApplied { why: why.to_string() },
                What::Failed => SampleKind::Failed,
            },
        }
    }
}

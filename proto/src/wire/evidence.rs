//! What shims did and saw.

use std::time::Duration;

use super::read::{Read, field, for_people, list, optional, required, text, try_from_wire, within};
use super::time::nanos;
use super::v1;
use crate::vocabulary::counts::{Counts, TraceCounts};
use crate::vocabulary::limits::{
    COUNT_MAX, EVIDENCE_ROWS_MAX, MOMENT_MAX, SAMPLES_MAX, TEXT_BYTES_MAX,
};
use crate::vocabulary::message::{CountRow, Evidence, Sample, SampleKind, TraceRow};
use crate::vocabulary::time::UnixMillis;
use crate::vocabulary::violation::Check;

impl From<&Evidence> for v1::Evidence {
    fn from(evidence: &Evidence) -> Self {
        let Evidence { incarnation, rows, traces, samples, samples_lost } = evidence;
        Self {
            incarnation: (*incarnation).into(),
            rows: rows.iter().map(Into::into).collect(),
            traces: traces.iter().map(Into::into).collect(),
            samples: samples.iter().map(Into::into).collect(),
            samples_lost: *samples_lost,
        }
    }
}

impl Read<v1::Evidence> for Evidence {
    fn read(check: &mut Check, wire: v1::Evidence) -> Option<Self> {
        let v1::Evidence { incarnation, rows, traces, samples, samples_lost } = wire;
        let incarnation = field(check, "incarnation", incarnation);
        let rows = list(check, "rows", rows, EVIDENCE_ROWS_MAX);
        let traces = list(check, "traces", traces, EVIDENCE_ROWS_MAX);
        let samples = list(check, "samples", samples, SAMPLES_MAX);
        Some(Self {
            incarnation: incarnation?,
            rows: rows?,
            traces: traces?,
            samples: samples?,
            samples_lost,
        })
    }
}

impl From<&CountRow> for v1::CountRow {
    fn from(row: &CountRow) -> Self {
        let CountRow { session, experiment, agent, counts } = row;
        Self {
            session: Some(session.into()),
            experiment: experiment.to_string(),
            agent: agent.to_string(),
            counts: Some((*counts).into()),
        }
    }
}

impl Read<v1::CountRow> for CountRow {
    fn read(check: &mut Check, wire: v1::CountRow) -> Option<Self> {
        let v1::CountRow { session, experiment, agent, counts } = wire;
        let session = required(check, "session", session);
        let experiment = field(check, "experiment", experiment);
        let agent = field(check, "agent", agent);
        let counts = required(check, "counts", counts);
        Some(Self { session: session?, experiment: experiment?, agent: agent?, counts: counts? })
    }
}

impl From<Counts> for v1::Counts {
    fn from(counts: Counts) -> Self {
        let Counts { seen, chosen, applied, skipped, not_applicable } = counts;
        Self { seen, chosen, applied, skipped, not_applicable }
    }
}

impl Read<v1::Counts> for Counts {
    fn read(check: &mut Check, wire: v1::Counts) -> Option<Self> {
        let v1::Counts { seen, chosen, applied, skipped, not_applicable } = wire;
        let seen = count(check, "seen", seen);
        let chosen = count(check, "chosen", chosen);
        let applied = count(check, "applied", applied);
        let skipped = count(check, "skipped", skipped);
        let not_applicable = count(check, "not_applicable", not_applicable);
        Some(Self {
            seen: seen?,
            chosen: chosen?,
            applied: applied?,
            skipped: skipped?,
            not_applicable: not_applicable?,
        })
    }
}

fn count(check: &mut Check, name: &str, count: u64) -> Option<u64> {
    within(check, name, count, 0, COUNT_MAX)
}

impl From<&TraceRow> for v1::TraceRow {
    fn from(row: &TraceRow) -> Self {
        let TraceRow { session, counts } = row;
        Self { session: Some(session.into()), counts: Some((*counts).into()) }
    }
}

impl Read<v1::TraceRow> for TraceRow {
    fn read(check: &mut Check, wire: v1::TraceRow) -> Option<Self> {
        let v1::TraceRow { session, counts } = wire;
        let session = required(check, "session", session);
        let counts = required(check, "counts", counts);
        Some(Self { session: session?, counts: counts? })
    }
}

impl From<TraceCounts> for v1::TraceCounts {
    fn from(counts: TraceCounts) -> Self {
        let TraceCounts { failed_downstream, failed_background, succeeded } = counts;
        Self { failed_downstream, failed_background, succeeded }
    }
}

impl Read<v1::TraceCounts> for TraceCounts {
    fn read(check: &mut Check, wire: v1::TraceCounts) -> Option<Self> {
        let v1::TraceCounts { failed_downstream, failed_background, succeeded } = wire;
        let failed_downstream = count(check, "failed_downstream", failed_downstream);
        let failed_background = count(check, "failed_background", failed_background);
        let succeeded = count(check, "succeeded", succeeded);
        Some(Self {
            failed_downstream: failed_downstream?,
            failed_background: failed_background?,
            succeeded: succeeded?,
        })
    }
}

impl From<&Sample> for v1::Sample {
    fn from(sample: &Sample) -> Self {
        let Sample { session, experiment, injection, agent, tool, trace, at, what } = sample;
        // The host's clock may be anything; a message must not be lost for it.
        let UnixMillis(at) = at.min(&MOMENT_MAX);
        Self {
            session: Some(session.into()),
            experiment: experiment.to_string(),
            injection: (*injection).into(),
            agent: agent.to_string(),
            tool: tool.to_string(),
            trace: trace.as_ref().map(ToString::to_string),
            at_unix_ms: *at,
            what: Some(what.into()),
        }
    }
}

impl Read<v1::Sample> for Sample {
    fn read(check: &mut Check, wire: v1::Sample) -> Option<Self> {
        let v1::Sample { session, experiment, injection, agent, tool, trace, at_unix_ms, what } =
            wire;
        let session = required(check, "session", session);
        let experiment = field(check, "experiment", experiment);
        let injection = field(check, "injection", injection);
        let agent = field(check, "agent", agent);
        let tool = field(check, "tool", tool);
        let trace = optional(check, "trace", trace);
        let at = within(check, "at_unix_ms", at_unix_ms, 0, MOMENT_MAX.0);
        let what = required(check, "what", what);
        Some(Self {
            session: session?,
            experiment: experiment?,
            injection: injection?,
            agent: agent?,
            tool: tool?,
            trace: trace?,
            at: UnixMillis(at?),
            what: what?,
        })
    }
}

impl From<&SampleKind> for v1::sample::What {
    fn from(what: &SampleKind) -> Self {
        match what {
            SampleKind::Applied { held } => Self::Applied(v1::Applied { held_ns: nanos(*held) }),
            SampleKind::NotApplied { why } => {
                Self::NotApplied(v1::NotApplied { why: for_people(why, TEXT_BYTES_MAX) })
            }
            SampleKind::Failed => Self::Failed(v1::CallFailed {}),
        }
    }
}

impl Read<v1::sample::What> for SampleKind {
    fn read(check: &mut Check, wire: v1::sample::What) -> Option<Self> {
        match wire {
            v1::sample::What::Applied(v1::Applied { held_ns }) => {
                Some(Self::Applied { held: Duration::from_nanos(held_ns) })
            }
            v1::sample::What::NotApplied(v1::NotApplied { why }) => {
                text(check, "why", why, TEXT_BYTES_MAX).map(|why| Self::NotApplied { why })
            }
            v1::sample::What::Failed(v1::CallFailed {}) => Some(Self::Failed),
        }
    }
}

try_from_wire!(Evidence => Evidence);

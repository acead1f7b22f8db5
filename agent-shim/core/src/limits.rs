//! Bounds of one process, each with its reason.

use std::time::Duration;

/// Sites of a process: what a Hello can announce. About 600 bytes each, and a shim may add 2 MiB to its agent.
pub(crate) const SITES_MAX: usize = squall_proto::vocabulary::limits::SITES_MAX;
/// Sessions that one shim takes part in at once; each is checked against every site when the plan changes.
pub(crate) const SESSIONS_MAX: usize = 64;
/// Experiments armed on one site: twice what the hook's cost was measured up to, and 2 KiB on a site with more than 8.
pub(crate) const RULES_MAX: usize = 256;
/// Sessions that left the plan and whose counters or permits the link has not settled yet. One whose fault still runs stays
/// beyond it, since its stop waits for that: the host holds a call for each, and soon all of them end.
pub(crate) const LEFT_MAX: usize = 256;
/// Traces followed at once: about 300 bytes each.
pub(crate) const TRACES_MAX: usize = 2048;
/// A trace without a call for this long has ended: twice the longest tool time-out that frameworks default to.
pub(crate) const TRACE_IDLE: Duration = Duration::from_secs(120);
/// Sessions remembered as having hit one trace.
pub(crate) const HITS_MAX: usize = 8;
/// Shards of the store of samples, so that threads that finish at once rarely meet.
pub(crate) const SAMPLE_SHARDS: usize = 4;
/// Samples in one shard: about 50 kB. Counters lose nothing when it is full.
pub(crate) const SAMPLES_PER_SHARD: usize = 256;
/// Faults under way whose traces are known even if their hosts cancel them: about 140 bytes each. Beyond it, a call that
/// is cancelled in its fault counts as applied, in no trace.
pub(crate) const POCKETS: usize = 256;

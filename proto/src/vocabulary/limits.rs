//! Every bound of the contract, each with its reason. Nothing in Squall is unbounded.

use std::time::Duration;

use super::time::UnixMillis;

/// Longest identifier that becomes a NATS subject token, in bytes. Keeps subjects far below the server's line limit of 4 KiB.
pub const TOKEN_BYTES_MAX: usize = 64;
/// Longest free-text name (agent, tool, experiment, trace), in bytes. OpenTelemetry and MCP names are far shorter.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest reason or message that a person writes, in bytes: a paragraph, and a log line can still hold it.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Most experiments in one session. The hook's cost was measured up to 100 rules on one site.
pub const EXPERIMENTS_MAX: usize = 100;
/// Most names in one selector list: a plan must stay under [`PLAN_BYTES_MAX`].
pub const SELECTOR_NAMES_MAX: usize = 256;
/// Most tenants in one session.
pub const TENANTS_MAX: usize = 64;
/// Most entries in a list inside a fault (status codes, refusal texts).
pub const FAULT_LIST_MAX: usize = 32;
/// Largest budget of one session. The ledger keeps a record for each open grant, not for each permit.
pub const BUDGET_MAX: u32 = 1_000_000;
/// Most permits in one grant (docs/protocol.md, coordinator rule 2): what one dead shim can strand.
pub const GRANT_PERMITS_MAX: u32 = 256;
/// Shortest and longest session. The log keeps events for 30 days; a session must end well inside.
pub const SESSION_DURATION_MIN: Duration = Duration::from_secs(1);
/// See [`SESSION_DURATION_MIN`].
pub const SESSION_DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest time that one fault may hold a call, in milliseconds. It is `D` in the stop bound, so it must be short.
pub const FAULT_DURATION_MS_MAX: u64 = 60_000;
/// How long the log keeps a record (docs/nats.md). A draft, the longest session and its proof end well inside; what must
/// outlive it is appended again at half of it, so that an outage of the other half loses nothing.
pub const LOG_KEEPS: Duration = Duration::from_secs(30 * 24 * 3600);
/// Largest message of the contract in bytes, encoded; under the NATS server's default `max_payload` of 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// Largest page of a plan in bytes, encoded (docs/nats.md).
pub const PLAN_BYTES_MAX: usize = 256 * 1024;
/// Most live sessions, and most ended ones, in one page of a plan: with keys of usual length [`PLAN_BYTES_MAX`] is reached first.
pub const PLAN_SESSIONS_MAX: usize = 4096;
/// Largest session specification in bytes, as a file or encoded.
pub const SPEC_BYTES_MAX: usize = 128 * 1024;
/// Most agents, tools or seams that one shim may announce.
pub const ANNOUNCED_MAX: usize = 1024;
/// Most sites of one shim: each is an agent, a tool and a seam by their places in those lists, about 11 bytes encoded. A Hello
/// with every list full is smaller than [`MESSAGE_BYTES_MAX`].
pub const SITES_MAX: usize = 2048;
/// Most sticky aborts in one Hello or Renew. A shim with more reports the rest with the next one.
pub const HELLO_LIST_MAX: usize = 256;
/// Most rows in one evidence message; a shim with more sends several.
pub const EVIDENCE_ROWS_MAX: usize = 1024;
/// Most samples of injections in one evidence message. Samples are for the timeline; counts are cumulative and lose nothing.
pub const SAMPLES_MAX: usize = 256;
/// Largest value of a counter in evidence: two million calls a second for the longest session. The sum of all rows that a
/// coordinator keeps of one session stays far below what 64 bits hold.
pub const COUNT_MAX: u64 = 1 << 40;
/// Latest moment of a sample, the last millisecond of the year 9999: what RFC 3339 and calendars can write.
pub const MOMENT_MAX: UnixMillis = UnixMillis(253_402_300_799_999);
/// Partitions of ownership (docs/nats.md): enough to spread over any sensible number of replicas, few enough to subscribe to each.
pub const PARTITIONS: u16 = 64;

/// Time a shim may use permits without contact. Three renewals fit into it, and each is a few round trips.
pub const LEASE_TTL: Duration = Duration::from_secs(3);
/// Time a permit lives from the first send of its request (`V` in docs/protocol.md).
pub const PERMIT_LIFE: Duration = Duration::from_secs(10);
/// Largest difference of clock *rates* that the stop bound allows for, in parts per million (`rho`). NTP slews at 500 ppm at most.
pub const CLOCK_RATE_PPM: u64 = 500;
/// Longest time that ending a fault takes once a shim knows of a stop: one wake-up of the host's runtime.
pub const CANCEL_GRACE: Duration = Duration::from_millis(250);
/// Longest wait of a request for its own permit in `strict_claim`.
pub const CLAIM_WAIT: Duration = Duration::from_millis(20);
/// Idle permits go back after this time (shim rule 4).
pub const PERMIT_IDLE: Duration = Duration::from_secs(1);
/// A shim says Hello again at least this often while it is connected, whatever else it says: what goes to one replica alone
/// tells the others nothing. 100,000 shims make it 3,700 a second, and a Hello of few sites has a few hundred bytes.
pub const HELLO_EVERY: Duration = Duration::from_secs(30);
/// A plan's version is repeated this often to each tenant.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);

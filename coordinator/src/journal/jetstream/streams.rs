//! The streams: how they must be set up, and what is wrong with one that isn't.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    Context, CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind,
};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType,
};
use squall_proto::subject::{EVIDENCE_STREAM, Filter, LOG_STREAM};
use squall_proto::vocabulary::id::LogId;
use squall_proto::vocabulary::limits::LOG_KEEPS;

use super::{OpenError, Settings, chain};

/// Metadata: which layout of subjects and records the stream holds.
pub const SCHEMA_KEY: &str = "squall.schema";
/// Metadata: the stream's identity, random, new whenever it is made anew.
pub const ID_KEY: &str = "squall.log_id";
/// The layout that this version reads and writes.
const SCHEMA: &str = "1";

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long evidence is kept: as long as the longest session, for its timeline.
const EVIDENCE_AGE_MAX: Duration = DAY.saturating_mul(7);
/// How long a message id is known: JetStream's default, and far longer than anyone repeats a write.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// No limit, in JetStream's words.
const UNLIMITED: i64 = -1;

/// The log: nothing in it is ever changed, discarded or removed before its time.
pub(super) fn log(settings: &Settings) -> Config {
    Config {
        max_age: LOG_KEEPS,
        max_bytes: settings.log_bytes_max.map_or(UNLIMITED, clamp),
        discard: DiscardPolicy::New,
        deny_delete: true,
        deny_purge: true,
        ..ours(LOG_STREAM, Filter::Log, settings)
    }
}

/// The evidence: the oldest goes first. It never answers: a reply would look like ours.
pub(super) fn evidence(settings: &Settings) -> Config {
    Config {
        max_age: EVIDENCE_AGE_MAX,
        max_bytes: clamp(settings.evidence_bytes_max),
        discard: DiscardPolicy::Old,
        no_ack: true,
        ..ours(EVIDENCE_STREAM, Filter::Evidence, settings)
    }
}

fn ours(name: &str, subjects: Filter, settings: &Settings) -> Config {
    let id = format!("{:032x}", rand::random::<u128>());
    let metadata = [(SCHEMA_KEY, SCHEMA.to_owned()), (ID_KEY, id)];
    Config {
        name: name.to_owned(),
        subjects: vec![subjects.to_string()],
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        num_replicas: settings.replicas,
        max_messages: UNLIMITED,
        max_messages_per_subject: UNLIMITED,
        duplicate_window: DUPLICATE_WINDOW,
        metadata: HashMap::from(metadata.map(|(key, value)| (key.to_owned(), value))),
        ..Config::default()
    }
}

fn clamp(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The identity of a stream of ours.
pub(super) fn id_of(config: &Config) -> Option<LogId> {
    config.metadata.get(ID_KEY).and_then(|id| LogId::new(id).ok())
}

/// Finds the stream or makes it, and checks it either way. Its identity.
pub(super) async fn ensure(api: &Context, wanted: Config) -> Result<LogId, OpenError> {
    let found = find_or_make(api, &wanted).await?;
    let differences = differences(&found, &wanted);
    match id_of(&found) {
        Some(id) if differences.is_empty() => Ok(id),
        _ => Err(OpenError::Foreign { stream: wanted.name, differences }),
    }
}

async fn find_or_make(api: &Context, wanted: &Config) -> Result<Config, OpenError> {
    match look(api, &wanted.name).await? {
        Some(found) => Ok(found),
        None => make(api, wanted).await,
    }
}

async fn look(api: &Context, name: &str) -> Result<Option<Config>, OpenError> {
    match api.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) if is_missing(&error.kind()) => Ok(None),
        Err(error) if error.kind() == GetStreamErrorKind::Request => {
            Err(unanswered("look for stream", name, &error))
        }
        Err(error) => Err(failed("look for stream", name, &error)),
    }
}

pub(super) fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// Makes the stream, or takes the one that another replica made in the meantime.
async fn make(api: &Context, wanted: &Config) -> Result<Config, OpenError> {
    let name = wanted.name.as_str();
    match api.create_stream(wanted.clone()).await {
        Ok(stream) => Ok(stream.cached_info().config.clone()),
        Err(error) if is_taken(&error.kind()) => {
            // Whoever made it may not be done: then it isn't to be seen yet.
            let unanswered = || unanswered("make stream", name, &error);
            look(api, name).await?.ok_or_else(unanswered)
        }
        Err(error) if passes(&error) => Err(unanswered("make stream", name, &error)),
        Err(error) => Err(failed("make stream", name, &error)),
    }
}

/// Whether it may go well in a moment. The leader of a cluster that just started has not heard of every server yet, and
/// says until then that there are too few of them (10005).
pub(super) fn passes(error: &CreateStreamError) -> bool {
    let kind = error.kind();
    let lacks_servers = matches!(&kind, CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::CLUSTER_NO_PEERS);
    lacks_servers || kind == CreateStreamErrorKind::TimedOut
}

fn is_taken(kind: &CreateStreamErrorKind) -> bool {
    matches!(kind, CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

fn failed(step: &'static str, stream: &str, error: &dyn std::error::Error) -> OpenError {
    OpenError::Refused { step, stream: stream.to_owned(), why: chain(error) }
}

fn unanswered(step: &'static str, stream: &str, error: &dyn std::error::Error) -> OpenError {
    OpenError::Unanswered { step, stream: stream.to_owned(), why: chain(error) }
}

/// One setting of a stream that breaks a guarantee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The setting, by JetStream's name for it.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// What it must be.
    pub needed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, needed is {}", self.setting, self.found, self.needed)
    }
}

/// Everything about `found` that breaks a guarantee of `wanted`. Room (`max_bytes`) is the operator's choice.
fn differences(found: &Config, wanted: &Config) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut same = |setting, found: String, needed: String| {
        if found != needed {
            all.push(Difference { setting, found, needed });
        }
    };
    let meta = |config: &Config, key| config.metadata.get(key).cloned().unwrap_or_default();
    same(
        "metadata squall.schema",
        quoted(&meta(found, SCHEMA_KEY)),
        quoted(&meta(wanted, SCHEMA_KEY)),
    );
    if id_of(found).is_none() {
        same("metadata squall.log_id", quoted(&meta(found, ID_KEY)), "an identity".to_owned());
    }
    same("subjects", format!("{:?}", found.subjects), format!("{:?}", wanted.subjects));
    same("storage", format!("{:?}", found.storage), format!("{:?}", wanted.storage));
    same("retention", format!("{:?}", found.retention), format!("{:?}", wanted.retention));
    same("discard", format!("{:?}", found.discard), format!("{:?}", wanted.discard));
    same("num_replicas", found.num_replicas.to_string(), wanted.num_replicas.to_string());
    same("max_age", format!("{:?}", found.max_age), format!("{:?}", wanted.max_age));
    same("max_msgs", found.max_messages.to_string(), wanted.max_messages.to_string());
    for (setting, found, wanted) in limits(found, wanted) {
        same(setting, found.to_string(), wanted.to_string());
    }
    for (setting, found, wanted) in flags(found, wanted) {
        same(setting, found.to_string(), wanted.to_string());
    }
    if found.duplicate_window < wanted.duplicate_window {
        let needed = format!("{:?} or more", wanted.duplicate_window);
        same("duplicate_window", format!("{:?}", found.duplicate_window), needed);
    }
    all
}

fn limits(found: &Config, wanted: &Config) -> [(&'static str, i64, i64); 2] {
    // 0 and -1 both mean no limit.
    let size = |config: &Config| i64::from(config.max_message_size.max(0));
    [
        ("max_msgs_per_subject", found.max_messages_per_subject, wanted.max_messages_per_subject),
        ("max_msg_size", size(found), size(wanted)),
    ]
}

/// Whatever lets somebody change, drop or add records behind our back.
fn flags(found: &Config, wanted: &Config) -> [(&'static str, bool, bool); 13] {
    let asynchronous = |config: &Config| config.persist_mode == Some(PersistenceMode::Async);
    let sourced = |config: &Config| config.sources.as_ref().is_some_and(|all| !all.is_empty());
    [
        ("deny_delete", found.deny_delete, wanted.deny_delete),
        ("deny_purge", found.deny_purge, wanted.deny_purge),
        ("allow_rollup_hdrs", found.allow_rollup, wanted.allow_rollup),
        ("allow_msg_ttl", found.allow_message_ttl, wanted.allow_message_ttl),
        ("allow_msg_schedules", found.allow_message_schedules, wanted.allow_message_schedules),
        ("allow_msg_counter", found.allow_message_counter, wanted.allow_message_counter),
        ("sealed", found.sealed, wanted.sealed),
        ("no_ack", found.no_ack, wanted.no_ack),
        ("mirror_direct", found.mirror_direct, wanted.mirror_direct),
        ("persist_mode async", asynchronous(found), asynchronous(wanted)),
        ("mirror", found.mirror.is_some(), wanted.mirror.is_some()),
        ("sources", sourced(found), sourced(wanted)),
        (
            "subject_transform",
            found.subject_transform.is_some(),
            wanted.subject_transform.is_some(),
        ),
    ]
}

fn quoted(text: &str) -> String {
    if text.is_empty() { "missing".to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::super::connect::Address;
    use super::*;

    #[test]
    fn a_cluster_that_has_not_heard_of_its_servers_yet_is_asked_again() {
        let refused = |code: u64| {
            let text = format!(r#"{{"code":400,"err_code":{code},"description":"no"}}"#);
            let error = serde_json::from_str(&text).unwrap();
            CreateStreamError::from(CreateStreamErrorKind::JetStream(error))
        };
        assert!(passes(&refused(10005)));
        assert!(passes(&CreateStreamErrorKind::TimedOut.into()));
        assert!(!passes(&refused(ErrorCode::STORAGE_RESOURCES_EXCEEDED.0)));
    }

    fn wanted() -> Config {
        log(&Settings::new(Address::of(["nats://localhost"])))
    }

    #[test]
    fn the_room_of_a_stream_is_the_operators_choice_and_so_is_its_identity() {
        let found = Config { max_bytes: 5 << 30, ..wanted() };
        assert_eq!(differences(&found, &wanted()), []);
    }

    #[test]
    fn everything_that_breaks_a_guarantee_is_named_at_once() {
        let found = Config {
            deny_purge: false,
            max_age: DAY,
            num_replicas: 1,
            discard: DiscardPolicy::Old,
            metadata: HashMap::new(),
            ..wanted()
        };
        let named: Vec<&str> = differences(&found, &wanted()).iter().map(|d| d.setting).collect();
        let missing = ["metadata squall.schema", "metadata squall.log_id"];
        assert_eq!(named[..2], missing);
        assert_eq!(named[2..], ["discard", "num_replicas", "max_age", "deny_purge"]);
    }

    #[test]
    fn a_difference_says_what_is_and_what_must_be() {
        let found = Config { deny_delete: false, ..wanted() };
        let text = differences(&found, &wanted())[0].to_string();
        assert_eq!(text, "deny_delete is false, needed is true");
    }

    #[test]
    fn each_stream_made_gets_another_identity() {
        assert_ne!(id_of(&wanted()), id_of(&wanted()));
    }
}

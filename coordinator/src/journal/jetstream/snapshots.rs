//! Snapshots in a key-value bucket: chunks under a random id, then a manifest that names them, swapped by revision.
//!
//! Whoever crashes in between leaves the old manifest with its chunks; what a crash leaves behind expires. A manifest that
//! doesn't fit its chunks, or is of another log, is no snapshot. Everything is read from the leader: direct reads may be
//! stale (docs/nats.md, pitfall 5).

use std::error::Error as _;

use async_nats::jetstream::context::{Context, CreateKeyValueErrorKind, CreateStreamError};
use async_nats::jetstream::kv::{self, Store, UpdateErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, StorageType};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use squall_proto::subject::SNAPSHOTS_BUCKET;
use squall_proto::vocabulary::id::LogId;
use squall_proto::vocabulary::limits::LOG_KEEPS;

use super::super::{ReadError, SNAPSHOT_BYTES_MAX, SaveError, Snapshot};
use super::{OpenError, Settings, chain, streams};

/// Bytes of one chunk: a quarter of the default `max_payload`, so that its base64 form from the leader fits too.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks on their way at once.
const CHUNKS_IN_FLIGHT: usize = 4;
const MANIFEST: &str = "manifest";

/// What is written last: all that is needed to find the chunks and to distrust them.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    log_id: LogId,
    sequence: u64,
    format: u32,
    /// Of this snapshot's chunks: random.
    id: String,
    bytes: usize,
    /// BLAKE3 of all bytes.
    hash: String,
}

impl Manifest {
    fn chunks(&self) -> usize {
        self.bytes.div_ceil(CHUNK_BYTES)
    }

    fn key(&self, chunk: usize) -> String {
        format!("chunk.{}.{chunk}", self.id)
    }
}

/// Finds the bucket or makes it.
pub(super) async fn ensure(api: &Context, settings: &Settings) -> Result<(), OpenError> {
    let config = kv::Config {
        bucket: SNAPSHOTS_BUCKET.to_owned(),
        description: "Squall: projection of the log, and chunks of it".to_owned(),
        history: 1,
        // As long as the log: an older one could not be followed up from it.
        max_age: LOG_KEEPS,
        max_bytes: i64::try_from(settings.snapshots_bytes_max).unwrap_or(i64::MAX),
        storage: StorageType::File,
        num_replicas: settings.replicas,
        ..kv::Config::default()
    };
    if api.get_key_value(SNAPSHOTS_BUCKET).await.is_ok() {
        return Ok(());
    }
    let Err(error) = api.create_key_value(config).await else { return Ok(()) };
    let (step, stream, why) = ("make bucket", SNAPSHOTS_BUCKET.to_owned(), chain(&error));
    let stream_error = error.source().and_then(|cause| cause.downcast_ref::<CreateStreamError>());
    if error.kind() == CreateKeyValueErrorKind::TimedOut
        || stream_error.is_some_and(streams::passes)
    {
        return Err(OpenError::Unanswered { step, stream, why });
    }
    Err(OpenError::Refused { step, stream, why })
}

/// Keeps `snapshot` unless a newer one is there.
pub(super) async fn save(
    api: &Context,
    log_id: &LogId,
    snapshot: Snapshot,
) -> Result<(), SaveError> {
    let (bytes, max) = (snapshot.bytes.len(), SNAPSHOT_BYTES_MAX);
    if bytes > max {
        return Err(SaveError::TooLarge { bytes, max });
    }
    let store = api.get_key_value(SNAPSHOTS_BUCKET).await.map_err(|e| failed("the bucket", &e))?;
    let (old, revision) =
        match kept(&store).await.map_err(|why| store_error("the manifest", why))? {
            Some((old, revision)) => (old, revision),
            None => (None, 0),
        };
    if old.as_ref().is_some_and(|old| old.log_id == *log_id && old.sequence >= snapshot.sequence) {
        return Ok(());
    }
    let manifest = Manifest {
        log_id: log_id.clone(),
        sequence: snapshot.sequence,
        format: snapshot.format,
        id: format!("{:032x}", rand::random::<u128>()),
        bytes,
        hash: blake3::hash(&snapshot.bytes).to_string(),
    };
    put_chunks(&store, &manifest, &snapshot.bytes).await?;
    let superseded = if swap(&store, &manifest, revision).await? { old } else { Some(manifest) };
    if let Some(superseded) = superseded {
        purge_chunks(&store, &superseded).await;
    }
    Ok(())
}

async fn put_chunks(store: &Store, manifest: &Manifest, bytes: &Bytes) -> Result<(), SaveError> {
    let puts = (0..manifest.chunks()).map(|chunk| {
        let start = chunk * CHUNK_BYTES;
        let part = bytes.slice(start..bytes.len().min(start + CHUNK_BYTES));
        async move { store.put(manifest.key(chunk), part).await }
    });
    stream::iter(puts)
        .buffer_unordered(CHUNKS_IN_FLIGHT)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
        .map_err(|error| failed("a chunk", &error))
}

/// Puts the manifest in place of the one at `revision`. `false`: another replica was faster.
async fn swap(store: &Store, manifest: &Manifest, revision: u64) -> Result<bool, SaveError> {
    let json = serde_json::to_vec(manifest).expect("strings and numbers always have a JSON form");
    match store.update(MANIFEST, json.into(), revision).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
        Err(error) => Err(failed("the manifest", &error)),
    }
}

/// Chunks that no manifest names only cost room, and expire.
async fn purge_chunks(store: &Store, manifest: &Manifest) {
    let chunks = format!("{}chunk.{}.>", store.prefix, manifest.id);
    if let Err(error) = store.stream.purge().filter(chunks).await {
        tracing::warn!(%error, "the chunks of a superseded snapshot stay until they expire");
    }
}

/// The kept snapshot, if it is whole and of this log.
pub(super) async fn load(api: &Context, log_id: &LogId) -> Result<Option<Snapshot>, ReadError> {
    let unreadable = |why| ReadError { what: SNAPSHOTS_BUCKET, why };
    let store = api.get_key_value(SNAPSHOTS_BUCKET).await.map_err(|e| unreadable(chain(&e)))?;
    let Some((manifest, revision)) = kept(&store).await.map_err(unreadable)? else {
        return Ok(None);
    };
    match assemble(&store, manifest, log_id).await {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(why) => {
            tracing::warn!(revision, why, "the snapshot is ignored; the log is folded instead");
            Ok(None)
        }
    }
}

async fn assemble(
    store: &Store,
    manifest: Option<Manifest>,
    log_id: &LogId,
) -> Result<Snapshot, String> {
    let manifest = manifest.ok_or("its manifest can't be read")?;
    if manifest.log_id != *log_id {
        return Err(format!("it is of log {}, not {log_id}", manifest.log_id));
    }
    if manifest.bytes > SNAPSHOT_BYTES_MAX {
        return Err(format!("it claims {} bytes", manifest.bytes));
    }
    let bytes = get_chunks(store, &manifest).await?;
    if bytes.len() != manifest.bytes || blake3::hash(&bytes).to_string() != manifest.hash {
        return Err("its chunks are not those of its manifest".to_owned());
    }
    let Manifest { sequence, format, .. } = manifest;
    Ok(Snapshot { sequence, format, bytes })
}

async fn get_chunks(store: &Store, manifest: &Manifest) -> Result<Bytes, String> {
    let gets = (0..manifest.chunks()).map(|chunk| async move {
        let message = last(store, &manifest.key(chunk)).await?;
        message.map(|message| message.payload).ok_or(format!("chunk {chunk} is missing"))
    });
    let whole = BytesMut::with_capacity(manifest.bytes);
    let whole = stream::iter(gets)
        .buffered(CHUNKS_IN_FLIGHT)
        .try_fold(whole, |mut whole, chunk| async move {
            whole.extend_from_slice(&chunk);
            Ok(whole)
        })
        .await?;
    Ok(whole.freeze())
}

/// The manifest that is kept (`None` inside if it can't be read) and its revision.
async fn kept(store: &Store) -> Result<Option<(Option<Manifest>, u64)>, String> {
    let message = last(store, MANIFEST).await?;
    Ok(message.map(|message| (serde_json::from_slice(&message.payload).ok(), message.sequence)))
}

/// The newest value of `key`, from the leader.
async fn last(store: &Store, key: &str) -> Result<Option<StreamMessage>, String> {
    let subject = format!("{}{key}", store.prefix);
    match store.stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(chain(&error)),
    }
}

fn failed(what: &'static str, error: &dyn std::error::Error) -> SaveError {
    store_error(what, chain(error))
}

fn store_error(what: &'static str, why: String) -> SaveError {
    SaveError::Store { what, why }
}

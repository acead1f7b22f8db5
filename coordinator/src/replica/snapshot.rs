//! Snapshots of the fold: their bytes, when they are written, and what a start makes of the kept one.
//!
//! A snapshot only saves time: whatever is wrong with one, it is left aside and the log is read from its beginning. Not
//! here: where they are kept and how a torn one is noticed ([`crate::journal`]).

use std::time::Duration;

use bytes::Bytes;
use squall_domain::evidence::Archive;
use squall_domain::world::World;

use crate::journal::{Journal, Snapshot};

/// Which layout, and which fold, the bytes are of. To be raised whenever either changes: a snapshot of another format is
/// ignored, while one of a changed fold under the same format would be taken for the log's.
const FORMAT: u32 = 6;

/// When a snapshot is written: when both have passed since the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Records that were folded. 5000 by default: a server sends 200,000 and more a second (docs/nats.md), so that a start
    /// hardly notices what no snapshot holds.
    pub records: u64,
    /// Time. 30 s by default: a large fold comes near [`SNAPSHOT_BYTES_MAX`](crate::journal::SNAPSHOT_BYTES_MAX), which
    /// must not be written all the time.
    pub time: Duration,
}

impl Default for Cadence {
    fn default() -> Self {
        Self { records: 5_000, time: Duration::from_secs(30) }
    }
}

/// What is kept of a fold.
///
/// # Errors
/// [`postcard::Error`] when it can't be written.
pub fn of(world: &World, archive: &Archive) -> Result<Snapshot, postcard::Error> {
    let bytes = Bytes::from(postcard::to_allocvec(&(world, archive))?);
    Ok(Snapshot { sequence: world.applied, format: FORMAT, bytes })
}

/// What the kept snapshot holds; nothing if there is none, or none that can be used.
pub(super) async fn restore(journal: &dyn Journal) -> (World, Archive) {
    let usable = match journal.load_snapshot().await {
        Ok(None) => return Default::default(),
        Ok(Some(snapshot)) => read(&snapshot),
        Err(error) => Err(error.to_string()),
    };
    usable.unwrap_or_else(|why| {
        tracing::warn!(why, "the snapshot is left aside; the log is read from its beginning");
        Default::default()
    })
}

/// The fold that a snapshot holds.
///
/// # Errors
/// Why it can't be used.
pub fn read(snapshot: &Snapshot) -> Result<(World, Archive), String> {
    if snapshot.format != FORMAT {
        return Err(format!("it has format {}, this version's is {FORMAT}", snapshot.format));
    }
    let (world, archive): (World, Archive) =
        postcard::from_bytes(&snapshot.bytes).map_err(|error| error.to_string())?;
    if world.applied != snapshot.sequence {
        let (said, held) = (snapshot.sequence, world.applied);
        return Err(format!("it says that it ends at record {said} and ends at {held}"));
    }
    Ok((world, archive))
}

#[cfg(test)]
mod tests;

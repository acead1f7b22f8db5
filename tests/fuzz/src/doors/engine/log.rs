//! The log that a replica writes and reads: its records as bytes, as they are stored.

use std::collections::BTreeSet;

use bytes::Bytes;
use squall::engine::{AppendFailure, Input, Write};
use squall::journal::codec;
use squall_domain::event::{Event, Hash, LeverEvent, Record};
use squall_domain::world::{Entry, World};
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::{AppendId, SessionKey};
use squall_proto::vocabulary::time::UnixMillis;

#[derive(Debug, Default)]
pub(super) struct Log {
    stored: Vec<Stored>,
    /// Sessions in whose log others wrote: what such a log says, no replica answers for.
    foreign: BTreeSet<SessionKey>,
    foreign_levers: bool,
}

#[derive(Debug)]
struct Stored {
    subject: Subject,
    id: AppendId,
    bytes: Bytes,
    time: UnixMillis,
}

impl Log {
    /// Compare-and-swap on the subject of the write.
    pub(super) fn append(
        &mut self,
        id: AppendId,
        write: &Write,
        time: UnixMillis,
    ) -> Result<u64, AppendFailure> {
        let (subject, expected, bytes) = match write {
            Write::Session(session, expected, record) => {
                let subject = Subject::SessionLog { session: session.clone() };
                let bytes = codec::encode_session(record).expect("it is too large to be stored");
                let entry = Entry::Session(session.clone(), record.clone());
                assert_eq!(codec::decode(&subject, &bytes), Ok(entry));
                (subject, Some(*expected), bytes)
            }
            Write::Lever(scope, expected, record) => {
                let subject = Subject::LeverLog { scope: scope.log_tenant() };
                let bytes = codec::encode_lever(record).expect("it is too large to be stored");
                let entry = Entry::Lever(scope.clone(), record.clone());
                assert_eq!(codec::decode(&subject, &bytes), Ok(entry));
                (subject, Some(*expected), bytes)
            }
            Write::Barrier => {
                let replica = "replica".parse().expect("a token");
                (Subject::BarrierLog { replica }, None, Bytes::new())
            }
        };
        if self.stored.iter().any(|stored| stored.id == id) {
            return Err(AppendFailure::Unclear("it is known".to_owned()));
        }
        if expected.is_some_and(|expected| expected != self.last(&subject)) {
            return Err(AppendFailure::Conflict);
        }
        self.stored.push(Stored { subject, id, bytes, time });
        Ok(self.stored.len() as u64)
    }

    /// Another writer of a session's log.
    pub(super) fn write_session(
        &mut self,
        key: &SessionKey,
        record: &Record<Event>,
        time: UnixMillis,
    ) {
        if let Ok(bytes) = codec::encode_session(record) {
            self.write(Subject::SessionLog { session: key.clone() }, bytes, time);
        }
    }

    /// Another writer of a lever's log.
    pub(super) fn write_lever(
        &mut self,
        subject: Subject,
        record: &Record<LeverEvent>,
        time: UnixMillis,
    ) {
        if let Ok(bytes) = codec::encode_lever(record) {
            self.write(subject, bytes, time);
        }
    }

    pub(super) fn write(&mut self, subject: Subject, bytes: Bytes, time: UnixMillis) {
        match &subject {
            Subject::SessionLog { session } => drop(self.foreign.insert(session.clone())),
            Subject::LeverLog { .. } => {
                // The pump ends a replica that can't read a lever; then nothing is read any more.
                if codec::decode(&subject, &bytes).is_err() {
                    return;
                }
                self.foreign_levers = true;
            }
            Subject::BarrierLog { .. }
            | Subject::AuditLog { .. }
            | Subject::TenantLog { .. }
            | Subject::Tenant { .. }
            | Subject::Alive { .. } => {}
        }
        let mut id = [0xff; 16];
        id[..8].copy_from_slice(&(self.stored.len() as u64).to_le_bytes());
        self.stored.push(Stored { subject, id: AppendId(id), bytes, time });
    }

    /// The hash of the newest record on a subject, which the next one repeats.
    pub(super) fn head(&self, subject: &Subject) -> Hash {
        let newest = self.stored.iter().rfind(|stored| stored.subject == *subject);
        newest.map(|stored| codec::hash(&stored.bytes)).unwrap_or_default()
    }

    fn last(&self, subject: &Subject) -> u64 {
        let newest = self.stored.iter().rposition(|stored| stored.subject == *subject);
        newest.map_or(0, |at| at as u64 + 1)
    }

    /// The record after a sequence.
    pub(super) fn next(&self, after: u64) -> Option<Input> {
        let Stored { subject, id, bytes, time } = self.stored.get(usize::try_from(after).ok()?)?;
        let entry = Box::new(entry(subject, bytes));
        let hash = codec::hash(bytes);
        Some(Input::Logged { sequence: after + 1, time: *time, append: Some(*id), entry, hash })
    }

    /// No log is damaged by what replicas write.
    pub(super) fn check(&self, world: &World) {
        for session in world.sessions().filter(|session| !self.foreign.contains(&session.key)) {
            assert!(
                self.foreign_levers || session.damage.is_none(),
                "{}: {:?}",
                session.key,
                session.damage
            );
        }
    }

    /// Whoever folds the log from its beginning finds the same.
    pub(super) fn folds_to(&self, found: &World) {
        let mut world = World::default();
        for at in 0..found.applied {
            if let Some(Input::Logged { sequence, time, entry, hash, .. }) = self.next(at) {
                world.apply(sequence, time, &entry, hash);
            }
        }
        assert_eq!(&world, found, "two folds of one log differ");
    }
}

/// What a record says, as the pump of a replica reads it.
fn entry(subject: &Subject, bytes: &[u8]) -> Entry {
    match (codec::decode(subject, bytes), subject) {
        (Ok(entry), _) => entry,
        (Err(why), Subject::SessionLog { session }) => {
            Entry::Unreadable(session.clone(), why.to_string())
        }
        (Err(why), _) => panic!("{subject}: {why}"),
    }
}

//! Records of levers.

use squall_domain::event::{LeverEvent, Record, Recorded, Totals};
use squall_domain::lever::Engaged;
use squall_proto::vocabulary::id::AppendId;
use squall_proto::vocabulary::time::UnixMillis;
use squall_proto::wire::v1;
use squall_proto::wire::v1::stored_lever_event::Event as Stored;

use super::{Error, VERSION, bytes, fits, load_command, required, store_command};

pub(super) fn store(record: &Record<LeverEvent>) -> v1::StoredLeverRecord {
    // A lever has no permits: its totals are not stored.
    let Record { append, at, previous, totals: _, events } = record;
    v1::StoredLeverRecord {
        version: VERSION,
        append: append.0.to_vec(),
        previous: previous.to_vec(),
        at_ms: at.0,
        events: events.iter().map(store_event).collect(),
    }
}

fn store_event(recorded: &Recorded<LeverEvent>) -> v1::StoredLeverEvent {
    let Recorded { command, event } = recorded;
    let event = match event {
        LeverEvent::Engaged { reason } => {
            Stored::Engaged(v1::StoredEngaged { reason: reason.clone() })
        }
        LeverEvent::Released { reason } => {
            Stored::Released(v1::StoredReleased { reason: reason.clone() })
        }
        LeverEvent::Renewed { engaged } => {
            let engagement = engaged.as_ref().map(store_engagement);
            Stored::Renewed(v1::StoredRenewed { engagement })
        }
    };
    v1::StoredLeverEvent { command: command.as_ref().map(store_command), event: Some(event) }
}

fn store_engagement(engaged: &Engaged) -> v1::StoredEngagement {
    let Engaged { sequence, append, reason, actor, at } = engaged;
    v1::StoredEngagement {
        sequence: *sequence,
        append: append.0.to_vec(),
        reason: reason.clone(),
        actor: actor.as_ref().map(ToString::to_string),
        at_ms: at.0,
    }
}

pub(super) fn load(stored: v1::StoredLeverRecord) -> Result<Record<LeverEvent>, Error> {
    let v1::StoredLeverRecord { version: _, append, previous, at_ms, events } = stored;
    Ok(Record {
        append: AppendId(bytes("append", &append)?),
        at: UnixMillis(at_ms),
        previous: bytes("previous", &previous)?,
        totals: Totals::default(),
        events: events.into_iter().map(load_event).collect::<Result<_, _>>()?,
    })
}

fn load_event(stored: v1::StoredLeverEvent) -> Result<Recorded<LeverEvent>, Error> {
    let v1::StoredLeverEvent { command, event } = stored;
    let event = match required("event", event)? {
        Stored::Engaged(v1::StoredEngaged { reason }) => LeverEvent::Engaged { reason },
        Stored::Released(v1::StoredReleased { reason }) => LeverEvent::Released { reason },
        Stored::Renewed(v1::StoredRenewed { engagement }) => {
            LeverEvent::Renewed { engaged: engagement.map(load_engagement).transpose()? }
        }
    };
    Ok(Recorded { command: command.map(load_command).transpose()?, event })
}

fn load_engagement(stored: v1::StoredEngagement) -> Result<Engaged, Error> {
    let v1::StoredEngagement { sequence, append, reason, actor, at_ms } = stored;
    Ok(Engaged {
        sequence,
        append: AppendId(bytes("renewed.append", &append)?),
        reason,
        actor: fits("renewed.actor", actor.map(|actor| actor.parse()).transpose())?,
        at: UnixMillis(at_ms),
    })
}

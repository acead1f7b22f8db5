//! Bad weather from a seed: NATS and the coordinator are killed or frozen, alone or together, and come back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use rand::RngExt as _;
use rand::rngs::StdRng;
use squall_soak::turn::since_boot;
use tokio::time::sleep;

use crate::crew::Notes;
use crate::sessions::Operator;
use crate::stage::Stage;

/// Quiet times, in milliseconds, from when the coordinator answers again: a shim's pause between two tries to connect is
/// seven seconds at most, so chaos is under way in most of them.
const CALM_MS: std::ops::Range<u64> = 4_000..20_000;
/// Times away: from a blink to more than it takes until a dead connection is noticed, which is ten seconds.
const AWAY_MS: std::ops::Range<u64> = 200..14_000;
/// How soon a coordinator that gave up is started again.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// So long a coordinator is waited for. It starts in two seconds, and in half a minute where twenty others want its core.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What happens, and to whom.
#[derive(Clone, Copy, Debug)]
struct Blow {
    kills: bool,
    nats: bool,
    coordinator: bool,
}

/// Every blow there is.
const BLOWS: [Blow; 6] = [
    Blow { kills: true, nats: true, coordinator: false },
    Blow { kills: true, nats: false, coordinator: true },
    Blow { kills: true, nats: true, coordinator: true },
    Blow { kills: false, nats: true, coordinator: false },
    Blow { kills: false, nats: false, coordinator: true },
    Blow { kills: false, nats: true, coordinator: true },
];

/// Blows until the end, and leaves everything as it was.
///
/// # Errors
/// When something doesn't come back.
pub(crate) async fn blow(
    stage: &mut Stage,
    operator: &Operator,
    random: &mut StdRng,
    notes: &Notes,
    end: &AtomicBool,
) -> Result<()> {
    while !end.load(Ordering::Acquire) {
        until(stage, READY_WITHIN, end, async || operator.is_answered().await).await?;
        let calm = Duration::from_millis(random.random_range(CALM_MS));
        until(stage, calm, end, async || false).await?;
        let blow = BLOWS[random.random_range(0..BLOWS.len())];
        let from = since_boot();
        blow.hit(stage).await?;
        sleep(Duration::from_millis(random.random_range(AWAY_MS))).await;
        blow.relent(stage).await?;
        let mut notes = notes.lock();
        notes.away.push((from, since_boot()));
        let hit = u64::from(blow.nats) + u64::from(blow.coordinator);
        if blow.kills {
            notes.deaths += hit;
        } else {
            notes.freezes += hit;
        }
    }
    Ok(())
}

/// Keeps the coordinator running until something is so, or time is over.
async fn until(
    stage: &mut Stage,
    time: Duration,
    end: &AtomicBool,
    is_so: impl AsyncFn() -> bool,
) -> Result<()> {
    let until = since_boot() + time;
    while since_boot() < until && !end.load(Ordering::Acquire) && !is_so().await {
        stage.keep_coordinator()?;
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

impl Blow {
    async fn hit(self, stage: &mut Stage) -> Result<()> {
        let Self { kills, nats, coordinator } = self;
        match (kills, nats) {
            (true, true) => stage.nats.kill(),
            (false, true) => stage.nats.freeze(),
            (_, false) => {}
        }
        match (kills, coordinator) {
            (true, true) => stage.kill_coordinator().await?,
            (false, true) => stage.freeze_coordinator(),
            (_, false) => {}
        }
        Ok(())
    }

    async fn relent(self, stage: &mut Stage) -> Result<()> {
        let Self { kills, nats, coordinator } = self;
        match (kills, nats) {
            (true, true) => stage.nats.restart().await?,
            (false, true) => stage.nats.thaw(),
            (_, false) => {}
        }
        if coordinator && !kills {
            stage.thaw_coordinator();
        }
        stage.keep_coordinator()
    }
}

//! Watches every coordinator at once, all the time: what each shows of the drill's newest sessions, and of the shims.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use squall_proto::vocabulary::limits::HELLO_EVERY;
use squall_proto::wire::v1::{GetSessionRequest, ListShimsRequest, ListShimsResponse};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Drill;
use super::line::{Server, soon};
use crate::cli::client::may_pass;
use crate::cli::failure::Failure;
use crate::cli::moment::length;
use crate::cli::words::life;

/// Pause between two looks at a coordinator.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Sessions that are looked at: the one that runs, and the one before it, in which nothing may happen any more.
const SESSIONS: usize = 2;
/// Pause between two looks at the shims.
const SHIMS_EVERY: Duration = Duration::from_secs(1);
/// Shims that are looked at.
const SHIMS_MAX: i32 = 1000;
/// A connected shim that is silent for longer is lost: it says Hello every [`HELLO_EVERY`].
const SILENT_MAX: Duration = HELLO_EVERY.saturating_add(Duration::from_secs(5));

/// Watches until it is dropped.
pub(super) fn watch(drill: &Arc<Drill>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for server in &drill.lines.servers {
        tasks.spawn(sessions(Arc::clone(drill), server.clone()));
    }
    tasks.spawn(shims(Arc::clone(drill)));
    tasks
}

async fn sessions(drill: Arc<Drill>, server: Server) {
    loop {
        let rounds = drill.judge().rounds.len();
        for round in rounds.saturating_sub(SESSIONS)..rounds {
            look(&drill, &server, round).await;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Looks at one session through one coordinator. One that doesn't know it is behind the one that made it.
pub(super) async fn look(drill: &Drill, server: &Server, round: usize) {
    let name = drill.judge().rounds[round].name.clone();
    let (sent, mut client) = (drill.at(), server.client.clone());
    match client.sessions.get_session(soon(GetSessionRequest { name })).await {
        Ok(session) => {
            drill.judge().snapshot(sent, drill.at(), round, &server.url, session.get_ref());
        }
        Err(status) => {
            let failure = Failure::from(status);
            if may_pass(&failure) {
                drill.judge().lost(drill.at(), &server.url, &failure.to_string());
            }
        }
    }
}

async fn shims(drill: Arc<Drill>) {
    let mut losses = BTreeMap::new();
    loop {
        let mut heard = BTreeMap::new();
        for server in &drill.lines.servers {
            if let Ok(listed) = list(&drill, server).await {
                take_in(&listed, &mut heard);
                let now = listed.losses.unwrap_or_default();
                let first = *losses.entry(&server.url).or_insert(now);
                drill.judge().losses(&first, &now);
            }
        }
        drill.judge().fleet(drill.at(), &heard);
        sleep(SHIMS_EVERY).await;
    }
}

/// The shims that one coordinator knows.
pub(super) async fn list(drill: &Drill, server: &Server) -> Result<ListShimsResponse, Failure> {
    let message = ListShimsRequest {
        parent: drill.parent(),
        page_size: SHIMS_MAX,
        page_token: String::new(),
    };
    let mut client = server.client.clone();
    Ok(client.fleet.list_shims(soon(message)).await?.into_inner())
}

/// A shim is heard if any coordinator hears it: one that has just begun may not know it yet.
fn take_in(listed: &ListShimsResponse, heard: &mut BTreeMap<String, bool>) {
    for shim in &listed.shims {
        let is_heard = length(shim.last_contact_ago.as_ref()).is_some_and(|ago| ago <= SILENT_MAX);
        let name = format!("{} ({})", shim.shim, life(&shim.incarnation));
        *heard.entry(name).or_default() |= is_heard;
    }
}

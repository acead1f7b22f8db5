//! `squall fleet`: the shims that are there.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::Cell;
use squall_proto::wire::v1::{ListShimsRequest, ListShimsResponse, Losses, Shim};

use super::Global;
use super::client::{Client, request};
use super::failure::Failure;
use super::moment::{length, words};
use super::name;
use super::screen::Look;
use super::table::{lines, number, table};
use super::words::{kinds, life, list};

/// Shims in one answer: as many as there may be.
const PAGE: i32 = 1000;
/// Names of agents that fit into a line.
const NAMES_SHOWN: usize = 4;

/// Shows the connected shims: those of one tenant, or all where none is named
///
/// A shim is a process with agents in it; LIFE tells processes of one name apart. ALLOWS is what the owner of the process lets happen in it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall fleet
  squall fleet --tenant acme --output json | jq '.shims[].seams'")]
pub(super) struct Args {}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let shims = shims(global.client()?, name::parent(global.tenant())?).await?;
        global.screen().answer(&shims, draw)
    }
}

/// All pages as one.
async fn shims(mut client: Client, parent: String) -> Result<ListShimsResponse, Failure> {
    let mut all = ListShimsResponse::default();
    loop {
        let message = ListShimsRequest {
            parent: parent.clone(),
            page_size: PAGE,
            page_token: all.next_page_token.clone(),
        };
        let page = client.fleet.list_shims(request(message)).await?.into_inner();
        all.shims.extend(page.shims);
        all.losses = page.losses;
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            return Ok(all);
        }
    }
}

fn draw(listed: &ListShimsResponse, look: Look) -> String {
    let shims = match listed.shims.as_slice() {
        [] => {
            "no shim is connected; an agent's process opts in with SQUALL_ENABLED=true\n".to_owned()
        }
        shims => {
            let headings = [
                "shim",
                "life",
                "environment",
                "agents",
                "tools",
                "seams",
                "allows",
                "heard",
                "permits",
            ];
            let mut table = table(look, &headings);
            for shim in shims {
                table.add_row(row(shim));
            }
            lines(&table)
        }
    };
    let hints = [shared_names(&listed.shims), without_stickiness(&listed.shims)];
    let losses = match losses(&listed.losses.unwrap_or_default()) {
        losses if losses.is_empty() => losses,
        losses => look.paint.bad(&losses),
    };
    let strays = strays(&listed.losses.unwrap_or_default());
    let told = [shims].into_iter().chain(hints).chain([losses, strays]);
    let told = told.filter(|told| !told.is_empty());
    told.map(|told| format!("{}\n", told.trim_end())).collect::<Vec<_>>().join("\n")
}

/// Names that several processes have, in one line; empty when there is none.
fn shared_names(shims: &[Shim]) -> String {
    let mut processes: BTreeMap<String, usize> = BTreeMap::new();
    for shim in shims {
        *processes.entry(format!("{}/{}", shim.tenant, shim.shim)).or_default() += 1;
    }
    let shared = processes.iter().filter(|(_, count)| **count > 1);
    let shared: Vec<_> = shared.map(|(name, count)| format!("{count} of {name}")).collect();
    match shared.as_slice() {
        [] => String::new(),
        shared => format!(
            "processes of one name, told apart by LIFE (one that ended stays for 90 s; SQUALL_SHIM names each): {}",
            list(shared, NAMES_SHOWN)
        ),
    }
}

/// Seams where p is drawn anew for each retry, in one line; empty when there is none.
fn without_stickiness(shims: &[Shim]) -> String {
    let seams = shims.iter().flat_map(|shim| {
        let loose = shim.seams.iter().filter(|seam| {
            !seam.capabilities.is_some_and(|capabilities| capabilities.stable_request_id)
        });
        loose.map(move |seam| format!("{} of {}/{}", seam.name, shim.tenant, shim.shim))
    });
    let seams: Vec<_> = seams.collect::<BTreeSet<_>>().into_iter().collect();
    match seams.as_slice() {
        [] => String::new(),
        seams => format!(
            "no stickiness, for want of a request id that stays: a retry counts as a request of its own at {}",
            list(seams, NAMES_SHOWN)
        ),
    }
}

/// What the coordinator could not take in, in one line; empty when it took in everything.
fn losses(losses: &Losses) -> String {
    let Losses { orphan_records: _, rows_refused, samples_lost } = losses;
    let told = [
        (rows_refused, "rows of counters were refused (sums may be too low)"),
        (samples_lost, "samples lost by shims (timelines have holes, counters don't)"),
    ];
    let told = told.iter().filter(|(count, _)| **count > 0);
    let told: Vec<_> = told.map(|(count, what)| format!("{count} {what}")).collect();
    if told.is_empty() { String::new() } else { format!("not taken in: {}", told.join("; ")) }
}

/// Records of no session, in one line; empty when there is none. No alarm: nothing that counts is lost with them.
fn strays(losses: &Losses) -> String {
    match losses.orphan_records {
        0 => String::new(),
        count => format!(
            "{count} records of the log belong to no session: usual once the first ones have expired after 30 days, garbage before"
        ),
    }
}

fn row(shim: &Shim) -> Vec<Cell> {
    let heard = length(shim.last_contact_ago.as_ref());
    vec![
        Cell::new(format!("{}/{}", shim.tenant, shim.shim)),
        Cell::new(life(&shim.incarnation)),
        Cell::new(&shim.environment),
        Cell::new(list(&shim.agents, NAMES_SHOWN)),
        number(u64::try_from(shim.tools.len()).unwrap_or(u64::MAX)),
        number(u64::try_from(shim.seams.len()).unwrap_or(u64::MAX)),
        Cell::new(kinds(&shim.allowed_kinds)),
        Cell::new(heard.map(|ago| format!("{} ago", words(ago))).unwrap_or_default()),
        number(shim.open_permits),
    ]
}

#[cfg(test)]
mod tests {
    use squall_proto::wire::v1::{Capabilities, Seam};

    use super::*;

    #[test]
    fn a_shim_is_one_line() {
        let shim = Shim {
            tenant: "acme".to_owned(),
            shim: "worker-1".to_owned(),
            incarnation: "00112233445566778899aabbccddeeff".to_owned(),
            environment: "ci".to_owned(),
            agents: ["planner", "critic"].map(str::to_owned).to_vec(),
            tools: vec!["search".to_owned()],
            allowed_kinds: vec![1, 2],
            last_contact_ago: Some(prost_types::Duration { seconds: 0, nanos: 900_000_000 }),
            open_permits: 3,
            ..Shim::default()
        };
        let listed = ListShimsResponse { shims: vec![shim], ..ListShimsResponse::default() };
        insta::assert_snapshot!(draw(&listed, Look::PLAIN));
    }

    #[test]
    fn processes_of_one_name_are_told_apart_and_the_way_to_name_them_is_told() {
        let shim = |name: &str, incarnation: &str| Shim {
            tenant: "acme".to_owned(),
            shim: name.to_owned(),
            incarnation: incarnation.to_owned(),
            ..Shim::default()
        };
        let shims = [shim("vm", "00aa"), shim("vm", "00bb"), shim("worker-1", "00cc")];
        let drawn = |shims: &[Shim]| {
            draw(&ListShimsResponse { shims: shims.to_vec(), ..Default::default() }, Look::PLAIN)
        };
        let told = drawn(&shims);
        assert!(told.contains("00aa") && told.contains("00bb"), "{told}");
        assert!(told.contains("SQUALL_SHIM") && told.ends_with("2 of acme/vm\n"), "{told}");
        assert!(!drawn(&shims[1..]).contains("SQUALL_SHIM"), "{told}");
    }

    #[test]
    fn seams_whose_retries_are_requests_of_their_own_are_told() {
        let seam = |name: &str, stable_request_id| Seam {
            name: name.to_owned(),
            capabilities: Some(Capabilities { stable_request_id, ..Capabilities::default() }),
            ..Seam::default()
        };
        let shim = |seams| Shim {
            tenant: "acme".to_owned(),
            shim: "vm".to_owned(),
            seams,
            ..Shim::default()
        };
        let drawn = |seams| {
            let shims = vec![shim(seams)];
            draw(&ListShimsResponse { shims, ..Default::default() }, Look::PLAIN)
        };
        let told = drawn(vec![seam("tower", true), seam("rmcp", false), seam("rmcp", false)]);
        assert!(told.contains("no stickiness") && told.ends_with("at rmcp of acme/vm\n"), "{told}");
        assert!(!drawn(vec![seam("tower", true)]).contains("stickiness"));
    }

    #[test]
    fn what_was_not_taken_in_is_told_and_nothing_is_told_of_zeros() {
        let none = Losses::default();
        let some = Losses { rows_refused: 2, samples_lost: 7, ..none };
        let listed = |losses| ListShimsResponse { losses: Some(losses), ..Default::default() };
        assert!(!draw(&listed(none), Look::PLAIN).contains("not taken in"));
        let told = draw(&listed(some), Look::PLAIN);
        assert!(told.contains("not taken in: 2 rows"), "{told}");
        assert!(told.contains("7 samples") && !told.contains("records"), "{told}");
    }

    #[test]
    fn records_of_no_session_are_told_without_alarm() {
        let losses = Some(Losses { orphan_records: 2, ..Losses::default() });
        let told = draw(&ListShimsResponse { losses, ..Default::default() }, Look::PLAIN);
        assert!(told.ends_with("expired after 30 days, garbage before\n"), "{told}");
        assert!(told.contains("\n2 records") && !told.contains("not taken in"), "{told}");
    }

    #[test]
    fn an_empty_fleet_says_how_to_get_one() {
        assert!(draw(&ListShimsResponse::default(), Look::PLAIN).contains("SQUALL_ENABLED=true"));
    }
}

//! What a Hello may say.

use crate::vocabulary::limits::{
    ANNOUNCED_MAX, FAULT_DURATION_MS_MAX, HELLO_LIST_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX,
    SITES_MAX, TOKEN_BYTES_MAX,
};
use crate::vocabulary::message::Request;
use crate::wire::v1;
use crate::wire::{decode_request, encode_request};

use prost::Message;

fn seam(name: String) -> v1::Seam {
    let capabilities = v1::Capabilities {
        block: true,
        rewrite_in: true,
        rewrite_out: true,
        disconnect: true,
        structural: true,
        max_delay_ms: u64::MAX,
        knows_trace: true,
        stable_request_id: true,
    };
    v1::Seam { name, point: 1, shape: 3, capabilities: Some(capabilities) }
}

fn hello() -> v1::Hello {
    v1::Hello {
        incarnation: vec![7; 16],
        version: "1".to_owned(),
        environment: "ci".to_owned(),
        agents: vec!["planner".to_owned()],
        tools: vec!["search".to_owned(), "fetch".to_owned()],
        seams: vec![seam("rmcp".to_owned())],
        sites: vec![v1::Site { agent: 0, tool: 1, seam: 0 }],
        ..v1::Hello::default()
    }
}

fn sent(hello: v1::Hello) -> Vec<u8> {
    v1::Request { request: Some(v1::request::Request::Hello(hello)) }.encode_to_vec()
}

fn violations(hello: v1::Hello) -> String {
    decode_request(&sent(hello)).unwrap_err().to_string()
}

#[test]
fn a_site_is_read_by_its_places() {
    let Ok(Request::Hello(hello)) = decode_request(&sent(hello())) else { panic!("no Hello") };
    let sites: Vec<_> = hello
        .sites()
        .map(|site| (site.agent.as_str(), site.tool.as_str(), site.seam.name.as_str()))
        .collect();
    assert_eq!(sites, [("planner", "fetch", "rmcp")]);
}

#[test]
fn a_site_that_points_beside_a_list_is_refused_with_the_place() {
    let wrong = v1::Site { agent: 1, tool: 2, seam: 65_536 };
    assert_eq!(
        violations(v1::Hello { sites: vec![hello().sites[0], wrong], ..hello() }),
        "hello.sites[1].agent is 1; the list has 1 entries; \
         hello.sites[1].tool is 2; the list has 2 entries; \
         hello.sites[1].seam is 65536; the list has 1 entries"
    );
}

#[test]
fn sites_and_the_owner_s_longest_delay_have_limits() {
    let sites = vec![v1::Site::default(); SITES_MAX + 1];
    assert_eq!(
        violations(v1::Hello { sites, ..hello() }),
        "hello.sites has 2049 entries; allowed are 2048"
    );
    let max_delay_ms = FAULT_DURATION_MS_MAX + 1;
    assert_eq!(
        violations(v1::Hello { max_delay_ms, ..hello() }),
        "hello.max_delay_ms is 60001; allowed is 0 to 60000"
    );
}

#[test]
fn a_hello_with_every_list_full_fits_into_a_message() {
    let names = |length: usize| -> Vec<String> {
        (0..ANNOUNCED_MAX).map(|n| format!("{n:0>length$}")).collect()
    };
    let last = u32::try_from(ANNOUNCED_MAX - 1).unwrap();
    let key = |n: usize| v1::SessionKey {
        tenant: "t".repeat(TOKEN_BYTES_MAX),
        session: format!("{n:0>TOKEN_BYTES_MAX$}"),
    };
    let epoch = v1::AbortEpoch { epoch: Some(v1::abort_epoch::Epoch::Pushed(vec![7; 16])) };
    let sticky = |n| v1::StickyAbort { session: Some(key(n)), epoch: Some(epoch.clone()) };
    let full = sent(v1::Hello {
        incarnation: vec![7; 16],
        version: "v".repeat(NAME_BYTES_MAX),
        environment: "e".repeat(TOKEN_BYTES_MAX),
        agents: names(NAME_BYTES_MAX),
        tools: names(NAME_BYTES_MAX),
        seams: names(NAME_BYTES_MAX).into_iter().map(seam).collect(),
        sites: vec![v1::Site { agent: last, tool: last, seam: last }; SITES_MAX],
        allowed: (1..=6).collect(),
        max_delay_ms: FAULT_DURATION_MS_MAX,
        sticky_aborts: (0..HELLO_LIST_MAX).map(sticky).collect(),
    });
    assert!(full.len() <= MESSAGE_BYTES_MAX, "{} bytes", full.len());
    let request = decode_request(&full).unwrap();
    assert_eq!(encode_request(&request), full);
}

//! A start is refused unless some connected shim can apply every experiment at one of its sites.

use squall_domain::session::ClientCommand;
use squall_proto::vocabulary::message::{Hello, SiteRef};
use squall_proto::vocabulary::session::{FaultDraft, SessionDraft, ToolUnavailableDraft};

use super::bench::{Bench, draft, hello};

/// The answer to a start of `draft`: nothing, or why not.
fn start(bench: &mut Bench, draft: SessionDraft) -> Result<(), String> {
    bench.create(draft.validate().unwrap());
    let token = bench.command("start", ClientCommand::Start);
    let answer = bench.ordered(token).expect("no answer");
    answer.map(drop).map_err(|error| error.to_string())
}

/// What a fleet of one shim answers.
fn start_with(hello: Hello, draft: SessionDraft) -> Result<(), String> {
    let mut bench = Bench::new();
    bench.hears("shim-1", hello);
    start(&mut bench, draft)
}

/// `planner` and `writer` both call `search`; only the second seam can break a connection.
fn two_agents(sites: &[(u16, u16, u16)]) -> Hello {
    let mut hello = hello("shim-1");
    hello.agents.push("writer".parse().unwrap());
    hello.tools.push("fetch".parse().unwrap());
    let mut weak = hello.seams[0].clone();
    weak.name = "weak".to_owned();
    weak.capabilities.disconnect = false;
    hello.seams.insert(0, weak);
    hello.sites = sites.iter().map(|&(agent, tool, seam)| SiteRef { agent, tool, seam }).collect();
    hello
}

/// Breaks the connections of one agent.
fn disconnect(agent: &str) -> SessionDraft {
    let mut draft = draft(10);
    draft.target.agents = vec![agent.to_owned()];
    draft.experiments[0].fault = FaultDraft {
        tool_unavailable: Some(ToolUnavailableDraft {
            mode: Some("disconnect".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    draft
}

#[test]
fn a_start_is_refused_where_only_another_agent_has_the_seam_for_it() {
    let apart = two_agents(&[(0, 0, 0), (1, 0, 1)]);
    let why = start_with(apart.clone(), disconnect("planner")).unwrap_err();
    assert!(why.contains("seam weak of shim shim-1: the seam can't break the connection"), "{why}");
    assert_eq!(start_with(apart, disconnect("writer")), Ok(()));
    assert_eq!(start_with(two_agents(&[(0, 0, 0), (0, 1, 1)]), disconnect("planner")), Ok(()));
}

#[test]
fn a_start_is_refused_where_only_another_agent_calls_the_tool() {
    let apart = || two_agents(&[(0, 0, 1), (1, 1, 1)]);
    let tool = |agent: &str, tool: &str| {
        let mut draft = disconnect(agent);
        draft.experiments[0].tools = vec![tool.to_owned()];
        draft
    };
    let why = start_with(apart(), tool("planner", "fetch")).unwrap_err();
    let expected =
        "the target matches agents of shim shim-1, but none of the tools that they call (";
    assert!(why.contains(expected), "{why}");
    assert_eq!(start_with(apart(), tool("writer", "fetch")), Ok(()));
    let why = start_with(apart(), tool("reader", "fetch")).unwrap_err();
    assert!(why.contains("the target matches none of the agents of shim shim-1"), "{why}");
}

#[test]
fn a_start_is_refused_where_the_fault_takes_longer_than_the_owner_allows() {
    let limited = |max_delay_ms| Hello { max_delay_ms, ..hello("shim-1") };
    let why = start_with(limited(199), draft(10)).unwrap_err();
    let expected = "shim shim-1: the fault may take 200 ms, the owner allows 199 ms";
    assert!(why.contains(expected), "{why}");
    assert_eq!(start_with(limited(200), draft(10)), Ok(()));
}

#[test]
fn a_shim_that_announced_no_site_yet_can_apply_nothing() {
    let empty = Hello { sites: vec![], ..hello("shim-1") };
    let why = start_with(empty, draft(10)).unwrap_err();
    assert!(why.contains("shim shim-1 announced no site yet"), "{why}");
}

#[test]
fn one_shim_that_can_is_enough_and_many_that_can_not_are_named_in_a_few_words() {
    let mut bench = Bench::new();
    for n in 0..9 {
        let shim = format!("shim-{n}");
        bench.hears(&shim, Hello { max_delay_ms: 1, ..hello(&shim) });
    }
    let why = start(&mut bench, draft(10)).unwrap_err();
    assert!(why.ends_with("; and 4 more reasons"), "{why}");
    for n in 10..200 {
        let shim = format!("shim-{n}");
        bench.hears(&shim, Hello { max_delay_ms: 1, ..hello(&shim) });
    }
    let why = bench.command("many", ClientCommand::Start);
    let why = bench.ordered(why).expect("no answer").unwrap_err().to_string();
    assert!(why.ends_with("; and more than 95 more reasons"), "{why}");
    bench.hears("shim-9", hello("shim-9"));
    let again = bench.command("again", ClientCommand::Start);
    assert!(bench.ordered(again).expect("no answer").is_ok());
}

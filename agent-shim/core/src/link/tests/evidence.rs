//! Evidence: changed rows only, cumulative, batched, said again where nobody may have heard it.

use squall_proto::vocabulary::counts::Counts;
use squall_proto::vocabulary::id::ExperimentName;
use squall_proto::vocabulary::message::CountRow;

use super::*;

fn row(name: &str, applied: u64) -> CountRow {
    CountRow {
        session: key(name),
        experiment: ExperimentName::new("latency").unwrap(),
        agent: AgentName::new("planner").unwrap(),
        counts: Counts { seen: applied, chosen: applied, applied, ..Counts::default() },
    }
}

#[test]
fn what_was_applied_after_a_quiet_time_goes_out_at_once() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.pass(ms(5_000));
    world.plane.counts = vec![row("s", 1)];
    world.input(Input::Stirred);
    assert_eq!(world.published()[0].rows, vec![row("s", 1)]);
}

#[test]
fn a_busy_process_sends_evidence_five_times_a_second_at_most() {
    let mut world = World::with(vec![live("s", "strict")]);
    let mut messages = 0;
    for n in 1..=1000 {
        world.pass(ms(2));
        world.plane.counts = vec![row("s", n)];
        world.input(Input::Stirred);
        messages += world.published().len();
    }
    assert!((9..=12).contains(&messages), "{messages} messages in 2 s");
}

#[test]
fn only_what_changed_is_sent_and_each_session_apart() {
    let mut world = World::with(vec![live("s", "strict"), live("t", "strict")]);
    world.plane.counts = vec![row("s", 1), row("t", 1)];
    world.pass(ms(1_000));
    assert_eq!(world.published().len(), 2);
    world.pass(ms(4_000));
    world.published();
    world.plane.counts = vec![row("s", 1), row("t", 2)];
    world.pass(ms(1_000));
    let evidence = world.published();
    assert_eq!(evidence.len(), 1);
    assert_eq!(evidence[0].rows, vec![row("t", 2)]);
}

#[test]
fn the_last_values_are_said_again_and_again_ever_more_seldom() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.plane.counts = vec![row("s", 3)];
    world.pass(ms(1_000));
    let mut said = vec![world.published()];
    for seconds in [3, 4, 8, 16, 30, 30] {
        world.pass(Duration::from_secs(seconds));
        said.push(world.published());
    }
    for evidence in &said {
        assert_eq!(evidence.len(), 1, "{said:?}");
        assert_eq!(evidence[0].rows, vec![row("s", 3)]);
    }
}

#[test]
fn a_busy_session_does_not_keep_the_last_values_of_a_quiet_one_from_being_said_again() {
    let mut world = World::with(vec![live("s", "strict"), live("t", "strict")]);
    let mut quiet = 0;
    for n in 1..=10 {
        world.plane.counts = vec![row("s", 3), row("t", n)];
        world.pass(ms(1_000));
        let rows = world.published().into_iter().flat_map(|evidence| evidence.rows);
        quiet += rows.filter(|sent| *sent == row("s", 3)).count();
    }
    assert!(quiet >= 3, "a lost message was repaired {quiet} times in 10 s");
}

#[test]
fn the_last_values_of_a_session_that_ended_outlive_an_outage_of_their_stream() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.plane.counts = vec![row("s", 3)];
    world.pass(ms(1_000));
    world.published();
    let ended = vec![(key("s"), Ending::Ended)];
    world.command(Command::Plan(Plan { ended, ..delta(5, 6, vec![]) }));
    world.pass(Duration::from_secs(20));
    world.published();
    world.pass(Duration::from_secs(30));
    assert_eq!(world.published()[0].rows, vec![row("s", 3)]);
}

#[test]
fn the_last_values_outlive_a_change_of_the_streams_leader() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.plane.counts = vec![row("s", 3)];
    world.pass(ms(1_000));
    world.command(Command::Plan(delta(5, 6, vec![])));
    world.pass(Duration::from_secs(9));
    world.published();
    world.pass(Duration::from_secs(9));
    let heard = world.published();
    assert!(heard.iter().any(|evidence| evidence.rows == vec![row("s", 3)]), "{heard:?}");
}

#[test]
fn everything_is_said_again_after_contact_was_lost() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.plane.counts = vec![row("s", 3)];
    world.pass(Duration::from_secs(10));
    world.published();
    world.input(Input::Disconnected);
    world.plane.counts = vec![row("s", 4)];
    world.pass(Duration::from_secs(10));
    assert_eq!(world.published().len(), 0, "nothing is said to nobody");
    world.input(Input::Connected);
    world.welcome();
    assert_eq!(world.published()[0].rows, vec![row("s", 4)]);
}

#[test]
fn many_rows_are_spread_over_messages() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.plane.counts = (0..2500)
        .map(|n| CountRow { agent: AgentName::new(format!("a{n}")).unwrap(), ..row("s", 1) })
        .collect();
    world.pass(ms(1_000));
    let evidence = world.published();
    assert_eq!(
        evidence.iter().map(|e| e.rows.len()).collect::<Vec<_>>(),
        [512, 512, 512, 512, 452]
    );
}

#[test]
fn a_process_without_sessions_is_silent() {
    let mut world = World::with(vec![]);
    world.plane.counts = vec![row("s", 1)];
    world.pass(Duration::from_secs(60));
    assert_eq!(world.published().len(), 0);
}

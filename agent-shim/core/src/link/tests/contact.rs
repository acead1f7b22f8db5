//! Hello, Sync, versions: shim rules 5, 8 and 9.

use super::*;

#[test]
fn nothing_but_hello_is_sent_before_a_coordinator_answered() {
    let mut world = World::new();
    world.link.owe(Close {
        incarnation: ME,
        grant: GrantRef { session: key("s"), req_no: 1 },
        used: 0,
    });
    world.input(Input::Connected);
    assert!(world.hello().is_some());
    world.pass(ms(10_000));
    assert!(
        world.outputs.iter().all(|output| !matches!(output, Output::Send { .. })),
        "{:?}",
        world.outputs
    );
}

#[test]
fn hello_is_repeated_with_growing_pauses_until_it_is_answered() {
    let mut world = World::new();
    world.input(Input::Connected);
    let mut hellos = 0;
    for _ in 0..600 {
        while let Some((correlation, _)) = world.hello() {
            hellos += 1;
            world.lose(correlation);
        }
        world.pass(ms(100));
    }
    assert!((8..40).contains(&hellos), "{hellos} Hellos in a minute");
    world.pass(ms(10_000));
    world.welcome();
    assert!(world.synced().is_some());
}

#[test]
fn a_late_joiner_drops_what_is_up_to_the_plan_it_synced() {
    let mut world = World::new();
    world.input(Input::Connected);
    world.command(Command::Plan(delta(1, 2, vec![live("old", "strict")])));
    world.welcome();
    world.command(Command::Plan(delta(4, 5, vec![live("gone", "strict")])));
    world.command(Command::Plan(delta(7, 8, vec![live("new", "strict")])));
    world.sync(whole(7, vec![live("s", "strict")]));
    assert_eq!(world.link.status().sessions, vec![key("new"), key("s")]);
    assert_eq!(world.link.status().plan, Some(version(8)));
}

#[test]
fn a_gap_means_a_sync_after_a_jitter_of_up_to_two_seconds() {
    let mut waits = vec![];
    for seed in 0..20 {
        let mut world = World::with(vec![]);
        (0..seed).for_each(|_| {
            world.link.random.bits();
        });
        let start = world.now;
        world.command(Command::Beat(version(9)));
        while world.synced().is_none() {
            world.pass(ms(10));
        }
        waits.push(world.now.since(start));
    }
    assert!(waits.iter().all(|wait| *wait <= ms(2010)));
    assert!(waits.iter().any(|wait| *wait < ms(500)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait > ms(1500)), "{waits:?}");
}

#[test]
fn lower_versions_change_nothing() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.command(Command::Plan(delta(6, 7, vec![])));
    world.command(Command::Plan(Plan {
        ended: vec![(key("s"), Ending::Ended)],
        ..delta(1, 3, vec![])
    }));
    assert_eq!(world.link.status().sessions, vec![key("s")]);
}

#[test]
fn a_whole_plan_comes_page_by_page() {
    let mut world = World::new();
    world.input(Input::Connected);
    world.welcome();
    world.sync(Plan { pages: 2, ..whole(5, vec![live("a", "strict")]) });
    assert_eq!(world.link.status().sessions, vec![]);
    let (correlation, sync) = world.synced().unwrap();
    assert_eq!(sync.page, 1);
    let page = Plan { page: 1, pages: 2, ..whole(5, vec![live("b", "strict")]) };
    world.reply(correlation, Reply::Plan(page));
    assert_eq!(world.link.status().sessions, vec![key("a"), key("b")]);
}

#[test]
fn a_whole_plan_replaces_everything() {
    let mut world = World::with(vec![live("a", "strict"), live("b", "strict")]);
    world.command(Command::Beat(version(6)));
    world.pass(ms(2000));
    world.sync(whole(6, vec![live("b", "strict")]));
    assert_eq!(world.link.status().sessions, vec![key("b")]);
}

#[test]
fn another_log_means_inert_and_hello() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    let other = PlanVersion { log: LogId::new("other").unwrap(), sequence: 1 };
    world.command(Command::Beat(other.clone()));
    assert!(!world.plane.burn(&key("s"), world.now));
    assert_eq!(world.plane.plan, vec![]);
    assert!(world.outputs.contains(&Output::WakeDelays));
    assert_eq!(world.closed(), None, "a grant of the old log means nothing to the new one");
    let (correlation, _) = world.hello().unwrap();
    let welcome = Welcome { log: other.log.clone(), recorded_aborts: vec![] };
    world.reply(correlation, Reply::Welcome(welcome));
    let plan = Plan { version: other, ..whole(1, vec![live("s", "strict")]) };
    world.sync(plan);
    assert_eq!(world.link.status().sessions, vec![key("s")]);
}

#[test]
fn closes_of_the_old_log_are_not_sent_to_the_new_one() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.pass(ms(1100));
    let (lost, _) = world.closed().unwrap();
    world.lose(lost);
    let other = LogId::new("other").unwrap();
    world.command(Command::Beat(PlanVersion { log: other.clone(), sequence: 1 }));
    let (correlation, _) = world.hello().unwrap();
    let welcome = Welcome { log: other, recorded_aborts: vec![] };
    world.reply(correlation, Reply::Welcome(welcome));
    world.pass(Duration::from_secs(20));
    assert_eq!(world.closed(), None);
}

#[test]
fn hello_names_the_aborts_that_the_log_may_lack() {
    let mut world = World::with(vec![live("s", "strict"), live("t", "strict")]);
    world.command(Command::Abort {
        session: key("t"),
        epoch: AbortEpoch::Pushed(AppendId([3; 16])),
    });
    world.input(Input::Disconnected);
    world.input(Input::Connected);
    let (_, hello) = world.hello().unwrap();
    let epoch = AbortEpoch::Pushed(AppendId([3; 16]));
    assert_eq!(hello.sticky_aborts, vec![StickyAbort { session: key("t"), epoch }]);
}

#[test]
fn contact_regained_syncs_and_demand_starts_again() {
    let mut session = live("s", "strict");
    session.phi0 = 1e-6;
    session.age = Duration::from_secs(60);
    let mut world = World::with(vec![session.clone()]);
    world.pass(Duration::from_secs(20));
    world.input(Input::Disconnected);
    world.input(Input::Connected);
    world.welcome();
    world.sync(whole(5, vec![session]));
    world.choose("s", 1);
    assert_eq!(world.asked(), None, "phi is at phi0 again");
    for request in 0..60 {
        world.pass(ms(200));
        world.choose("s", request);
    }
    assert!(world.asked().is_some(), "and grows from there");
}

#[test]
fn new_sites_are_announced_in_one_hello() {
    let mut world = World::with(vec![]);
    for sites in 1..50 {
        world.plane.sites = sites;
        world.input(Input::Stirred);
        world.pass(ms(1));
    }
    world.pass(ms(300));
    assert!(world.hello().is_some());
    world.input(Input::Stirred);
    world.pass(ms(300));
    assert_eq!(world.hello(), None);
}

#[test]
fn hello_is_said_again_and_again_also_by_a_process_with_nothing_else_to_say() {
    let mut world = World::with(vec![]);
    let (mut hellos, mut last) = (0, world.now);
    let end = world.now.plus(20 * HELLO_EVERY);
    while world.now < end {
        world.pass(ms(500));
        if world.outputs.iter().any(|output| matches!(output, Output::Send { .. })) {
            world.welcome();
            assert!(world.now.since(last) <= HELLO_EVERY + ms(500), "{:?}", world.now.since(last));
            (hellos, last) = (hellos + 1, world.now);
        }
    }
    assert!((20..=26).contains(&hellos), "{hellos} Hellos in 20 intervals");
    assert_eq!(world.synced(), None, "the whole plan was asked for, although nothing is missing");
}

#[test]
fn a_hello_in_between_that_gets_lost_is_repeated_soon() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.pass(HELLO_EVERY);
    let (correlation, _) = world.hello().unwrap();
    world.lose(correlation);
    world.grant("s", 5);
    assert!(world.plane.burn(&key("s"), world.now), "contact was not lost");
    world.pass(ms(200));
    world.welcome();
}

#[test]
fn a_roll_call_is_answered_within_two_seconds() {
    let mut world = World::with(vec![]);
    world.command(Command::RollCall);
    world.pass(ms(2000));
    assert!(world.hello().is_some());
}

#[test]
fn a_forked_child_has_no_permits_another_life_and_says_hello_anew() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.outputs.clear();
    let child = Incarnation([9; 16]);
    world.input(Input::Forked(child));
    assert!(!world.plane.burn(&key("s"), world.now));
    world.pass(ms(20_000));
    assert_eq!(world.closed(), None, "the parent's grant is the parent's to close");
    world.plane = Fake::default();
    world.input(Input::Connected);
    let (_, hello) = world.hello().unwrap();
    assert_eq!(hello.incarnation, child);
}

#[test]
fn a_session_ends_on_time_by_itself_without_contact() {
    let mut session = live("s", "eventual");
    session.remaining = ms(2000);
    let mut world = World::with(vec![session]);
    world.input(Input::Disconnected);
    world.pass(ms(1900));
    assert!(!world.plane.purses[&key("s")].stopped);
    world.pass(ms(200));
    assert!(world.plane.purses[&key("s")].stopped);
    assert!(world.outputs.contains(&Output::WakeDelays));
}

#[test]
fn a_pushed_pause_holds_until_a_newer_plan_resumes() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.command(Command::Pause { session: key("s"), plan: version(6) });
    assert!(!world.plane.burn(&key("s"), world.now));
    assert_eq!(world.closed().unwrap().1.used, 0);
    let mut paused = live("s", "strict");
    paused.running = false;
    world.command(Command::Plan(delta(5, 6, vec![paused])));
    assert!(!world.plane.plan[0].running);
    world.command(Command::Plan(delta(6, 7, vec![live("s", "strict")])));
    assert!(world.plane.plan[0].running);
    assert!(!world.plane.purses[&key("s")].paused);
}

#[test]
fn a_pause_that_comes_behind_the_plan_that_resumed_pauses_nothing() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.command(Command::Plan(delta(5, 7, vec![live("s", "strict")])));
    world.command(Command::Pause { session: key("s"), plan: version(6) });
    assert!(world.plane.burn(&key("s"), world.now));
}

//! Aborts, halts, and their confirmation.

use super::*;

const PUSHED: AbortEpoch = AbortEpoch::Pushed(AppendId([3; 16]));

fn abort(name: &str) -> Command {
    Command::Abort { session: key(name), epoch: PUSHED }
}

fn ended(previous: u64, sequence: u64, ended: Vec<(SessionKey, Ending)>) -> Command {
    Command::Plan(Plan { ended, ..delta(previous, sequence, vec![]) })
}

#[test]
fn an_abort_stops_at_once_and_wakes_delays() {
    let mut world = World::with(vec![live("s", "strict"), live("t", "strict")]);
    world.grant("s", 5);
    world.grant("t", 5);
    world.command(abort("s"));
    assert!(!world.plane.burn(&key("s"), world.now));
    assert!(world.plane.burn(&key("t"), world.now));
    assert!(world.outputs.contains(&Output::WakeDelays));
    assert!(world.plane.plan.iter().all(|active| active.key != key("s")));
}

#[test]
fn an_abort_sticks_whatever_plan_comes() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.command(abort("s"));
    world.command(Command::Plan(delta(5, 6, vec![live("s", "strict")])));
    assert_eq!(world.plane.plan, vec![]);
    world.choose("s", 1);
    assert_eq!(world.asked(), None);
}

#[test]
fn an_abort_of_a_session_that_is_not_known_yet_sticks_too() {
    let mut world = World::with(vec![]);
    world.command(abort("s"));
    world.command(Command::Plan(delta(5, 6, vec![live("s", "strict")])));
    assert_eq!(world.plane.plan, vec![]);
}

#[test]
fn inert_comes_when_no_fault_of_the_session_runs_and_not_before() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    assert!(world.plane.burn(&key("s"), world.now));
    world.command(abort("s"));
    world.pass(ms(300));
    assert_eq!(world.confirmed(), None);
    assert_eq!(world.closed(), None);
    world.plane.end_fault(&key("s"), world.now);
    world.pass(ms(100));
    let (_, inert) = world.confirmed().unwrap();
    assert_eq!((inert.epoch, inert.used, inert.incarnation), (PUSHED, 1, ME));
    assert!(inert.last_injection_ago.unwrap() <= ms(100));
    assert_eq!(world.closed().unwrap().1.used, 1);
}

#[test]
fn inert_is_repeated_until_it_is_noted() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.command(abort("s"));
    let (correlation, _) = world.confirmed().unwrap();
    world.lose(correlation);
    world.pass(ms(500));
    let (correlation, _) = world.confirmed().unwrap();
    world.reply(correlation, Reply::InertNoted(key("s")));
    world.pass(ms(20_000));
    assert_eq!(world.confirmed(), None);
}

#[test]
fn inert_comes_again_with_the_number_that_the_log_gave_the_abort() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.command(abort("s"));
    let (correlation, _) = world.confirmed().unwrap();
    world.reply(correlation, Reply::InertNoted(key("s")));
    let logged = AbortEpoch::Logged(6);
    world.command(ended(5, 6, vec![(key("s"), Ending::Aborted(logged))]));
    let (correlation, inert) = world.confirmed().unwrap();
    assert_eq!(inert.epoch, logged);
    world.reply(correlation, Reply::InertNoted(key("s")));
    world.command(Command::Beat(version(6)));
    world.pass(ms(20_000));
    assert_eq!(world.confirmed(), None);
}

#[test]
fn a_late_note_for_the_push_does_not_silence_the_one_for_the_log() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.command(abort("s"));
    let (pushed, _) = world.confirmed().unwrap();
    world.command(ended(5, 6, vec![(key("s"), Ending::Aborted(AbortEpoch::Logged(6)))]));
    let (logged, _) = world.confirmed().unwrap();
    world.reply(pushed, Reply::InertNoted(key("s")));
    world.lose(logged);
    world.pass(ms(500));
    assert!(world.confirmed().is_some());
}

#[test]
fn a_pause_or_an_expired_lease_confirms_nothing() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.command(Command::Pause { session: key("s"), plan: version(6) });
    world.pass(Duration::from_secs(20));
    assert_eq!(world.confirmed(), None);
}

#[test]
fn who_holds_nothing_any_more_confirms_all_the_same() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.pass(ms(1100));
    let (close, closed) = world.closed().unwrap();
    world.settle(close, &closed);
    world.command(abort("s"));
    let (_, inert) = world.confirmed().unwrap();
    assert_eq!((inert.used, inert.last_injection_ago), (0, None));
}

#[test]
fn a_process_that_ends_confirms_an_abort_that_it_knows_of_before_it_goes() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.command(abort("s"));
    let (close, closed) = world.closed().unwrap();
    let (inert, _) = world.confirmed().unwrap();
    world.input(Input::Leave);
    world.settle(close, &closed);
    assert!(!world.link.owes_nothing(), "nobody has its confirmation yet");
    world.lose(inert);
    world.pass(ms(500));
    let (inert, _) = world.confirmed().unwrap();
    world.reply(inert, Reply::InertNoted(key("s")));
    assert!(world.link.owes_nothing());
}

#[test]
fn who_never_asked_confirms_nothing() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.command(abort("s"));
    world.pass(ms(5000));
    assert_eq!(world.confirmed(), None);
}

#[test]
fn an_ask_under_way_is_closed_and_the_abort_confirmed() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (correlation, ask) = world.asked().unwrap();
    world.command(abort("s"));
    assert_eq!(world.closed().unwrap().1.grant.req_no, ask.req_no);
    assert!(world.confirmed().is_some());
    world.reply(correlation, Reply::Grant(answer(&ask, 5)));
    assert_eq!(world.plane.left(&key("s")), 0);
}

#[test]
fn an_abort_that_the_log_may_lack_is_reported_until_it_is_recorded() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.command(abort("s"));
    world.pass(ms(3000));
    let (lost, renew) = world.renewed().unwrap();
    let epoch = PUSHED;
    assert_eq!(renew.sticky_aborts, vec![StickyAbort { session: key("s"), epoch }]);
    world.lose(lost);
    world.pass(ms(6000));
    let (correlation, renew) = world.renewed().unwrap();
    let answer = Renewed { echo_sent: renew.sent, remaining: TTL, stop_version: 0 };
    world.reply(correlation, Reply::Renewed(answer));
    world.pass(Duration::from_secs(60));
    assert_eq!(world.renewed(), None);
    world.input(Input::Disconnected);
    world.input(Input::Connected);
    assert_eq!(world.hello().unwrap().1.sticky_aborts, vec![]);
    world.command(Command::Plan(delta(5, 6, vec![live("s", "strict")])));
    assert_eq!(world.plane.plan, vec![], "recorded or not, it stays stopped");
}

#[test]
fn an_abort_that_the_plan_shows_is_not_reported() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.command(abort("s"));
    world.command(ended(5, 6, vec![(key("s"), Ending::Aborted(AbortEpoch::Logged(6)))]));
    world.pass(Duration::from_secs(30));
    assert_eq!(world.renewed(), None);
}

#[test]
fn a_welcome_that_lists_an_abort_ends_its_reports_and_one_that_does_not_does_not() {
    let mut world = World::with(vec![live("s", "strict"), live("t", "strict")]);
    world.command(abort("s"));
    world.command(abort("t"));
    world.input(Input::Disconnected);
    world.input(Input::Connected);
    let (correlation, _) = world.hello().unwrap();
    let recorded_aborts = vec![StickyAbort { session: key("s"), epoch: PUSHED }];
    let log = version(0).log;
    world.reply(correlation, Reply::Welcome(Welcome { log, recorded_aborts }));
    world.pass(ms(5000));
    let (_, renew) = world.renewed().unwrap();
    let epoch = PUSHED;
    assert_eq!(renew.sticky_aborts, vec![StickyAbort { session: key("t"), epoch }]);
}

#[test]
fn a_halt_is_an_abort_of_every_session() {
    let mut world = World::with(vec![live("s", "strict"), live("t", "eventual")]);
    world.grant("s", 5);
    world.command(Command::Halt { epoch: AbortEpoch::Logged(9) });
    assert_eq!(world.plane.plan, vec![]);
    assert_eq!(world.confirmed().unwrap().1.epoch, AbortEpoch::Logged(9));
    assert_eq!(world.link.status().aborted, vec![key("s"), key("t")]);
}

#[test]
fn a_halt_after_an_abort_leaves_the_confirmation_with_the_abort_s_number() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    assert!(world.plane.burn(&key("s"), world.now));
    world.command(Command::Abort { session: key("s"), epoch: AbortEpoch::Logged(10) });
    world.command(Command::Halt { epoch: AbortEpoch::Logged(12) });
    world.plane.end_fault(&key("s"), world.now);
    world.pass(ms(100));
    let (correlation, inert) = world.confirmed().unwrap();
    assert_eq!(inert.epoch, AbortEpoch::Logged(10));
    world.reply(correlation, Reply::InertNoted(key("s")));
    world.command(Command::Halt { epoch: AbortEpoch::Logged(12) });
    world.pass(ms(20_000));
    assert_eq!(world.confirmed(), None);
}

#[test]
fn an_abort_s_number_that_comes_after_a_halt_s_is_confirmed_anew() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.command(Command::Halt { epoch: AbortEpoch::Logged(12) });
    let (halt, inert) = world.confirmed().unwrap();
    assert_eq!(inert.epoch, AbortEpoch::Logged(12));
    world.command(ended(5, 12, vec![(key("s"), Ending::Aborted(AbortEpoch::Logged(10)))]));
    let (abort, inert) = world.confirmed().unwrap();
    assert_eq!(inert.epoch, AbortEpoch::Logged(10));
    // Noted or not, the halt's confirmation is not the one that counts.
    world.reply(halt, Reply::InertNoted(key("s")));
    world.lose(abort);
    world.pass(ms(500));
    assert_eq!(world.confirmed().unwrap().1.epoch, AbortEpoch::Logged(10));
}

#[test]
fn a_pushed_abort_is_confirmed_with_its_own_number_whatever_halt_comes_between() {
    for halt in [AbortEpoch::Logged(12), AbortEpoch::Pushed(AppendId([4; 16]))] {
        let mut world = World::with(vec![live("s", "strict")]);
        world.grant("s", 5);
        world.command(abort("s"));
        assert_eq!(world.confirmed().unwrap().1.epoch, PUSHED);
        world.command(Command::Halt { epoch: halt });
        assert_eq!(world.confirmed().unwrap().1.epoch, halt);
        world.command(Command::Abort { session: key("s"), epoch: AbortEpoch::Logged(10) });
        assert_eq!(world.confirmed().unwrap().1.epoch, AbortEpoch::Logged(10));
        world.command(abort("s"));
        world.command(Command::Halt { epoch: halt });
        assert_eq!(world.confirmed(), None);
    }
}

#[test]
fn a_late_halt_spares_what_the_plan_started_after_it() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    // The lever was engaged at 3 or 5 and released; the plan, which counts levers, shows the session live since.
    for late in [3, 5] {
        world.command(Command::Halt { epoch: AbortEpoch::Logged(late) });
        assert!(world.plane.burn(&key("s"), world.now));
        assert_eq!(world.link.status().aborted, vec![]);
    }
    world.command(Command::Halt { epoch: AbortEpoch::Logged(6) });
    assert!(!world.plane.burn(&key("s"), world.now));
}

#[test]
fn a_halt_that_is_not_in_the_log_yet_stops_whatever_the_plan_shows() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.command(Command::Halt { epoch: PUSHED });
    assert!(!world.plane.burn(&key("s"), world.now));
}

#[test]
fn a_graceful_end_lets_faults_run_out_and_then_closes() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    assert!(world.plane.burn(&key("s"), world.now));
    world.outputs.clear();
    world.command(ended(5, 6, vec![(key("s"), Ending::Ended)]));
    assert!(!world.plane.burn(&key("s"), world.now));
    assert!(!world.outputs.contains(&Output::WakeDelays));
    assert!(!world.plane.purses[&key("s")].stopped);
    world.pass(ms(500));
    assert_eq!(world.closed(), None);
    world.plane.end_fault(&key("s"), world.now);
    world.pass(ms(100));
    assert_eq!(world.closed().unwrap().1.used, 1);
}

#[test]
fn more_aborts_than_can_be_kept_stop_everything() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    for n in 0..1100 {
        world.link.handle(world.now, Input::Command(abort(&format!("x{n}"))), &mut world.plane);
    }
    assert!(!world.plane.burn(&key("s"), world.now));
    assert!(world.link.aborts.len() <= 1024);
}

#[test]
fn what_is_over_is_forgotten() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.command(ended(5, 6, vec![(key("s"), Ending::Aborted(AbortEpoch::Logged(6)))]));
    let (close, closed) = world.closed().unwrap();
    world.settle(close, &closed);
    let (inert, _) = world.confirmed().unwrap();
    world.reply(inert, Reply::InertNoted(key("s")));
    world.pass(ms(5000));
    world.command(Command::Beat(version(6)));
    world.pass(ms(61_000));
    world.command(Command::Beat(version(6)));
    assert!(world.link.sessions.is_empty());
    assert!(world.plane.purses.is_empty());
    world.command(Command::Plan(delta(6, 7, vec![live("s", "strict")])));
    assert_eq!(world.plane.plan, vec![], "but not the abort");
}

#[test]
fn aborts_of_which_nothing_is_left_to_be_said_make_room() {
    let mut world = World::with(vec![live("s", "strict")]);
    for n in 0..3000 {
        let session = key(&format!("x{n}"));
        world.command(Command::Abort { session, epoch: AbortEpoch::Logged(n) });
    }
    world.grant("s", 5);
    assert!(world.plane.burn(&key("s"), world.now));
    assert!(world.link.aborts.len() <= 1024);
}

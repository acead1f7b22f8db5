//! Shim rules 1, 3 and 4, and asking.

use super::*;

#[test]
fn a_chosen_request_without_a_permit_asks_and_the_grant_is_usable() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 9);
    let (correlation, ask) = world.asked().unwrap();
    assert_eq!((ask.req_no, ask.incarnation, ask.sent), (1, ME, world.now));
    assert_eq!(ask.scope.request, 9);
    world.reply(correlation, Reply::Grant(answer(&ask, 4)));
    assert_eq!(world.plane.left(&key("s")), 4);
    assert!(world.plane.burn(&key("s"), world.now));
}

#[test]
fn there_is_one_open_ask_for_each_session() {
    let mut world = World::with(vec![live("s", "strict"), live("t", "strict")]);
    for request in 0..10 {
        world.choose("s", request);
        world.choose("t", request);
    }
    assert!(world.asked().is_some());
    assert!(world.asked().is_some());
    assert_eq!(world.asked(), None);
}

#[test]
fn every_repetition_has_the_same_number_and_a_new_time() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (correlation, first) = world.asked().unwrap();
    world.lose(correlation);
    world.pass(ms(1000));
    let (_, second) = world.asked().unwrap();
    assert_eq!(second.req_no, first.req_no);
    assert!(second.sent > first.sent);
    assert_eq!(second.scope, first.scope);
}

#[test]
fn the_lease_counts_from_the_send_that_was_answered_never_from_the_receipt() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (lost, _) = world.asked().unwrap();
    world.lose(lost);
    world.pass(ms(500));
    let (correlation, second) = world.asked().unwrap();
    world.pass(ms(700));
    world.reply(correlation, Reply::Grant(answer(&second, 1)));
    assert_eq!(world.plane.lease, second.sent.plus(TTL));
}

#[test]
fn an_echo_from_the_future_does_not_stretch_the_lease() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (correlation, ask) = world.asked().unwrap();
    let mut grant = answer(&ask, 1);
    grant.echo_sent = Some(ask.sent.plus(Duration::from_secs(3600)));
    grant.remaining = Duration::from_secs(3600);
    world.reply(correlation, Reply::Grant(grant));
    assert_eq!(world.plane.lease, ask.sent.plus(TTL));
}

#[test]
fn permits_live_from_the_first_send_of_their_request_whatever_is_renewed() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (lost, first) = world.asked().unwrap();
    world.lose(lost);
    world.pass(ms(1000));
    let (correlation, second) = world.asked().unwrap();
    world.reply(correlation, Reply::Grant(answer(&second, 100)));
    let cap = first.sent.plus(Duration::from_secs(10));
    let mut last = world.now;
    while world.now < cap.plus(ms(2000)) {
        world.pass(ms(100));
        if let Some((correlation, renew)) = world.renewed() {
            let renewed = Renewed { echo_sent: renew.sent, remaining: TTL, stop_version: 0 };
            world.reply(correlation, Reply::Renewed(renewed));
        }
        if world.plane.burn(&key("s"), world.now) {
            last = world.now;
            world.plane.end_fault(&key("s"), world.now);
        }
    }
    assert!(last < cap, "burned {:?} after the end of its life", last.since(cap));
    assert!(cap.since(last) < ms(200), "the permits ended long before their life");
}

#[test]
fn a_grant_without_an_echo_is_dated_at_the_first_send_of_its_request() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (lost, first) = world.asked().unwrap();
    world.lose(lost);
    world.pass(ms(500));
    let (_, second) = world.asked().unwrap();
    let grant = Grant { echo_sent: None, ..answer(&second, 2) };
    world.command(Command::Grant(grant));
    assert_eq!(world.plane.left(&key("s")), 2);
    assert_eq!(world.plane.lease, first.sent.plus(TTL));
}

#[test]
fn a_grant_of_another_life_is_ignored() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (_, ask) = world.asked().unwrap();
    let grant = Grant { incarnation: Incarnation([8; 16]), ..answer(&ask, 2) };
    world.command(Command::Grant(grant));
    assert_eq!(world.plane.left(&key("s")), 0);
    assert_eq!(world.closed(), None);
}

#[test]
fn a_grant_that_is_installed_already_is_ignored() {
    let mut world = World::with(vec![live("s", "strict")]);
    let grant = world.grant("s", 3);
    assert!(world.plane.burn(&key("s"), world.now));
    world.command(Command::Grant(grant));
    assert_eq!(world.plane.left(&key("s")), 2);
    assert_eq!(world.closed(), None);
}

#[test]
fn a_grant_with_an_unacknowledged_close_gets_that_close_again() {
    let mut world = World::with(vec![live("s", "strict")]);
    let grant = world.grant("s", 3);
    assert!(world.plane.burn(&key("s"), world.now));
    world.plane.end_fault(&key("s"), world.now);
    world.pass(ms(2500));
    let (_, close) = world.closed().unwrap();
    assert_eq!(close.used, 1);
    world.command(Command::Grant(grant));
    let (_, again) = world.closed().unwrap();
    assert_eq!(again, close);
    assert_eq!(world.plane.left(&key("s")), 0);
}

#[test]
fn a_grant_that_nobody_waits_for_is_closed_unused() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (correlation, ask) = world.asked().unwrap();
    let refused = refusal(&ask, RefusedWhy::Dry, ms(10));
    world.reply(correlation, refused);
    world.command(Command::Grant(answer(&ask, 5)));
    let (_, close) = world.closed().unwrap();
    assert_eq!((close.grant.req_no, close.used), (ask.req_no, 0));
    assert_eq!(world.plane.left(&key("s")), 0);
}

#[test]
fn another_request_s_open_grant_is_closed_and_the_ask_goes_on() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (correlation, ask) = world.asked().unwrap();
    let mut other = answer(&ask, 5);
    other.grant.req_no = 77;
    world.reply(correlation, Reply::Grant(other));
    assert_eq!(world.closed().unwrap().1.grant.req_no, 77);
    world.pass(ms(1000));
    let (correlation, again) = world.asked().unwrap();
    assert_eq!(again.req_no, ask.req_no);
    world.reply(correlation, Reply::Grant(answer(&again, 5)));
    assert_eq!(world.plane.left(&key("s")), 5);
}

#[test]
fn an_ask_that_is_never_answered_is_given_up_and_closed() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    for _ in 0..30 {
        while let Some((correlation, _)) = world.asked() {
            world.lose(correlation);
        }
        world.pass(ms(500));
    }
    let (_, close) = world.closed().unwrap();
    assert_eq!((close.grant.req_no, close.used), (1, 0));
    assert_eq!(world.asked(), None);
}

#[test]
fn a_used_up_grant_is_closed_once_its_faults_ended_and_not_before() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 1);
    assert!(world.plane.burn(&key("s"), world.now));
    world.pass(ms(2000));
    assert_eq!(world.closed(), None, "closed while a fault runs");
    world.plane.end_fault(&key("s"), world.now);
    world.input(Input::Stirred);
    assert_eq!(world.closed().unwrap().1.used, 1);
}

#[test]
fn idle_permits_go_back_after_a_second() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.pass(ms(990));
    assert_eq!(world.plane.left(&key("s")), 5);
    world.pass(ms(20));
    assert_eq!(world.plane.left(&key("s")), 0);
    assert_eq!(world.closed().unwrap().1.used, 0);
}

#[test]
fn permits_in_use_stay() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 100);
    for _ in 0..20 {
        world.pass(ms(100));
        if let Some((correlation, renew)) = world.renewed() {
            let renewed = Renewed { echo_sent: renew.sent, remaining: TTL, stop_version: 0 };
            world.reply(correlation, Reply::Renewed(renewed));
        }
        assert!(world.plane.burn(&key("s"), world.now));
        world.plane.end_fault(&key("s"), world.now);
    }
    assert_eq!(world.plane.left(&key("s")), 80);
}

#[test]
fn an_agent_with_rare_calls_finds_the_permits_that_its_last_call_asked_for() {
    let mut world = World::with(vec![live("s", "strict")]);
    let mut hits = 0;
    for call in 0..10 {
        if world.plane.burn(&key("s"), world.now) {
            hits += 1;
            world.plane.end_fault(&key("s"), world.now);
        } else {
            world.choose("s", call);
            if let Some((correlation, ask)) = world.asked() {
                world.reply(correlation, Reply::Grant(answer(&ask, 1)));
            }
        }
        for _ in 0..30 {
            world.pass(ms(100));
            while let Some((correlation, close)) = world.closed() {
                world.settle(correlation, &close);
            }
            if let Some((correlation, renew)) = world.renewed() {
                let renewed = Renewed { echo_sent: renew.sent, remaining: TTL, stop_version: 0 };
                world.reply(correlation, Reply::Renewed(renewed));
            }
        }
    }
    assert!(hits >= 3, "{hits} of 10 calls at intervals of 3 s found a permit");
}

#[test]
fn permits_for_others_go_back_soon_when_somebody_else_wants_some() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.pass(ms(100));
    world.choose("s", 2); // Chosen, and what is in hand was not for it.
    world.pass(ms(250));
    let (correlation, close) = world.closed().unwrap();
    assert_eq!(close.used, 0);
    world.settle(correlation, &close);
    world.choose("s", 3);
    assert_eq!(world.asked().unwrap().1.req_no, 2);
}

#[test]
fn permits_that_lay_idle_go_back_at_once_when_somebody_else_wants_some() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.pass(ms(600));
    world.choose("s", 2);
    assert_eq!(world.closed().unwrap().1.used, 0);
}

#[test]
fn nothing_is_asked_while_a_close_is_not_acknowledged() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.pass(ms(1100));
    let (correlation, close) = world.closed().unwrap();
    world.choose("s", 2);
    assert_eq!(world.asked(), None);
    world.settle(correlation, &close);
    assert!(world.asked().is_some());
}

#[test]
fn a_close_is_repeated_until_its_own_acknowledgement() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    world.pass(ms(1100));
    let (correlation, close) = world.closed().unwrap();
    world.lose(correlation);
    world.pass(ms(500));
    let (correlation, again) = world.closed().unwrap();
    assert_eq!(again, close);
    let other = GrantRef { req_no: 99, ..close.grant.clone() };
    world.reply(correlation, Reply::Closed(other));
    world.pass(ms(2000));
    let (correlation, again) = world.closed().unwrap();
    world.settle(correlation, &again);
    world.pass(ms(20_000));
    assert_eq!(world.closed(), None);
}

#[test]
fn a_refusal_holds_back_and_a_refill_ends_it() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (correlation, ask) = world.asked().unwrap();
    world.reply(correlation, refusal(&ask, RefusedWhy::Dry, Duration::from_secs(20)));
    world.pass(ms(5000));
    world.choose("s", 2);
    assert_eq!(world.asked(), None);
    world.command(Command::Refill { session: key("s"), phi0: 1.0 });
    world.pass(ms(250));
    world.choose("s", 3);
    assert_eq!(world.asked().unwrap().1.req_no, 2);
}

#[test]
fn a_refusal_after_a_repetition_closes_what_the_lost_answer_may_have_granted() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (lost, _) = world.asked().unwrap();
    world.lose(lost);
    world.pass(ms(1000));
    let (correlation, ask) = world.asked().unwrap();
    world.reply(correlation, refusal(&ask, RefusedWhy::Dry, ms(100)));
    let (_, close) = world.closed().unwrap();
    assert_eq!((close.grant.req_no, close.used), (ask.req_no, 0));
}

#[test]
fn a_refusal_by_a_session_that_ended_closes_what_may_have_been_granted_just_before() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (correlation, ask) = world.asked().unwrap();
    world.reply(correlation, refusal(&ask, RefusedWhy::NotRunning, ms(100)));
    assert_eq!(world.closed().unwrap().1.grant.req_no, ask.req_no);
}

#[test]
fn a_refusal_of_the_only_send_closes_nothing() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (correlation, ask) = world.asked().unwrap();
    world.reply(correlation, refusal(&ask, RefusedWhy::Dry, ms(100)));
    assert_eq!(world.closed(), None);
}

#[test]
fn dry_means_no_ask() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.command(Command::Dry(key("s")));
    for request in 0..40 {
        world.choose("s", request);
        world.pass(ms(100));
    }
    assert_eq!(world.asked(), None);
}

#[test]
fn an_old_demand_asks_for_nothing_since_its_request_has_long_passed() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (correlation, ask) = world.asked().unwrap();
    world.reply(correlation, refusal(&ask, RefusedWhy::Dry, ms(2000)));
    world.choose("s", 2);
    world.pass(ms(10_000));
    assert_eq!(world.asked(), None);
    assert!(!world.plane.has_demand(&key("s")), "the mailbox is free for the next one");
}

#[test]
fn a_claim_asks_for_one_permit_of_its_own_and_is_told() {
    let mut world = World::with(vec![live("s", "strict_claim")]);
    world.choose("s", 5);
    let (correlation, ask) = world.asked().unwrap();
    assert_eq!((ask.want, ask.scope.request), (1, 5));
    let mut grant = answer(&ask, 1);
    grant.scope.request = Some(5);
    world.pass(ms(5));
    world.reply(correlation, Reply::Grant(grant));
    assert!(world.outputs.contains(&Output::ClaimAnswered(key("s"))));
    assert_eq!(world.plane.left(&key("s")), 1);
}

#[test]
fn a_claim_s_late_permit_is_closed() {
    let mut world = World::with(vec![live("s", "strict_claim")]);
    world.choose("s", 5);
    let (correlation, ask) = world.asked().unwrap();
    world.pass(ms(21));
    world.reply(correlation, Reply::Grant(answer(&ask, 1)));
    assert_eq!(world.plane.left(&key("s")), 0);
    assert_eq!(world.closed().unwrap().1.used, 0);
}

#[test]
fn a_session_that_this_process_has_no_part_in_asks_for_nothing() {
    let mut world = World::with(vec![]);
    world.choose("s", 1);
    assert_eq!(world.asked(), None);
}

#[test]
fn request_numbers_are_never_used_again_even_when_a_session_was_forgotten() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 1);
    world.command(Command::Plan(Plan {
        ended: vec![(key("s"), Ending::Ended)],
        ..delta(5, 6, vec![])
    }));
    let (correlation, close) = world.closed().unwrap();
    world.settle(correlation, &close);
    world.pass(ms(11_000));
    assert_eq!(world.link.status().sessions, vec![]);
    world.command(Command::Plan(delta(6, 7, vec![live("s", "strict")])));
    world.choose("s", 1);
    assert!(world.asked().unwrap().1.req_no > close.grant.req_no);
}

#[test]
fn the_grant_of_a_dead_life_is_closed_from_its_journal() {
    let mut world = World::new();
    let dead = Close {
        incarnation: Incarnation([1; 16]),
        grant: GrantRef { session: key("s"), req_no: 4 },
        used: 3,
    };
    world.link.owe(dead.clone());
    world.input(Input::Connected);
    let (correlation, _) = world.hello().unwrap();
    let log = version(0).log;
    world.reply(correlation, Reply::Welcome(Welcome { log, recorded_aborts: vec![] }));
    assert_eq!(world.closed().unwrap().1, dead);
}

#[test]
fn a_wallet_that_lost_its_count_gives_nothing_back() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 7);
    world.plane.purses.get_mut(&key("s")).unwrap().permits = None;
    world.input(Input::Tick);
    assert_eq!(world.closed().unwrap().1.used, 7);
}

#[test]
fn a_process_that_ends_gives_everything_back_first() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 5);
    assert!(world.plane.burn(&key("s"), world.now));
    world.input(Input::Leave);
    assert!(!world.plane.burn(&key("s"), world.now));
    assert!(!world.link.owes_nothing());
    world.plane.end_fault(&key("s"), world.now);
    world.input(Input::Stirred);
    let (correlation, close) = world.closed().unwrap();
    assert_eq!(close.used, 1);
    world.settle(correlation, &close);
    assert!(world.link.owes_nothing());
    world.choose("s", 2);
    assert_eq!(world.asked(), None);
}

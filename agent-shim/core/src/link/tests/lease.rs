//! One lease for the process: coordinator rule 6 as the shim sees it, T2.

use super::*;

fn renewed(renew: &Renew, stop_version: u64) -> Reply {
    Reply::Renewed(Renewed { echo_sent: renew.sent, remaining: TTL, stop_version })
}

#[test]
fn nobody_renews_without_permits() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.pass(Duration::from_secs(30));
    assert_eq!(world.renewed(), None);
}

#[test]
fn who_holds_permits_renews_about_every_third_of_the_lease() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 200);
    let mut renewals = vec![];
    for _ in 0..90 {
        world.pass(ms(100));
        if world.plane.burn(&key("s"), world.now) {
            world.plane.end_fault(&key("s"), world.now);
        }
        if let Some((correlation, renew)) = world.renewed() {
            renewals.push(renew.sent);
            world.reply(correlation, renewed(&renew, 0));
        }
    }
    assert!((8..=12).contains(&renewals.len()), "{} renewals in 9 s", renewals.len());
    assert!(renewals.windows(2).all(|pair| pair[1].since(pair[0]) <= ms(1010)));
}

#[test]
fn an_eventual_session_renews_without_permits() {
    let mut world = World::with(vec![live("s", "eventual")]);
    world.pass(ms(100));
    let (correlation, renew) = world.renewed().unwrap();
    world.reply(correlation, renewed(&renew, 0));
    assert_eq!(world.plane.lease, renew.sent.plus(TTL));
}

#[test]
fn without_contact_the_lease_runs_out_and_delays_are_told() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 200);
    let sent = world.now;
    assert!(world.plane.burn(&key("s"), world.now));
    world.input(Input::Disconnected);
    world.outputs.clear();
    world.pass(ms(2990));
    assert!(world.plane.burn(&key("s"), world.now));
    assert!(!world.outputs.contains(&Output::WakeDelays));
    world.pass(ms(10));
    assert_eq!(world.now, sent.plus(TTL));
    assert!(!world.plane.burn(&key("s"), world.now));
    assert!(world.outputs.contains(&Output::WakeDelays));
}

#[test]
fn unanswered_renewals_go_on_each_dated_anew() {
    let mut world = World::with(vec![live("s", "eventual")]);
    let (mut sent, mut last) = (vec![], None);
    for _ in 0..40 {
        world.pass(ms(100));
        while let Some((correlation, renew)) = world.renewed() {
            sent.push(renew.sent);
            if let Some(lost) = last.replace(correlation) {
                world.lose(lost);
            }
        }
    }
    assert!(sent.len() >= 4, "{} renewals in 4 s", sent.len());
    assert!(sent.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_plan_older_than_the_newest_stop_does_not_extend_by_a_renewal_and_syncs() {
    let mut world = World::with(vec![live("s", "eventual"), live("t", "eventual")]);
    world.pass(ms(10));
    let (correlation, renew) = world.renewed().unwrap();
    world.reply(correlation, renewed(&renew, 6));
    assert_eq!(world.plane.lease, BootNanos(0));
    world.pass(ms(300));
    world.sync(whole(6, vec![live("t", "eventual")]));
    world.pass(ms(10));
    let (correlation, renew) = world.renewed().unwrap();
    assert_eq!(renew.plan, Some(version(6)));
    world.reply(correlation, renewed(&renew, 6));
    assert_eq!(world.plane.lease, renew.sent.plus(TTL));
}

#[test]
fn a_plan_older_than_the_newest_stop_does_not_extend_by_a_grant_either() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.choose("s", 1);
    let (correlation, ask) = world.asked().unwrap();
    world.reply(correlation, Reply::Grant(Grant { stop_version: 6, ..answer(&ask, 5) }));
    assert_eq!(world.plane.lease, BootNanos(0));
    assert!(!world.plane.burn(&key("s"), world.now));
    world.pass(ms(300));
    world.sync(whole(6, vec![live("s", "strict")]));
    let (correlation, renew) = world.renewed().unwrap();
    world.reply(correlation, renewed(&renew, 6));
    assert!(world.plane.burn(&key("s"), world.now));
}

#[test]
fn a_renewal_never_counts_from_its_receipt() {
    let mut world = World::with(vec![live("s", "eventual")]);
    world.pass(ms(10));
    let (correlation, renew) = world.renewed().unwrap();
    world.pass(ms(900));
    let late = Renewed { echo_sent: world.now, remaining: TTL * 2, stop_version: 0 };
    world.reply(correlation, Reply::Renewed(late));
    assert_eq!(world.plane.lease, renew.sent.plus(TTL));
}

#[test]
fn an_older_answer_does_not_shorten_the_lease() {
    let mut world = World::with(vec![live("s", "eventual")]);
    world.pass(ms(10));
    let (first, old) = world.renewed().unwrap();
    world.pass(ms(1100));
    let (second, new) = world.renewed().unwrap();
    world.reply(second, renewed(&new, 0));
    world.reply(first, renewed(&old, 0));
    assert_eq!(world.plane.lease, new.sent.plus(TTL));
}

#[test]
fn the_lease_is_renewed_while_a_fault_of_a_used_up_grant_runs() {
    let mut world = World::with(vec![live("s", "strict")]);
    world.grant("s", 1);
    assert!(world.plane.burn(&key("s"), world.now));
    let mut renewals = 0;
    for _ in 0..50 {
        world.pass(ms(100));
        if let Some((correlation, renew)) = world.renewed() {
            renewals += 1;
            world.reply(correlation, renewed(&renew, 0));
        }
    }
    assert!(renewals >= 4);
    assert!(world.plane.lease > world.now);
}

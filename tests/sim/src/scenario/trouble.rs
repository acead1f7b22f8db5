//! What goes wrong, drawn from a seed: each run has a few kinds of trouble, in overlap, so that what two of them do together
//! is met as often as what each does alone.

use super::{Command, End, Happening, LogTrouble, Scenario, Way, Weather, What, When, Whose};
use crate::dice::Dice;

/// Most happenings of one run, so that a run stays short and can be read.
const HAPPENINGS_MAX: u64 = 24;

/// A kind of trouble.
#[derive(Clone, Copy)]
enum Kind {
    Network,
    Processes,
    Replicas,
    Log,
    Hosts,
    Clients,
    Stops,
}

const KINDS: [Kind; 7] = [
    Kind::Network,
    Kind::Processes,
    Kind::Replicas,
    Kind::Log,
    Kind::Hosts,
    Kind::Clients,
    Kind::Stops,
];

pub(super) fn draw(dice: &mut Dice, scenario: &Scenario) -> Vec<Happening> {
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|_| dice.chance(450)).collect();
    if kinds.is_empty() {
        return Vec::new();
    }
    let count = dice.within(1, HAPPENINGS_MAX);
    let mut happenings = Vec::new();
    for _ in 0..count {
        let kind = *dice.one_of(&kinds);
        let what = what(dice, scenario, kind);
        let when = when(dice, scenario);
        if let What::Command(session, Command::Pause, via) = &what
            && dice.chance(700)
        {
            let after = dice.within(100, 6_000);
            let when = When::At(at_ms(&when).unwrap_or(after) + after);
            happenings
                .push(Happening { when, what: What::Command(*session, Command::Resume, *via) });
        }
        happenings.push(Happening { when, what });
    }
    happenings
}

fn at_ms(when: &When) -> Option<u64> {
    match when {
        When::At(ms) => Some(*ms),
        When::Stored { .. } | When::Sent { .. } => None,
    }
}

fn index(dice: &mut Dice, count: usize) -> usize {
    usize::try_from(dice.within(0, count as u64 - 1)).expect("an index is small")
}

fn when(dice: &mut Dice, scenario: &Scenario) -> When {
    let session = index(dice, scenario.sessions.len());
    let after_us = *dice.one_of(&[0, 300, 1_500, 20_000, 400_000]);
    match dice.within(0, 9) {
        0 | 1 => When::Stored { session, record: dice.within(2, 14), after_us },
        2 | 3 => When::Sent { session, append: dice.within(2, 14), after_us },
        _ => When::At(dice.within(500, scenario.trouble_ms)),
    }
}

fn what(dice: &mut Dice, scenario: &Scenario, kind: Kind) -> What {
    let shim = index(dice, scenario.shims.len());
    let replica = index(dice, scenario.replicas);
    let session = index(dice, scenario.sessions.len());
    match kind {
        Kind::Network => match dice.within(0, 5) {
            0 => {
                let weather = Weather {
                    lost: dice.within(20, 500),
                    doubled: dice.within(0, 300),
                    late: dice.within(0, 400),
                    late_us: dice.within(20_000, 4_000_000),
                    delay_us: dice.within(500, 200_000),
                };
                What::Weather(weather, long(dice))
            }
            1 | 2 => What::Cut(End::Shim(shim), way(dice), long(dice)),
            3 => What::Cut(End::Replica(replica), way(dice), long(dice)),
            4 => What::Cut(End::Log(replica), way(dice), long(dice)),
            _ => What::Reconnect(shim, short(dice)),
        },
        Kind::Processes => match dice.within(0, 5) {
            0..=2 => What::Crash(shim, dice.chance(700).then(|| short(dice))),
            3 => What::Leave(shim, short(dice)),
            _ => What::Fork(shim, dice.within(0, 2_000)),
        },
        Kind::Replicas => match dice.within(0, 5) {
            0 => What::LoseSnapshot,
            1 => What::TearSnapshot,
            _ => What::Restart(replica, short(dice)),
        },
        Kind::Log => match dice.within(0, 8) {
            0 | 1 => What::Log(LogTrouble::Leaderless, dice.within(200, 10_000)),
            2 => What::Log(LogTrouble::Slow, long(dice)),
            3 => What::Log(LogTrouble::Full, long(dice)),
            4 => What::Log(LogTrouble::Silent, long(dice)),
            5 => What::Blind(dice.within(1_000, 16_000)),
            _ => {
                let replicas = (0..scenario.replicas).filter(|_| dice.chance(500)).collect();
                What::Depose(replicas, dice.within(500, 10_000))
            }
        },
        Kind::Hosts => {
            let whose = if dice.chance(500) { Whose::Shim(shim) } else { Whose::Replica(replica) };
            if dice.chance(700) {
                What::Freeze(whose, dice.within(50, 12_000))
            } else {
                let step = i64::try_from(dice.within(1, 100_000)).unwrap_or(0);
                What::SetWall(whose, if dice.chance(500) { step } else { -step })
            }
        }
        Kind::Clients => {
            let command =
                *dice.one_of(&[Command::Pause, Command::Pause, Command::Resume, Command::Stop]);
            What::Command(session, command, replica)
        }
        Kind::Stops => {
            let scope = scenario.sessions[session].tenant.filter(|_| dice.chance(500));
            match dice.within(0, 5) {
                0..=2 => What::Command(session, Command::Abort, replica),
                3 | 4 => What::Engage(scope, replica),
                _ => What::Release(scope, replica),
            }
        }
    }
}

fn way(dice: &mut Dice) -> Way {
    if dice.chance(500) { Way::In } else { Way::Out }
}

fn short(dice: &mut Dice) -> u64 {
    *dice.one_of(&[5, 50, 300, 1_000, 3_500])
}

fn long(dice: &mut Dice) -> u64 {
    *dice.one_of(&[100, 700, 2_500, 5_000, 9_000])
}

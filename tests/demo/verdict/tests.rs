use super::*;

const MS: u64 = 1_000_000;

fn affected(agent: &str, effect: Effect, sent_ms: u64, over_ms: u64) -> Affected {
    Affected {
        agent: agent.into(),
        tool: "git_log".into(),
        effect,
        sent_ns: sent_ms * MS,
        over_ns: over_ms * MS,
        unexplained_ns: (over_ms - sent_ms) * MS,
    }
}

#[test]
fn a_delay_that_the_abort_could_cut_and_that_took_its_full_time_was_not_cut() {
    let at_the_abort = |effect, sent_ms, over_ms| {
        delays_at(5_000 * MS, 1_200 * MS, &[affected("acme-1", effect, sent_ms, over_ms)])
    };
    assert_eq!(at_the_abort(Effect::Delayed, 4_400, 5_040), (1, 0));
    assert_eq!(at_the_abort(Effect::Delayed, 4_400, 5_600), (0, 1));
    // Over before anybody could cut it, over before the abort, and none at all.
    assert_eq!(at_the_abort(Effect::Delayed, 3_850, 5_050), (0, 0));
    assert_eq!(at_the_abort(Effect::Delayed, 3_000, 4_200), (0, 0));
    assert_eq!(at_the_abort(Effect::AnswerChanged, 4_400, 5_040), (0, 0));
}

#[test]
fn the_referee_counts_by_the_tenant_of_the_agent() {
    let calls = [("acme-1", 1), ("acme-7", 2), ("initech-0", 3)];
    let affected = calls.map(|(agent, at)| affected(agent, Effect::Broken, at, at)).to_vec();
    let judgement = Judgement { looked_at: 9, affected, longest_noise_ns: 0 };
    let Referee { by_tenant, by_effect, .. } = Referee::of(&judgement);
    assert_eq!(by_tenant, BTreeMap::from([("acme".to_owned(), 2), ("initech".to_owned(), 1)]));
    assert_eq!(by_effect, BTreeMap::from([(Effect::Broken, 3)]));
}

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use squall_proto::vocabulary::fault::Delay;
use squall_proto::vocabulary::id::{SessionId, TenantId};

use super::*;

const VECTORS: &str = include_str!("../../vectors/draw.json");

fn session(tenant: &str, session: &str) -> SessionKey {
    SessionKey { tenant: TenantId::new(tenant).unwrap(), session: SessionId::new(session).unwrap() }
}

fn name(text: &str) -> ExperimentName {
    ExperimentName::new(text).unwrap()
}

fn probability(p: f64) -> Probability {
    Probability::new(p).unwrap()
}

const QUESTIONS: [(&str, Question); 7] = [
    ("choice", Question::Choice),
    ("percentage", Question::Percentage),
    ("delay", Question::Delay),
    ("code", Question::Code),
    ("behavior", Question::Behavior),
    ("text", Question::Text),
    ("damage", Question::Damage),
];

/// The checked-in file, made by the code as it stands. One row to a line, so that a change shows what it changed.
fn generated() -> String {
    let ids = ["", "a", "ab", "abc", "abcd", "toolu_01A09q90qw90lq917835lq9", "Größe 7 🌩"];
    let units = ids.map(|id| (id, RequestKey::of(id)));
    let keys = [
        ("acme", "s1", 0_u64, "latency"),
        ("acme", "s1", 1, "latency"),
        ("acme", "s1", u64::MAX, "error"),
        ("_fleet", "s-2_x", 0x0123_4567_89ab_cdef, "Größe 7"),
    ];
    let mut rows: Vec<(&str, Vec<Value>)> = Vec::new();
    rows.push((
        "units",
        units.iter().map(|(id, unit)| json!({"id": id, "a": unit.a, "b": unit.b})).collect(),
    ));
    let mut key_rows = Vec::new();
    let mut draws = Vec::new();
    for (tenant, id, seed, experiment) in keys {
        let session = session(tenant, id);
        for (question_name, question) in QUESTIONS {
            let key = match question {
                Question::Percentage => Key::session(question, seed, &session),
                Question::Choice
                | Question::Delay
                | Question::Code
                | Question::Behavior
                | Question::Text
                | Question::Damage => Key::experiment(question, seed, &session, &name(experiment)),
            };
            key_rows.push(json!({
                "question": question_name, "tenant": tenant, "session": id, "seed": seed.to_string(),
                "experiment": experiment, "key": key.0,
            }));
            for (id, unit) in units.iter().take(6) {
                draws.push(json!({"key": key.0, "id": id, "draw": draw(key, *unit)}));
            }
        }
    }
    rows.push(("keys", key_rows));
    rows.push(("draws", draws));
    let shares = [0.0, 1e-12, 0.01, 0.05, 0.1, 1.0 / 3.0, 0.5, 0.999_999_999_999, 1.0];
    rows.push((
        "thresholds",
        shares
            .map(|p| json!({"probability": p, "threshold": Threshold::of(probability(p)).get()}))
            .to_vec(),
    ));
    let numbers = [0, 1, 12_345, 1 << 31, 3_000_000_000, u32::MAX];
    rows.push((
        "indices",
        numbers
            .iter()
            .flat_map(|&draw| {
                [1, 2, 3, 32]
                    .map(|len| json!({"draw": draw, "len": len, "index": index(draw, len)}))
            })
            .collect(),
    ));
    rows.push((
        "delays",
        numbers
            .iter()
            .flat_map(|&number| {
                [
                    Delay::Fixed { ms: 200 },
                    Delay::Uniform { min_ms: 100, max_ms: 5000 },
                    Delay::Lognormal { median_ms: 300, sigma: 0.8, max_ms: 60_000 },
                ]
                .map(|kind| {
                    let ms = u64::try_from(delay(kind, number).as_millis()).unwrap();
                    json!({"delay": serde_json::to_value(kind).unwrap(), "draw": number, "ms": ms})
                })
            })
            .collect(),
    ));
    let mut text = String::from("{\n");
    for (index, (name, rows_of_it)) in rows.iter().enumerate() {
        let lines: Vec<String> = rows_of_it.iter().map(|row| format!("    {row}")).collect();
        let comma = if index + 1 < rows.len() { "," } else { "" };
        writeln!(text, "  \"{name}\": [\n{}\n  ]{comma}", lines.join(",\n")).unwrap();
    }
    text.push_str("}\n");
    text
}

#[test]
fn the_shared_vectors_are_what_the_code_makes() {
    if std::env::var_os("SQUALL_WRITE_VECTORS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/draw.json"), generated())
            .unwrap();
        return;
    }
    assert_eq!(
        generated(),
        VECTORS,
        "draws changed: running sessions and the other languages would disagree"
    );
}

fn rows<'a>(vectors: &'a Value, name: &str) -> &'a Vec<Value> {
    let rows = vectors[name].as_array().unwrap();
    assert!(!rows.is_empty(), "{name} has no examples");
    rows
}

fn number(row: &Value, field: &str) -> u32 {
    u32::try_from(row[field].as_u64().unwrap()).unwrap()
}

#[test]
fn the_code_answers_the_shared_vectors() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    for row in rows(&vectors, "units") {
        let unit = RequestKey::of(row["id"].as_str().unwrap());
        assert_eq!((unit.a, unit.b), (number(row, "a"), number(row, "b")), "{row}");
    }
    for row in rows(&vectors, "keys") {
        let text = |field: &str| row[field].as_str().unwrap();
        let (_, question) = QUESTIONS.into_iter().find(|(n, _)| *n == text("question")).unwrap();
        let session = session(text("tenant"), text("session"));
        let seed = text("seed").parse().unwrap();
        let key = if question == Question::Percentage {
            Key::session(question, seed, &session)
        } else {
            Key::experiment(question, seed, &session, &name(text("experiment")))
        };
        assert_eq!(key.0, number(row, "key"), "{row}");
    }
    for row in rows(&vectors, "draws") {
        let unit = RequestKey::of(row["id"].as_str().unwrap());
        assert_eq!(draw(Key(number(row, "key")), unit), number(row, "draw"), "{row}");
    }
    for row in rows(&vectors, "thresholds") {
        let threshold = Threshold::of(probability(row["probability"].as_f64().unwrap()));
        assert_eq!(threshold.get(), row["threshold"].as_u64().unwrap(), "{row}");
    }
    for row in rows(&vectors, "indices") {
        let len = number(row, "len") as usize;
        assert_eq!(index(number(row, "draw"), len), number(row, "index") as usize, "{row}");
    }
    for row in rows(&vectors, "delays") {
        let kind: Delay = serde_json::from_value(row["delay"].clone()).unwrap();
        let ms = Duration::from_millis(row["ms"].as_u64().unwrap());
        assert_eq!(delay(kind, number(row, "draw")), ms, "{row}");
    }
}

#[test]
fn murmur_agrees_with_an_implementation_that_others_wrote() {
    let bytes: Vec<u8> = (0..300_u32).map(|n| lowbias32(n).to_le_bytes()[0]).collect();
    for len in 0..bytes.len() {
        let ours = murmur(&bytes[..len], [LANE_A_SEED, KEY_SEED]);
        let theirs = [LANE_A_SEED, KEY_SEED]
            .map(|seed| murmur3::murmur3_32(&mut &bytes[..len], seed).unwrap());
        assert_eq!(ours, theirs, "{len} bytes");
    }
}

#[test]
fn probability_one_takes_every_draw_and_zero_none() {
    assert!(Threshold::ALWAYS.chooses(u32::MAX));
    assert_eq!(Threshold::of(Probability::ONE), Threshold::ALWAYS);
    assert!(!Threshold::of(probability(0.0)).chooses(0));
    assert!(Threshold::of(probability(f64::MIN_POSITIVE)).chooses(0));
    assert!(!Threshold::of(probability(1.0 - f64::EPSILON)).chooses(u32::MAX));
}

#[test]
fn a_retry_gets_the_same_answer() {
    let key = Key::experiment(Question::Choice, 7, &session("t", "s"), &name("latency"));
    for n in 0..100 {
        let id = format!("request-{n}");
        assert_eq!(draw(key, RequestKey::of(&id)), draw(key, RequestKey::of(&id)));
    }
}

/// Choices of 64 experiments over 100,000 requests: no deviation of a rate, or of the overlap of two experiments, above
/// 5 standard deviations (the largest of 2016 normal ones is about 3.5).
#[test]
fn rates_are_met_and_experiments_are_independent() {
    const REQUESTS: usize = 100_000;
    let p = 0.05;
    let threshold = Threshold::of(probability(p));
    let units: Vec<RequestKey> =
        (0..REQUESTS).map(|n| RequestKey::of(&format!("toolu_{n:x}"))).collect();
    let chosen: Vec<Vec<u64>> = (0..64)
        .map(|n| {
            let experiment = name(&format!("experiment {n}"));
            let key = Key::experiment(Question::Choice, 42, &session("acme", "s1"), &experiment);
            let mut bits = vec![0_u64; REQUESTS.div_ceil(64)];
            for (index, unit) in units.iter().enumerate() {
                bits[index / 64] |= u64::from(threshold.chooses(draw(key, *unit))) << (index % 64);
            }
            bits
        })
        .collect();
    let count =
        |bits: &mut dyn Iterator<Item = u64>| f64::from(bits.map(u64::count_ones).sum::<u32>());
    let z = |found: f64, share: f64| {
        let n = 100_000.0;
        (found - n * share) / (n * share * (1.0 - share)).sqrt()
    };
    for (first, bits) in chosen.iter().enumerate() {
        let rate = z(count(&mut bits.iter().copied()), p);
        assert!(rate.abs() < 5.0, "experiment {first} is off by {rate} sigma");
        for (second, others) in chosen.iter().enumerate().skip(first + 1) {
            let both = count(&mut bits.iter().zip(others).map(|(a, b)| a & b));
            let overlap = z(both, p * p);
            assert!(overlap.abs() < 5.0, "{first} and {second} overlap by {overlap} sigma");
        }
    }
}

#[test]
fn questions_about_one_experiment_are_independent() {
    let session = session("acme", "s1");
    let keys = QUESTIONS.map(|(_, question)| Key::experiment(question, 3, &session, &name("x")));
    let half = Threshold::of(probability(0.5));
    for (first, a) in keys.iter().enumerate() {
        for b in &keys[first + 1..] {
            let both = (0..10_000_u32)
                .map(|n| RequestKey::of_bytes(&n.to_le_bytes()))
                .filter(|unit| half.chooses(draw(*a, *unit)) && half.chooses(draw(*b, *unit)))
                .count();
            assert!((2_283..=2_717).contains(&both), "{both} of 10,000, expected about 2,500");
        }
    }
}

#[test]
fn stages_of_a_ramp_are_nested() {
    let key = Key::experiment(Question::Choice, 9, &session("t", "s"), &name("x"));
    let stages = [0.01, 0.05, 0.25, 1.0].map(|p| Threshold::of(probability(p)));
    for n in 0..10_000 {
        let drawn = draw(key, RequestKey::of(&n.to_string()));
        let exposed = stages.map(|stage| stage.chooses(drawn));
        assert!(exposed.is_sorted(), "{n}: {exposed:?}");
    }
}

#[test]
fn uniform_delays_reach_both_ends_and_no_further() {
    let kind = Delay::Uniform { min_ms: 10, max_ms: 12 };
    let ms = |number| delay(kind, number).as_millis();
    assert_eq!((ms(0), ms(u32::MAX / 2), ms(u32::MAX)), (10, 11, 12));
}

#[test]
fn lognormal_delays_have_their_median_and_their_cut() {
    let kind = Delay::Lognormal { median_ms: 300, sigma: 1.0, max_ms: 2_000 };
    assert_eq!(delay(kind, 1 << 31).as_millis(), 300);
    assert_eq!(delay(kind, u32::MAX).as_millis(), 2_000);
    let e = delay(kind, 3_613_535_866).as_millis(); // z = 1 at p = 0.841345
    assert_eq!(e, 815, "300 * e");
}

#[test]
fn the_inverse_normal_agrees_with_published_percentage_points() {
    for (p, z) in [
        (0.5, 0.0),
        (0.75, 0.674_489_75),
        (0.975, 1.959_963_985),
        (0.999, 3.090_232_306),
        (1e-9, -5.997_807_015),
        (1e-12, -7.034_483_825),
    ] {
        assert!((inverse_normal(p) - z).abs() < 1e-6, "{p}: {}", inverse_normal(p));
    }
}

//! Choosing requests and parameters by hashing: the same in Rust, Python and JavaScript, and the same for every retry.
//!
//! - A unit (request, trace, agent) is hashed once, to two lanes of MurmurHash3 x86-32: a 32-bit multiply is the widest
//!   that JavaScript does fast ([`RequestKey`]).
//! - A key stands for one question about one experiment of one session: MurmurHash3 x86-32 again ([`Key`]).
//! - A draw mixes both with four multiplies ([`draw`]). It is below a [`Threshold`] or not.
//!
//! `vectors/draw.json` holds examples of every step, and `vectors/check.py` the same in Python. Nothing here may change
//! while a session runs: a ramp's stages are nested only because the draw stays the same.

mod parameter;

use squall_proto::vocabulary::id::{ExperimentName, SessionKey};
use squall_proto::vocabulary::target::Probability;

pub use parameter::{delay, index, inverse_normal};

/// Murmur seed of lane `a`: "SQA1".
pub const LANE_A_SEED: u32 = 0x5351_4131;
/// Murmur seed of lane `b`: "SQB1".
pub const LANE_B_SEED: u32 = 0x5351_4231;
/// Murmur seed of keys: "SQK1".
pub const KEY_SEED: u32 = 0x5351_4b31;

/// Two hashes of the id of a unit: of a logical request, a trace, or an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey {
    /// First lane.
    pub a: u32,
    /// Second lane.
    pub b: u32,
}

impl RequestKey {
    /// Hashes an id. Do it once for each request, not for each attempt or rule.
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self::of_bytes(id.as_bytes())
    }

    /// Hashes an id that isn't text.
    #[must_use]
    pub fn of_bytes(id: &[u8]) -> Self {
        let [a, b] = murmur(id, [LANE_A_SEED, LANE_B_SEED]);
        Self { a, b }
    }

    /// Both lanes as one number: what [`GrantScope::request`](squall_proto::vocabulary::message::GrantScope) binds.
    #[must_use]
    #[inline]
    pub const fn as_u64(self) -> u64 {
        ((self.a as u64) << 32) | self.b as u64
    }
}

/// MurmurHash3 x86-32 (Austin Appleby, public domain) with several seeds in one pass. A host pays for it at each request,
/// so it isn't done through `Read`, which took six times as many instructions.
fn murmur<const LANES: usize>(bytes: &[u8], seeds: [u32; LANES]) -> [u32; LANES] {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut lanes = seeds;
    for word in words {
        let word = scrambled(u32::from_le_bytes(*word));
        lanes = lanes
            .map(|lane| (lane ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let last = scrambled(u32::from_le_bytes(last));
    // The reference counts modulo 2^32 too.
    let len = bytes.len() as u32;
    lanes.map(|lane| {
        let mut hash = lane ^ last ^ len;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    })
}

const fn scrambled(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

/// What is asked about a unit. Each question has draws of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// Whether an experiment chooses the request.
    Choice,
    /// Whether the unit is among the target's percentage; one answer for the whole session.
    Percentage,
    /// How long to hold the call.
    Delay,
    /// Which error code.
    Code,
    /// Which behavior of an uncooperative agent.
    Behavior,
    /// Which text.
    Text,
    /// Which parts of an output are damaged.
    Damage,
}

impl Question {
    /// The first byte of what a [`Key`] hashes. Never given to another question.
    const fn tag(self) -> u8 {
        match self {
            Self::Choice => 1,
            Self::Percentage => 2,
            Self::Delay => 3,
            Self::Code => 4,
            Self::Behavior => 5,
            Self::Text => 6,
            Self::Damage => 7,
        }
    }
}

/// One question about one experiment of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u32);

impl Key {
    /// MurmurHash3 of: the question's tag (1 byte), the seed (8 bytes, little end first), the log tenant, 0, the session,
    /// 0, the experiment.
    #[must_use]
    pub fn experiment(
        question: Question,
        seed: u64,
        session: &SessionKey,
        experiment: &ExperimentName,
    ) -> Self {
        Self::hash(question, seed, session, experiment.as_str())
    }

    /// The key of a question about the whole session: an empty experiment.
    #[must_use]
    pub fn session(question: Question, seed: u64, session: &SessionKey) -> Self {
        Self::hash(question, seed, session, "")
    }

    fn hash(question: Question, seed: u64, session: &SessionKey, experiment: &str) -> Self {
        let mut text = vec![question.tag()];
        text.extend(seed.to_le_bytes());
        text.extend(session.tenant.as_str().bytes());
        text.push(0);
        text.extend(session.session.as_str().bytes());
        text.push(0);
        text.extend(experiment.bytes());
        let [key] = murmur(&text, [KEY_SEED]);
        Self(key)
    }
}

/// The draw of a question for a unit: uniform on all 32-bit numbers.
#[inline]
#[must_use]
pub const fn draw(key: Key, unit: RequestKey) -> u32 {
    lowbias32(lowbias32(unit.a ^ key.0) ^ unit.b)
}

/// A 32-bit mix with low bias, by Chris Wellons ("Prospecting for hash functions", nullprogram.com, 2018).
#[inline]
#[must_use]
pub const fn lowbias32(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// A probability as a number of the 2^32 draws: a draw below it is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Threshold(u64);

impl Threshold {
    /// Every draw: 2^32, which no draw reaches, so that probability 1 needs no case of its own.
    pub const ALWAYS: Self = Self(1 << 32);
    /// No draw.
    pub const NEVER: Self = Self(0);

    /// `p * 2^32`, rounded down, but at least 1 unless `p` is 0: a probability above 0 stays above 0.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a probability is 0 to 1, so the product is 0 to 2^32, and exact"
    )]
    pub fn of(probability: Probability) -> Self {
        let p = probability.get();
        let draws = (p * 4_294_967_296.0) as u64;
        Self(if p > 0.0 { draws.max(1) } else { 0 })
    }

    /// Whether a draw is below.
    #[inline]
    #[must_use]
    pub const fn chooses(self, draw: u32) -> bool {
        (draw as u64) < self.0
    }

    /// The number: 0 to 2^32.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The largest draw that is chosen; `None` if none is.
    #[must_use]
    pub fn largest(self) -> Option<u32> {
        self.0.checked_sub(1).and_then(|largest| u32::try_from(largest).ok())
    }
}

#[cfg(test)]
mod tests;

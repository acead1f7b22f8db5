//! Partitions: what ownership is divided into.

use std::fmt;
use std::str::FromStr;

use super::InvalidSubject;
use crate::vocabulary::id::{SessionKey, ShimId, TenantId};
use crate::vocabulary::limits::PARTITIONS;

/// One of the 64 parts that replicas own, 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u16);

impl Partition {
    /// The partition with this number, if it is below [`PARTITIONS`].
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < PARTITIONS { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// All partitions.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }

    /// The partition of a session: its asks, closes, confirmations, evidence and client commands.
    #[must_use]
    pub fn of_session(session: &SessionKey) -> Self {
        let SessionKey { tenant, session } = session;
        Self::of([tenant.as_str(), session.as_str()])
    }

    /// The partition of a shim: its hello, sync and renew.
    #[must_use]
    pub fn of_shim(tenant: &TenantId, shim: &ShimId) -> Self {
        Self::of([tenant.as_str(), shim.as_str()])
    }

    /// `fold(fnv1a("<first>.<second>")) mod 64`. The two stay apart, since no token holds a dot.
    fn of([first, second]: [&str; 2]) -> Self {
        let bytes = first.bytes().chain([b'.']).chain(second.bytes());
        let hash = fnv1a(bytes);
        let folded = (hash >> 32) ^ hash;
        // Below 64, so it fits.
        Self((folded % u64::from(PARTITIONS)) as u16)
    }
}

/// FNV-1a with 64 bits, the same in every language and forever: moving sessions between partitions while replicas of
/// two versions run would give them two owners.
///
/// Source: Fowler, Noll, Vo, <http://www.isthe.com/chongo/tech/comp/fnv/>, "FNV-1a" and "xor-folding". The fold
/// lets higher bits take part: the low six bits of an FNV hash depend only on the low six bits of each byte.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Partition {
    type Err = InvalidSubject;

    /// Only the shortest form parses: `05` and `+5` would be other subjects than `5`.
    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let partition = text.parse().ok().and_then(Self::new).ok_or(InvalidSubject::Partition)?;
        if partition.to_string() == text { Ok(partition) } else { Err(InvalidSubject::Partition) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::SessionId;

    #[test]
    fn the_hash_is_fnv1a() {
        // Published test vectors.
        for (text, hash) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(fnv1a(text.bytes()), hash, "{text:?}");
        }
    }

    #[test]
    fn names_that_count_up_spread_over_all_partitions() {
        let tenant = TenantId::new("acme").unwrap();
        let mut hits = [0_u32; PARTITIONS as usize];
        for n in 0..6400 {
            let shim = ShimId::new(format!("worker-{n}")).unwrap();
            hits[usize::from(Partition::of_shim(&tenant, &shim).get())] += 1;
        }
        assert!(hits.iter().all(|hits| (50..=150).contains(hits)), "{hits:?}");
    }

    #[test]
    fn partitions_never_move() {
        let key = |tenant: &str, session: &str| SessionKey {
            tenant: TenantId::new(tenant).unwrap(),
            session: SessionId::new(session).unwrap(),
        };
        // Shared with the other languages; a changed number is a changed contract.
        for (tenant, session, partition) in
            [("acme", "s1", 15), ("_fleet", "0198c0de", 29), ("a", "b", 53), ("A", "b", 21)]
        {
            assert_eq!(
                Partition::of_session(&key(tenant, session)).get(),
                partition,
                "{tenant}.{session}"
            );
        }
    }

    #[test]
    fn only_the_shortest_form_of_a_number_parses() {
        for bad in ["", "64", "05", "+5", "-1", "5 ", "0x5", "65536"] {
            assert!(bad.parse::<Partition>().is_err(), "{bad:?} was accepted");
        }
        assert!(Partition::all().all(|p| p.to_string().parse() == Ok(p)));
    }
}

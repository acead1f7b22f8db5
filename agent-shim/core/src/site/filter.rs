//! The part of a site that every call reads: how many rules are armed, and a key and a limit for each.
//!
//! Groups of eight rules fill a cache line. They are only ever overwritten by atomic stores and live as long as the site,
//! so a slow reader can read an old rule or half of a new one, but never freed memory. What it finds is a hint.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Rule;
use crate::draw::{Key, RequestKey, draw};
use crate::limits::RULES_MAX;

/// Rules in a group: what an AVX2 register holds.
const LANES: usize = 8;
/// Groups that are looked at together.
const STRIDE: usize = 4;
/// Groups for more rules than one group holds, and for more than that: most sites need neither.
const MORE_GROUPS: usize = 8;
const MOST_GROUPS: usize = RULES_MAX / LANES;

const _: () = assert!(RULES_MAX.is_multiple_of(LANES));

/// A hook reads the first line, and the second when a session is armed: together what one prefetch brings.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(super) struct Filter {
    armed: Armed,
    first: Group,
    more: OnceLock<Box<[Group]>>,
    most: OnceLock<Box<[Group]>>,
}

/// How many rules are armed, on a cache line that nothing else is written to.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Armed(AtomicU32);

/// A call is chosen by a rule if its draw isn't above the limit.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Group {
    keys: [AtomicU32; LANES],
    limits: [AtomicU32; LANES],
}

/// That a rule may choose a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    /// The rule's key, as the filter had it.
    key: Key,
    draw: u32,
}

/// A [`Hint`] that fits into a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedHint(u64);

impl Hint {
    #[inline]
    pub(super) fn packed(self) -> PackedHint {
        PackedHint(u64::from(self.key.0) << 32 | u64::from(self.draw))
    }
}

impl PackedHint {
    #[inline]
    pub(super) fn key(self) -> Key {
        Key((self.0 >> 32) as u32)
    }

    #[inline]
    pub(super) fn draw(self) -> u32 {
        self.0 as u32
    }
}

impl Filter {
    #[inline]
    pub(super) fn armed(&self) -> u32 {
        self.armed.0.load(Ordering::Acquire)
    }

    /// The only rule, if it chooses the request going by its draw alone.
    #[inline]
    pub(super) fn only(&self, request: RequestKey) -> Option<Hint> {
        self.first.hint(0, request)
    }

    /// The index of the first of several rules that chooses the request, going by draws alone.
    #[inline]
    pub(super) fn first(&self, armed: u32, request: RequestKey) -> Option<usize> {
        let armed = armed as usize;
        let groups = self.groups(armed);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { wide::first(groups, armed, request) };
        }
        one_by_one(groups, armed, request)
    }

    /// The groups that hold this many rules, to the last one that holds any.
    #[inline]
    fn groups(&self, armed: usize) -> &[Group] {
        let count = armed.div_ceil(LANES);
        let groups = match count {
            0 | 1 => return std::slice::from_ref(&self.first),
            2..=MORE_GROUPS => &self.more,
            _ => &self.most,
        };
        groups.get().and_then(|groups| groups.get(..count)).unwrap_or_default()
    }

    /// Shows `rules` to the hooks. Called by one thread at a time (the site's lock).
    pub(super) fn publish(&self, rules: &[Arc<Rule>]) {
        let armed = rules.len().min(RULES_MAX);
        let allocate = |len| move || (0..len).map(|_| Group::default()).collect();
        let groups = match armed.div_ceil(LANES) {
            0 | 1 => std::slice::from_ref(&self.first),
            2..=MORE_GROUPS => self.more.get_or_init(allocate(MORE_GROUPS)),
            _ => self.most.get_or_init(allocate(MOST_GROUPS)),
        };
        // A rule that chooses nothing has no limit that says so. It is seen (the site is armed) and never drawn: the limit
        // 0 lets one draw in 2^32 through, and the rule itself refuses that one. The same holds for lanes without a rule.
        let pairs = rules.iter().map(|rule| (rule.key.0, rule.threshold.largest().unwrap_or(0)));
        let pairs = pairs.chain(std::iter::repeat((0, 0)));
        let lanes = groups.iter().flat_map(|group| group.keys.iter().zip(&group.limits));
        for ((key_lane, limit_lane), (key, limit)) in lanes.zip(pairs) {
            key_lane.store(key, Ordering::Relaxed);
            limit_lane.store(limit, Ordering::Relaxed);
        }
        // Release: who sees the number sees the groups of at least that size.
        self.armed.0.store(u32::try_from(armed).unwrap_or(0), Ordering::Release);
    }
}

impl Group {
    /// Whether the rule in a lane may choose the request.
    #[inline]
    fn hint(&self, lane: usize, request: RequestKey) -> Option<Hint> {
        let key = Key(self.keys[lane].load(Ordering::Relaxed));
        let draw = draw(key, request);
        let chosen = draw <= self.limits[lane].load(Ordering::Relaxed);
        chosen.then_some(Hint { key, draw })
    }
}

#[cold]
#[inline(never)]
fn one_by_one(groups: &[Group], armed: usize, request: RequestKey) -> Option<usize> {
    let mut lanes = groups.iter().flat_map(|group| (0..LANES).map(move |lane| (group, lane)));
    let found = lanes.position(|(group, lane)| group.hint(lane, request).is_some());
    found.filter(|index| *index < armed)
}

/// Eight draws at once.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::asm;
    use std::arch::x86_64::{
        __m256i, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_min_epu32, _mm256_movemask_ps,
        _mm256_mullo_epi32, _mm256_or_si256, _mm256_set1_epi32, _mm256_srli_epi32,
        _mm256_xor_si256,
    };
    use std::sync::atomic::AtomicU32;

    use super::{Group, LANES, STRIDE};
    use crate::draw::RequestKey;

    /// The index of the first rule that chooses the request.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn first(groups: &[Group], armed: usize, request: RequestKey) -> Option<usize> {
        let a = _mm256_set1_epi32(request.a.cast_signed());
        let b = _mm256_set1_epi32(request.b.cast_signed());
        let (strides, rest) = groups.as_chunks::<STRIDE>();
        // Whether any of four groups chooses is one question; which does is asked only then.
        for (at, stride) in strides.iter().enumerate() {
            let [one, two, three, four] = stride.each_ref().map(|group| chosen(group, a, b));
            let any = _mm256_or_si256(_mm256_or_si256(one, two), _mm256_or_si256(three, four));
            if lanes(any) != 0
                && let Some(found) = first_of(stride, at * STRIDE, armed, a, b)
            {
                return Some(found);
            }
        }
        first_of(rest, strides.len() * STRIDE, armed, a, b)
    }

    /// The index of the first rule in `groups`, the first of which is the site's group `at`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn first_of(
        groups: &[Group],
        at: usize,
        armed: usize,
        a: __m256i,
        b: __m256i,
    ) -> Option<usize> {
        for (offset, group) in groups.iter().enumerate() {
            let lanes = lanes(chosen(group, a, b));
            if lanes != 0 {
                let index = (at + offset) * LANES + lanes.trailing_zeros() as usize;
                return (index < armed).then_some(index);
            }
        }
        None
    }

    /// One bit for each lane that is set.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn lanes(chosen: __m256i) -> u32 {
        _mm256_movemask_ps(_mm256_castsi256_ps(chosen)).cast_unsigned()
    }

    /// All bits of the lanes whose rules choose the request.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn chosen(group: &Group, a: __m256i, b: __m256i) -> __m256i {
        let keys = load(&group.keys);
        let draws = lowbias32(_mm256_xor_si256(lowbias32(_mm256_xor_si256(a, keys)), b));
        // No unsigned comparison: a draw isn't above its limit if it is the smaller of both.
        _mm256_cmpeq_epi32(_mm256_min_epu32(draws, load(&group.limits)), draws)
    }

    /// See [`crate::draw::lowbias32`].
    #[inline]
    #[target_feature(enable = "avx2")]
    fn lowbias32(x: __m256i) -> __m256i {
        let x = _mm256_xor_si256(x, _mm256_srli_epi32::<16>(x));
        let x = _mm256_mullo_epi32(x, _mm256_set1_epi32(0x7feb_352d));
        let x = _mm256_xor_si256(x, _mm256_srli_epi32::<15>(x));
        let x = _mm256_mullo_epi32(x, _mm256_set1_epi32(0x846c_a68b_u32.cast_signed()));
        _mm256_xor_si256(x, _mm256_srli_epi32::<16>(x))
    }

    /// Eight relaxed loads in one instruction. Written in assembly because a plan may be published meanwhile: an
    /// ordinary vector load of what another thread stores would be a data race, and the compiler fuses no atomics.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(lanes: &[AtomicU32; LANES]) -> __m256i {
        let loaded: __m256i;
        // SAFETY: `lanes` is 32 readable bytes, aligned to 32 (each half of a `Group`). The instruction only reads them,
        // each 4-byte part at once as the processor guarantees for aligned parts, so it does what eight relaxed loads
        // would do. It touches neither the stack nor the flags.
        unsafe {
            asm!(
                "vmovdqa {loaded}, ymmword ptr [{lanes}]",
                loaded = out(ymm_reg) loaded,
                lanes = in(reg) lanes.as_ptr(),
                options(nostack, preserves_flags, readonly),
            );
        }
        loaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(keys: [u32; LANES], limits: [u32; LANES]) -> Group {
        Group { keys: keys.map(AtomicU32::new), limits: limits.map(AtomicU32::new) }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn eight_at_once_choose_what_one_by_one_does() {
        if !std::arch::is_x86_feature_detected!("avx2") {
            return;
        }
        let mut chosen = 0;
        for round in 0..3_000_u32 {
            let word = |n: u32| draw(Key(n), RequestKey { a: round, b: n });
            let groups: Vec<Group> = (0..11)
                .map(|g| {
                    let lane = |l: usize| g * 100 + u32::try_from(l).unwrap();
                    let keys = std::array::from_fn(|l| word(lane(l)));
                    group(keys, std::array::from_fn(|l| word(lane(l) + 50) >> (round % 12)))
                })
                .collect();
            let request = RequestKey { a: word(1_000), b: word(1_001) };
            for armed in [1_usize, 2, 7, 8, 9, 24, 32, 33, 63, 64, 65, 88] {
                let groups = &groups[..armed.div_ceil(LANES)];
                let slow = one_by_one(groups, armed, request);
                // SAFETY: the processor has AVX2.
                assert_eq!(unsafe { wide::first(groups, armed, request) }, slow);
                chosen += u32::from(slow.is_some());
            }
        }
        assert!((5_000..32_000).contains(&chosen), "{chosen} of 36,000: no fair comparison");
    }

    #[test]
    fn limits_include_the_smallest_and_the_largest_draw() {
        let always = group([0; LANES], [u32::MAX; LANES]);
        for n in 0..1_000 {
            assert!(always.hint(3, RequestKey { a: n, b: !n }).is_some());
        }
    }
}

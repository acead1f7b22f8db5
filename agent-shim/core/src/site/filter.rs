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
#[cfg(target_arch = "x86_64")]
const STRIDE: usize = 4;
/// Groups for more rules than one group holds; few sites need them.
const GROUPS: usize = RULES_MAX / LANES;

const _: () = assert!(RULES_MAX.is_multiple_of(LANES) && GROUPS.is_power_of_two());

/// A hook reads the first line, and the second when a session is armed: together what one prefetch brings.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(super) struct Filter {
    armed: Line,
    first: Group,
    more: OnceLock<Box<[Group; GROUPS]>>,
}

/// An [`Armed`] on a cache line that nothing else is written to.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU32);

/// How many rules are armed, and whether the processor looks at eight at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Armed(u32);

/// A call is chosen by a rule if its draw isn't above the limit.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Group {
    keys: [AtomicU32; LANES],
    limits: [AtomicU32; LANES],
}

impl Armed {
    /// Set beside a number of several rules.
    const WIDE: u32 = 1 << 31;

    fn with(rules: usize) -> Self {
        let rules = u32::try_from(rules).unwrap_or(0);
        #[cfg(target_arch = "x86_64")]
        if rules > 1 && std::arch::is_x86_feature_detected!("avx2") {
            return Self(rules | Self::WIDE);
        }
        Self(rules)
    }

    #[inline]
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(super) fn is_one(self) -> bool {
        self.0 == 1
    }

    /// Whether the processor has AVX2.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn is_wide(self) -> bool {
        self.0 & Self::WIDE != 0
    }

    #[inline]
    fn rules(self) -> usize {
        (self.0 & !Self::WIDE) as usize
    }
}

impl Filter {
    #[inline]
    pub(super) fn armed(&self) -> Armed {
        Armed(self.armed.0.load(Ordering::Acquire))
    }

    /// The key of the only rule, if it chooses the request going by its draw alone.
    #[inline]
    pub(super) fn only(&self, request: RequestKey) -> Option<Key> {
        self.first.chooses(0, request)
    }

    /// The index of the first rule from `from` on that chooses the request, going by draws alone.
    pub(super) fn first(&self, from: usize, request: RequestKey) -> Option<usize> {
        let armed = self.armed().rules();
        let groups = self.groups(armed);
        let chooses = |index: &usize| {
            let group = groups.get(index / LANES);
            group.is_some_and(|group| group.chooses(index % LANES, request).is_some())
        };
        (from..armed).find(chooses)
    }

    /// The index of the first rule of a stretch, at most four groups long, in which one chooses the request.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn stretch(&self, armed: Armed, request: RequestKey) -> Option<usize> {
        wide::stretch(self.groups(armed.rules()), request)
    }

    /// The groups that hold this many rules, to the last one that holds any.
    #[inline]
    fn groups(&self, armed: usize) -> &[Group] {
        if armed <= LANES {
            return std::slice::from_ref(&self.first);
        }
        // More than `RULES_MAX` rules are never published: the remainder only tells the compiler so.
        let groups = (armed - 1) / LANES % GROUPS + 1;
        self.more.get().map_or(&[], |more| &more[..groups])
    }

    /// Shows `rules` to the hooks. Called by one thread at a time (the site's lock).
    pub(super) fn publish(&self, rules: &[Arc<Rule>]) {
        let armed = rules.len().min(RULES_MAX);
        let groups = if armed <= LANES {
            std::slice::from_ref(&self.first)
        } else {
            self.more.get_or_init(Box::default).as_slice()
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
        self.armed.0.store(Armed::with(armed).0, Ordering::Release);
    }
}

impl Group {
    /// The key of the rule in a lane, if it may choose the request.
    #[inline]
    fn chooses(&self, lane: usize, request: RequestKey) -> Option<Key> {
        let key = Key(self.keys[lane].load(Ordering::Relaxed));
        let limit = self.limits[lane].load(Ordering::Relaxed);
        (draw(key, request) <= limit).then_some(key)
    }
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
    use std::mem::offset_of;

    use super::{Group, LANES, STRIDE};
    use crate::draw::RequestKey;

    /// The index of the first rule of a stretch of groups in which one chooses the request. Which one it is can be asked
    /// then: nearly always there is none.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn stretch(groups: &[Group], request: RequestKey) -> Option<usize> {
        let a = _mm256_set1_epi32(request.a.cast_signed());
        let b = _mm256_set1_epi32(request.b.cast_signed());
        let mut rest = groups;
        while let Some((stride, behind)) = rest.split_first_chunk::<STRIDE>() {
            // Offsets into the array, so that no address is computed.
            let [one, two, three, four] = [
                chosen::<{ offset(0) }, { offset(0) + LIMITS }, STRIDE>(stride, a, b),
                chosen::<{ offset(1) }, { offset(1) + LIMITS }, STRIDE>(stride, a, b),
                chosen::<{ offset(2) }, { offset(2) + LIMITS }, STRIDE>(stride, a, b),
                chosen::<{ offset(3) }, { offset(3) + LIMITS }, STRIDE>(stride, a, b),
            ];
            if is_any(_mm256_or_si256(_mm256_or_si256(one, two), _mm256_or_si256(three, four))) {
                return Some((groups.len() - rest.len()) * LANES);
            }
            rest = behind;
        }
        while let Some((group, behind)) = rest.split_first_chunk::<1>() {
            if is_any(chosen::<0, LIMITS, 1>(group, a, b)) {
                return Some((groups.len() - rest.len()) * LANES);
            }
            rest = behind;
        }
        None
    }

    /// Whether any lane is set.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn is_any(chosen: __m256i) -> bool {
        _mm256_movemask_ps(_mm256_castsi256_ps(chosen)) != 0
    }

    const fn offset(group: usize) -> usize {
        group * size_of::<Group>()
    }

    /// Where a group's limits begin.
    const LIMITS: usize = offset_of!(Group, limits);

    /// All bits of the lanes whose rules choose the request, of the group whose keys and limits lie at these offsets.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn chosen<const KEYS_AT: usize, const LIMITS_AT: usize, const GROUPS: usize>(
        groups: &[Group; GROUPS],
        a: __m256i,
        b: __m256i,
    ) -> __m256i {
        let keys = load::<KEYS_AT, GROUPS>(groups);
        let draws = lowbias32(_mm256_xor_si256(lowbias32(_mm256_xor_si256(a, keys)), b));
        // No unsigned comparison: a draw isn't above its limit if it is the smaller of both.
        let limits = load::<LIMITS_AT, GROUPS>(groups);
        _mm256_cmpeq_epi32(_mm256_min_epu32(draws, limits), draws)
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
    fn load<const AT: usize, const GROUPS: usize>(groups: &[Group; GROUPS]) -> __m256i {
        const { assert!(AT.is_multiple_of(32) && AT + 32 <= size_of::<[Group; GROUPS]>()) }
        let loaded: __m256i;
        // SAFETY: there are 32 readable bytes at the offset, aligned to 32 (groups are aligned to 64), all of them atomic
        // numbers. The instruction only reads them, each 4-byte part at once as the processor guarantees for aligned
        // parts, so it does what eight relaxed loads would do. It touches neither the stack nor the flags.
        unsafe {
            asm!(
                "vmovdqa {loaded}, ymmword ptr [{groups} + {at}]",
                loaded = out(ymm_reg) loaded,
                groups = in(reg) groups.as_ptr(),
                at = const AT,
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
    fn eight_at_once_find_the_stretch_in_which_one_by_one_finds_a_rule() {
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
            for count in 1..=groups.len() {
                let groups = &groups[..count];
                let one_by_one = groups
                    .iter()
                    .position(|group| (0..LANES).any(|l| group.chooses(l, request).is_some()));
                let whole = count / STRIDE * STRIDE;
                let stretch = |group| if group < whole { group / STRIDE * STRIDE } else { group };
                let expected = one_by_one.map(|group| stretch(group) * LANES);
                // SAFETY: the processor has AVX2.
                assert_eq!(unsafe { wide::stretch(groups, request) }, expected);
                chosen += u32::from(expected.is_some());
            }
        }
        assert!((5_000..30_000).contains(&chosen), "{chosen} of 33,000: no fair comparison");
    }

    #[test]
    fn limits_include_the_smallest_and_the_largest_draw() {
        let always = group([0; LANES], [u32::MAX; LANES]);
        for n in 0..1_000 {
            assert!(always.chooses(3, RequestKey { a: n, b: !n }).is_some());
        }
    }
}

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
/// Groups for more rules than one group holds, and for more than that: most sites need neither.
const MORE_GROUPS: usize = 8;
const MOST_GROUPS: usize = RULES_MAX / LANES;

const _: () = assert!(RULES_MAX.is_multiple_of(LANES));

/// A hook reads the first line, and the second when a session is armed: together what one prefetch brings.
#[derive(Debug, Default)]
#[repr(align(128))]
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

impl Filter {
    #[inline]
    pub(super) fn armed(&self) -> u32 {
        self.armed.0.load(Ordering::Acquire)
    }

    /// The first rule that chooses the request, going by draws alone.
    #[inline]
    pub(super) fn first(&self, armed: u32, request: RequestKey) -> Option<usize> {
        if armed == 1 {
            return self.first.chooses(0, request).then_some(0);
        }
        self.first_of_many(armed, request)
    }

    #[inline(never)]
    fn first_of_many(&self, armed: u32, request: RequestKey) -> Option<usize> {
        let armed = armed as usize;
        let groups = self.groups(armed);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { wide::first(groups, armed, request) };
        }
        one_by_one(groups, armed, request)
    }

    /// The groups that hold this many rules.
    fn groups(&self, armed: usize) -> &[Group] {
        let groups = match armed.div_ceil(LANES) {
            0 | 1 => return std::slice::from_ref(&self.first),
            2..=MORE_GROUPS => &self.more,
            _ => &self.most,
        };
        groups.get().map_or(&[], |groups| groups)
    }

    /// Shows `rules` to the hooks. Called by one thread at a time (the site's lock).
    pub(super) fn publish(&self, rules: &[Arc<Rule>]) {
        // A rule that chooses nothing has no limit that says so. It is seen (the site is armed) and never drawn: the limit
        // 0 lets one draw in 2^32 through, and the rule itself refuses that one.
        let pairs = rules.iter().map(|rule| (rule.key, rule.threshold.largest().unwrap_or(0)));
        let allocate = |len| move || (0..len).map(|_| Group::default()).collect();
        let groups = match rules.len().div_ceil(LANES) {
            0 | 1 => std::slice::from_ref(&self.first),
            2..=MORE_GROUPS => self.more.get_or_init(allocate(MORE_GROUPS)),
            _ => self.most.get_or_init(allocate(MOST_GROUPS)),
        };
        for (index, (key, limit)) in pairs.take(RULES_MAX).enumerate() {
            let (group, lane) = (&groups[index / LANES], index % LANES);
            group.keys[lane].store(key.0, Ordering::Relaxed);
            group.limits[lane].store(limit, Ordering::Relaxed);
        }
        let armed = u32::try_from(rules.len().min(RULES_MAX)).unwrap_or(0);
        // Release: who sees the number sees the groups of at least that size.
        self.armed.0.store(armed, Ordering::Release);
    }
}

impl Group {
    #[inline]
    fn chooses(&self, lane: usize, request: RequestKey) -> bool {
        let key = Key(self.keys[lane].load(Ordering::Relaxed));
        draw(key, request) <= self.limits[lane].load(Ordering::Relaxed)
    }
}

fn one_by_one(groups: &[Group], armed: usize, request: RequestKey) -> Option<usize> {
    let lanes = groups.iter().flat_map(|group| (0..LANES).map(move |lane| (group, lane)));
    lanes.take(armed).position(|(group, lane)| group.chooses(lane, request))
}

/// Eight draws at once.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::asm;
    use std::arch::x86_64::{
        __m256i, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_max_epu32, _mm256_movemask_ps,
        _mm256_mullo_epi32, _mm256_set1_epi32, _mm256_srli_epi32, _mm256_xor_si256,
    };
    use std::sync::atomic::AtomicU32;

    use super::{Group, LANES};
    use crate::draw::RequestKey;

    #[target_feature(enable = "avx2")]
    pub(super) fn first(groups: &[Group], armed: usize, request: RequestKey) -> Option<usize> {
        let a = _mm256_set1_epi32(request.a.cast_signed());
        let b = _mm256_set1_epi32(request.b.cast_signed());
        for (index, group) in groups.iter().enumerate() {
            let at = index * LANES;
            if at >= armed {
                break;
            }
            let (keys, limits) = (load(&group.keys), load(&group.limits));
            let draws = lowbias32(_mm256_xor_si256(lowbias32(_mm256_xor_si256(a, keys)), b));
            // No unsigned comparison: a draw isn't above its limit if the larger of both is the limit.
            let chosen = _mm256_cmpeq_epi32(_mm256_max_epu32(draws, limits), limits);
            let lanes = _mm256_movemask_ps(_mm256_castsi256_ps(chosen)).cast_unsigned();
            if lanes != 0 {
                // The last group may hold old rules behind the armed ones.
                let first = at + lanes.trailing_zeros() as usize;
                return (first < armed).then_some(first);
            }
        }
        None
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
        for round in 0..5_000_u32 {
            let word = |n: u32| draw(Key(n), RequestKey { a: round, b: n });
            let groups: Vec<Group> = (0..3)
                .map(|g| {
                    let lane = |l: usize| g * 100 + u32::try_from(l).unwrap();
                    let keys = std::array::from_fn(|l| word(lane(l)));
                    group(keys, std::array::from_fn(|l| word(lane(l) + 50) >> (round % 9)))
                })
                .collect();
            let request = RequestKey { a: word(1_000), b: word(1_001) };
            for armed in [1, 2, 7, 8, 9, 16, 20, 24] {
                let slow = one_by_one(&groups, armed, request);
                // SAFETY: the processor has AVX2.
                assert_eq!(unsafe { wide::first(&groups, armed, request) }, slow);
                chosen += u32::from(slow.is_some());
            }
        }
        assert!((5_000..38_000).contains(&chosen), "{chosen} of 40,000: no fair comparison");
    }

    #[test]
    fn limits_include_the_smallest_and_the_largest_draw() {
        let always = group([0; LANES], [u32::MAX; LANES]);
        for n in 0..1_000 {
            let request = RequestKey { a: n, b: !n };
            assert_eq!(one_by_one(std::slice::from_ref(&always), 1, request), Some(0));
        }
    }
}

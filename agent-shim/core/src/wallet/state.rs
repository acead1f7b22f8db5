//! The one word that decides whether a permit burns: `generation:24 | flags:4 | running:16 | permits:20`.
//!
//! The generation moves with every grant and every drain. It may wrap: a burn would have to sleep through 2^24 of them
//! and meet the same permits, faults and flags again.

/// Most permits in hand: above the largest budget, which a local session holds at once.
pub(super) const PERMITS_MAX: u32 = (1 << PERMIT_BITS) - 1;

const PERMIT_BITS: u32 = 20;
const RUNNING_BITS: u32 = 16;
const ONE_RUNNING: u64 = 1 << PERMIT_BITS;
const RUNNING_MAX: u32 = (1 << RUNNING_BITS) - 1;
const MANY_RUNNING: u64 = 1 << (PERMIT_BITS + RUNNING_BITS - 1);
const STOPPED: u64 = 1 << (PERMIT_BITS + RUNNING_BITS);
const PAUSED: u64 = STOPPED << 1;
const SCOPED: u64 = STOPPED << 2;
const EVENTUAL: u64 = STOPPED << 3;
const ONE_GENERATION: u64 = STOPPED << 4;

const _: () = assert!(PERMITS_MAX >= squall_proto::vocabulary::limits::BUDGET_MAX);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    pub(super) const EMPTY: Self = Self(0);

    #[inline]
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) const fn permits(self) -> u32 {
        self.0 as u32 & PERMITS_MAX
    }

    #[inline]
    pub(super) const fn running(self) -> u32 {
        (self.0 >> PERMIT_BITS) as u32 & RUNNING_MAX
    }

    /// Whether no flag is set, and fewer faults run than half of what can be counted: nothing but permits and time needs
    /// a look.
    #[inline]
    pub(super) const fn is_plain(self) -> bool {
        self.0 & (STOPPED | PAUSED | SCOPED | EVENTUAL | MANY_RUNNING) == 0
    }

    /// The state after a burn of a [plain](Self::is_plain) state with permits.
    #[inline]
    pub(super) const fn burned_plainly(self) -> Self {
        Self(self.0 + ONE_RUNNING - 1)
    }

    /// Grant and permit: each burn of a permit finds another one.
    pub(super) const fn number(self) -> u64 {
        ((self.0 / ONE_GENERATION) << PERMIT_BITS) | self.permits() as u64
    }

    /// A state with this number, below 2^44: for burns that find no permit.
    pub(super) const fn numbered(number: u64) -> Self {
        let permits = number & PERMITS_MAX as u64;
        Self((number >> PERMIT_BITS).wrapping_mul(ONE_GENERATION) | permits)
    }

    #[inline]
    pub(super) const fn is_stopped(self) -> bool {
        self.0 & STOPPED != 0
    }

    #[inline]
    pub(super) const fn is_paused(self) -> bool {
        self.0 & PAUSED != 0
    }

    #[inline]
    pub(super) const fn is_scoped(self) -> bool {
        self.0 & SCOPED != 0
    }

    #[inline]
    pub(super) const fn is_eventual(self) -> bool {
        self.0 & EVENTUAL != 0
    }

    pub(super) const fn eventual(self) -> Self {
        Self(self.0 | EVENTUAL)
    }

    pub(super) const fn stopped(self) -> Self {
        Self(self.0 | STOPPED)
    }

    pub(super) const fn paused(self, paused: bool) -> Self {
        Self(if paused { self.0 | PAUSED } else { self.0 & !PAUSED })
    }

    /// One fault more, and (unless `eventual`) one permit less; the caller saw that there is one.
    #[inline]
    pub(super) const fn burned(self) -> Option<Self> {
        if self.running() == RUNNING_MAX {
            return None;
        }
        let permit = if self.is_eventual() { 0 } else { 1 };
        Some(Self(self.0 + ONE_RUNNING - permit))
    }

    pub(super) const fn finished(self) -> Self {
        if self.running() == 0 { self } else { Self(self.0 - ONE_RUNNING) }
    }

    pub(super) const fn granted(self, permits: u32, scoped: bool) -> Self {
        let cleared = self.next().0 & !(PERMITS_MAX as u64 | SCOPED);
        Self(cleared | permits as u64 | if scoped { SCOPED } else { 0 })
    }

    pub(super) const fn drained(self) -> Self {
        Self(self.next().0 & !(PERMITS_MAX as u64 | SCOPED))
    }

    const fn next(self) -> Self {
        Self(self.0.wrapping_add(ONE_GENERATION))
    }
}

//! What every site, session and directive of a process reaches.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use squall_proto::vocabulary::id::Incarnation;

use crate::clock::{Clock, HeldClock, Wake};
use crate::lock::lock;
use crate::pocket::Pockets;
use crate::policy::Policy;
use crate::samples::Samples;
use crate::trace::Traces;
use crate::wallet::{CloneGuard, Lease};

pub(crate) struct Shared {
    pub(crate) clock: HeldClock,
    pub(crate) policy: Policy,
    pub(crate) guard: Arc<CloneGuard>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) samples: Samples,
    pub(crate) pockets: Pockets,
    pub(crate) traces: Traces,
    pub(crate) killed: AtomicBool,
    /// Sessions that run at the moment: while there are none, nobody looks at traces.
    pub(crate) sessions_running: AtomicU32,
    /// Something was applied or ended since the counters were read last.
    stirred: AtomicBool,
    wake: OnceLock<Arc<dyn Wake>>,
    incarnation: Mutex<Incarnation>,
    /// Of the copy of the process that this life began in.
    epoch: AtomicU32,
    sessions_made: AtomicU32,
    owner_cap_used: AtomicU64,
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, policy: Policy, incarnation: Incarnation) -> Self {
        let guard = Arc::<CloneGuard>::default();
        let epoch = AtomicU32::new(guard.epoch());
        Self {
            clock: HeldClock::new(clock),
            policy,
            guard,
            lease: Arc::default(),
            samples: Samples::default(),
            pockets: Pockets::default(),
            traces: Traces::default(),
            killed: AtomicBool::new(false),
            sessions_running: AtomicU32::new(0),
            stirred: AtomicBool::new(false),
            wake: OnceLock::new(),
            incarnation: Mutex::new(incarnation),
            epoch,
            sessions_made: AtomicU32::new(0),
            owner_cap_used: AtomicU64::new(0),
        }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        *lock(&self.incarnation)
    }

    /// A new life; `false` if a fork left the lock held.
    pub(crate) fn reborn(&self, incarnation: Incarnation) -> bool {
        let held = crate::lock::try_lock(&self.incarnation).map(|mut held| *held = incarnation);
        held.is_some()
    }

    pub(crate) fn wake_with(&self, wake: Arc<dyn Wake>) {
        // The first caller is the link; a second one would be a mistake of the runtime's that must not harm the host.
        let _ = self.wake.set(wake);
    }

    /// Whether this is the copy of the process that the life began in. In another one nobody releases a lock that a fork
    /// left held, so nothing there may wait for one.
    pub(crate) fn is_ours(&self) -> bool {
        self.guard.epoch() == self.epoch.load(Ordering::Acquire)
    }

    /// The life goes on in this copy: every lock was found free.
    pub(crate) fn is_here(&self) {
        self.epoch.store(self.guard.epoch(), Ordering::Release);
    }

    pub(crate) fn wake(&self) {
        // In a copy there is no thread to wake.
        if let Some(wake) = self.wake.get().filter(|_| self.is_ours()) {
            wake.wake();
        }
    }

    /// Wakes the link once for everything that was applied or ended until the counters are read again.
    #[inline]
    pub(crate) fn stir(&self) {
        if !self.stirred.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// The counters are about to be read.
    pub(crate) fn settle(&self) {
        self.stirred.store(false, Ordering::Release);
    }

    /// A number that no other session of this process has.
    pub(crate) fn next_session(&self) -> u32 {
        self.sessions_made.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes one of the injections that the owner allows for the process's whole life.
    pub(crate) fn take_from_owner_cap(&self) -> bool {
        let max = self.policy.max_injections.unwrap_or(u64::MAX);
        let one_more = |used: u64| (used < max).then(|| used + 1);
        self.owner_cap_used.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// Gives one back that was taken and not used.
    pub(crate) fn give_back_to_owner_cap(&self) {
        self.owner_cap_used.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("incarnation", &self.incarnation()).finish_non_exhaustive()
    }
}

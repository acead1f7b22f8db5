//! The data plane of one process: the real wallets, lease and clone guard behind the link's [`Plane`], in a form that can
//! be copied; and the journal's file.
//!
//! Not here: sites, draws, rewriting. Which call is chosen is the adversary's choice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::message::{CountRow, Sample, ScopeKeys, TraceRow};
use squall_proto::vocabulary::time::BootNanos;
use squall_shim_core::journal::{BurnLog, Lost};
use squall_shim_core::link::{Held, Permits, Plane, TakesPart};
use squall_shim_core::{ActiveSession, Announced, Burn, CloneGuard, Keys, Lease, NoPermit, Wallet};

/// What the journal of a seat says; it outlives processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Slate {
    /// The life that took it last.
    pub owner: u8,
    /// Life, request, permits and burns of the grant that is written down.
    pub grant: Option<(u8, u64, u32, u32)>,
}

/// The file while a process writes to it.
#[derive(Debug, Default)]
pub struct File(Mutex<Slate>);

impl File {
    /// What it says.
    #[must_use]
    pub fn read(&self) -> Slate {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what it says.
    pub fn write(&self, slate: Slate) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = slate;
    }
}

/// Writes down the burns of one life.
struct Pen {
    file: Arc<File>,
    life: u8,
}

impl fmt::Debug for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pen({})", self.life)
    }
}

impl BurnLog for Pen {
    fn burned(&self) -> Result<(), Lost> {
        let mut slate = self.file.read();
        if slate.owner != self.life {
            return Err(Lost);
        }
        if let Some((_, _, _, burned)) = &mut slate.grant {
            *burned += 1;
        }
        self.file.write(slate);
        Ok(())
    }
}

#[derive(Debug)]
struct Purse {
    wallet: Wallet,
    demand: Option<(u32, ScopeKeys)>,
    /// Its grant is written down.
    logged: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Hands {
    life: u8,
    guard: CloneGuard,
    lease: Arc<Lease>,
    purses: BTreeMap<SessionKey, Purse>,
    file: Option<Arc<File>>,
    /// A grant was put over a running fault, which no data plane has to bear.
    pub overlapped: bool,
}

impl Hands {
    /// Those of a new process; `journal` says whether it keeps one.
    #[must_use]
    pub fn new(life: u8, journal: bool) -> Self {
        Self {
            life,
            guard: CloneGuard::default(),
            lease: Arc::default(),
            purses: BTreeMap::new(),
            file: journal.then(Arc::default),
            overlapped: false,
        }
    }

    /// The journal's file, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        self.file.as_deref()
    }

    /// What the runtime's handler does in a forked child, before any other code runs there.
    pub fn forked(&self) {
        self.guard.invalidate();
    }

    /// What the registry does once the child takes another life: as `Registry::renew`.
    pub fn renew(&mut self, life: u8) {
        self.guard.invalidate();
        self.lease.end();
        self.purses.clear();
        self.file = None;
        self.life = life;
    }

    /// A chosen call burns a permit. With it, the request that was granted it.
    ///
    /// # Errors
    /// Why none burned.
    pub fn burn(
        &mut self,
        key: &SessionKey,
        now: BootNanos,
        keys: &ScopeKeys,
    ) -> Result<(Burn, u64), NoPermit> {
        let purse = self.purses.get(key).ok_or(NoPermit::Stopped)?;
        let grant = purse.wallet.open_grant();
        let burn = purse.wallet.try_burn(now, &self.guard, &borrowed(keys))?;
        Ok((burn, grant.unwrap_or(0)))
    }

    /// Whether one would burn.
    #[must_use]
    pub fn could_burn(&self, key: &SessionKey, now: BootNanos, keys: &ScopeKeys) -> bool {
        let purse = self.purses.get(key);
        purse.is_some_and(|purse| purse.wallet.could_burn(now, &self.guard, &borrowed(keys)))
    }

    /// A fault ended.
    pub fn finished(&self, key: &SessionKey, burn: Burn, now: BootNanos) {
        if let Some(purse) = self.purses.get(key) {
            purse.wallet.finished(burn, now);
        }
    }

    /// A chosen call found no permit.
    pub fn demand(&mut self, key: &SessionKey, keys: ScopeKeys) {
        if let Some(purse) = self.purses.get_mut(key) {
            purse.demand = Some((1, keys));
        }
    }

    /// Permits in hand.
    #[must_use]
    pub fn left(&self, key: &SessionKey) -> u32 {
        self.purses.get(key).map_or(0, |purse| purse.wallet.left())
    }

    /// Whether the session is known here.
    #[must_use]
    pub fn knows(&self, key: &SessionKey) -> bool {
        self.purses.contains_key(key)
    }
}

impl Clone for Hands {
    fn clone(&self) -> Self {
        let guard = CloneGuard::default();
        (0..self.guard.epoch()).for_each(|_| guard.invalidate());
        let lease = Arc::new(Lease::default());
        lease.extend(self.lease.until());
        let file = self.file.as_ref().map(|file| {
            let copy = File::default();
            copy.write(file.read());
            Arc::new(copy)
        });
        let copied = |purse: &Purse| {
            let log = file.as_ref().filter(|_| purse.logged).map(|file| pen(file, self.life));
            let wallet = purse.wallet.copied(Arc::clone(&lease), log);
            Purse { wallet, demand: purse.demand.clone(), logged: purse.logged }
        };
        let purses = self.purses.iter().map(|(key, purse)| (key.clone(), copied(purse))).collect();
        Self { life: self.life, guard, lease, purses, file, overlapped: self.overlapped }
    }
}

fn pen(file: &Arc<File>, life: u8) -> Arc<dyn BurnLog> {
    Arc::new(Pen { file: Arc::clone(file), life })
}

fn borrowed(keys: &ScopeKeys) -> Keys<'_> {
    Keys { agent: &keys.agent, trace: keys.trace.as_ref(), request: keys.request }
}

/// As the registry's, which keeps wallets in the same way.
impl Plane for Hands {
    fn install(&mut self, sessions: &[ActiveSession]) -> TakesPart {
        for session in sessions {
            let purse = self.purses.entry(session.key.clone()).or_insert_with(|| Purse {
                wallet: Wallet::new(&self.guard, Arc::clone(&self.lease)),
                demand: None,
                logged: false,
            });
            purse.wallet.pause(!session.running);
        }
        for (key, purse) in &self.purses {
            if !sessions.iter().any(|session| session.key == *key) {
                purse.wallet.stop();
            }
        }
        let sessions = sessions.iter().map(|session| session.key.clone()).collect();
        TakesPart { sessions, unarmed: Vec::new() }
    }

    fn forget(&mut self, session: &SessionKey) {
        self.purses.remove(session);
    }

    fn extend_lease(&mut self, until: BootNanos) {
        self.lease.extend(until);
        self.purses.values().for_each(|purse| purse.wallet.extend(until));
    }

    fn end_lease(&mut self) {
        self.lease.end();
    }

    fn stop(&mut self, session: &SessionKey) {
        if let Some(purse) = self.purses.get(session) {
            purse.wallet.stop();
        }
    }

    fn pause(&mut self, session: &SessionKey, paused: bool) {
        if let Some(purse) = self.purses.get(session) {
            purse.wallet.pause(paused);
        }
    }

    fn end_by(&mut self, session: &SessionKey, moment: BootNanos) {
        if let Some(purse) = self.purses.get(session) {
            purse.wallet.end_by(moment);
        }
    }

    fn put(&mut self, session: &SessionKey, permits: Permits) -> bool {
        let Permits { req_no, count, scope, deadline, cap } = permits;
        let Some(purse) = self.purses.get_mut(session) else { return false };
        self.overlapped |= purse.wallet.running() > 0;
        if purse.wallet.open_grant().is_none() {
            let mine = self.file.as_ref().filter(|file| file.read().owner == self.life);
            if let Some(file) = mine {
                let grant = Some((self.life, req_no, count, 0));
                file.write(Slate { owner: self.life, grant });
            }
            purse.logged = mine.is_some();
            purse.wallet.log_burns_to(mine.map(|file| pen(file, self.life)));
        }
        purse.wallet.install(req_no, count, scope, deadline, cap).is_ok()
    }

    fn drain(&mut self, session: &SessionKey) -> Option<(u64, u32)> {
        self.purses.get(session)?.wallet.drain()
    }

    fn settled(&mut self, _session: &SessionKey, req_no: u64) {
        let Some(file) = &self.file else { return };
        let slate = file.read();
        let settled = slate.grant.is_some_and(|(life, no, ..)| life == self.life && no == req_no);
        if slate.owner == self.life && settled {
            file.write(Slate { grant: None, ..slate });
        }
    }

    fn held(&self, session: &SessionKey) -> Held {
        let Some(Purse { wallet, .. }) = self.purses.get(session) else { return Held::default() };
        Held {
            left: wallet.left(),
            running: wallet.running(),
            burned: wallet.used_total(),
            last_ended: wallet.last_ended(),
        }
    }

    fn has_demand(&self, session: &SessionKey) -> bool {
        self.purses.get(session).is_some_and(|purse| purse.demand.is_some())
    }

    fn take_demand(&mut self, session: &SessionKey) -> Option<(u32, ScopeKeys)> {
        self.purses.get_mut(session)?.demand.take()
    }

    fn site_count(&self) -> usize {
        0
    }

    fn announced(&self) -> Announced {
        Announced::default()
    }

    fn counts(&self) -> Vec<CountRow> {
        Vec::new()
    }

    fn trace_counts(&self) -> Vec<TraceRow> {
        Vec::new()
    }

    fn drain_samples(&mut self, _max: usize) -> Vec<Sample> {
        Vec::new()
    }

    fn samples_lost(&self) -> u64 {
        0
    }
}

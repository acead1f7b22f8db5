//! All that a process knows: its sites, the sessions it takes part in, and the evidence of what it did.

mod install;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use squall_proto::vocabulary::id::{AgentName, Incarnation, SessionKey, ToolName, TraceId};
use squall_proto::vocabulary::limits::ANNOUNCED_MAX;
use squall_proto::vocabulary::message::{CountRow, Sample, SiteRef, TraceRow};
use squall_proto::vocabulary::seam::Seam;

use crate::clock::{Clock, Wake};
use crate::draw::RequestKey;
use crate::journal::Journal;
use crate::limits::SITES_MAX;
use crate::live::Live;
use crate::lock::{lock, read, try_lock, try_read, try_write, write};
use crate::policy::Policy;
use crate::shared::Shared;
use crate::site::Site;
use crate::trace::Outcome;
use crate::wallet::{CloneGuard, Lease};

/// The process's sites, sessions and evidence. One for each process; tests and [`Local`](crate::Local) have their own.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    state: RwLock<State>,
    sites_refused: AtomicU64,
    fresh_requests: AtomicU64,
    journal: Mutex<Option<Arc<dyn Journal>>>,
}

#[derive(Debug, Default)]
struct State {
    sites: BTreeMap<AgentName, BTreeMap<ToolName, Vec<Arc<Site>>>>,
    /// Sessions of the plan that run, in its order.
    running: Vec<Arc<Live>>,
    /// All sessions that are known, those that left the plan included.
    known: BTreeMap<SessionKey, Arc<Live>>,
    /// Sessions that left the plan, oldest first.
    left: VecDeque<SessionKey>,
}

/// What a Hello says of the process.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Announced {
    /// Agents of the sites.
    pub agents: Vec<AgentName>,
    /// Their tools and models.
    pub tools: Vec<ToolName>,
    /// Their seams.
    pub seams: Vec<Seam>,
    /// The sites, by places in these lists.
    pub sites: Vec<SiteRef>,
}

impl Announced {
    /// A site whose agent, tool or seam finds no room in its list is left out: nothing can be started for it alone.
    fn add(&mut self, site: &Site) {
        let Self { agents, tools, seams, sites } = self;
        let agent = place(agents, site.agent());
        let (tool, seam) = (place(tools, site.tool()), place(seams, site.seam()));
        if let (Some(agent), Some(tool), Some(seam)) = (agent, tool, seam) {
            sites.push(SiteRef { agent, tool, seam });
        }
    }
}

/// The place of `item` in `list`, where it is added if there is room.
fn place<T: Clone + PartialEq>(list: &mut Vec<T>, item: &T) -> Option<u16> {
    // Sites come by agent, and a process has few tools and seams: the last ones are met again first.
    let known = list.iter().rposition(|listed| listed == item);
    if known.is_none() && list.len() < ANNOUNCED_MAX {
        list.push(item.clone());
        return u16::try_from(list.len() - 1).ok();
    }
    u16::try_from(known?).ok()
}

/// The process forked while another thread held a lock of the registry. The child stays without chaos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process forked in the middle of a change of plan")]
pub struct ForkedMidway;

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, policy: Policy, incarnation: Incarnation) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::new(Shared::new(clock, policy, incarnation)),
            state: RwLock::default(),
            sites_refused: AtomicU64::new(0),
            fresh_requests: AtomicU64::new(0),
            journal: Mutex::default(),
        })
    }

    /// Whom to wake when a session wants permits. Only the first call counts.
    pub fn wake_with(&self, wake: Arc<dyn Wake>) {
        self.shared.wake_with(wake);
    }

    /// Where the burns of this life are written down, for the next one.
    pub fn keep_journal(&self, journal: Arc<dyn Journal>) {
        *lock(&self.journal) = Some(journal);
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn journal(&self) -> Option<Arc<dyn Journal>> {
        lock(&self.journal).clone()
    }

    /// The life of this process.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.shared.incarnation()
    }

    /// The owner's policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// The process's lease: nothing burns after its end.
    #[must_use]
    pub fn lease(&self) -> &Arc<Lease> {
        &self.shared.lease
    }

    /// Tells this process from a forked copy of it. The runtime's fork handler calls [`CloneGuard::invalidate`] in the
    /// child, and [`Registry::renew`] once the child is up.
    #[must_use]
    pub fn guard(&self) -> &Arc<CloneGuard> {
        &self.shared.guard
    }

    /// Starts anew in a forked child (or after a snapshot was restored): no sessions, no permits, no counters, another
    /// incarnation. The sites stay, and are armed by the next [`Registry::install`].
    ///
    /// # Errors
    /// [`ForkedMidway`] when a lock can't be had; then this process stays without chaos.
    pub fn renew(&self, incarnation: Incarnation) -> Result<(), ForkedMidway> {
        let shared = &self.shared;
        shared.guard.invalidate();
        shared.lease.end();
        let mut state = try_write(&self.state).ok_or(ForkedMidway)?;
        let State { sites, running, known, left } = &mut *state;
        let mut all_sites = sites.values().flat_map(BTreeMap::values).flatten();
        let unlocked = all_sites.all(|site| site.disarm_after_fork())
            && shared.reborn(incarnation)
            && shared.samples.clear()
            && shared.traces.clear();
        if !unlocked {
            return Err(ForkedMidway);
        }
        // The journal is the parent's: its handle is left as it is, and nothing is written through it any more.
        std::mem::forget(try_lock(&self.journal).ok_or(ForkedMidway)?.take());
        shared.sessions_running.store(0, Ordering::Relaxed);
        running.clear();
        known.clear();
        left.clear();
        shared.is_here();
        Ok(())
    }

    /// The site of this agent calling this tool through this seam: made at the first call, the same from then on.
    /// Keep it: looking it up takes a lock. Beyond the bound of sites it is one that always passes, and that is counted.
    pub fn site(&self, agent: &AgentName, tool: &ToolName, seam: &Seam) -> Arc<Site> {
        if let Some(site) = self.read().and_then(|state| state.site(agent, tool, seam)) {
            return site;
        }
        let new = || Arc::new(Site::new(agent, tool, seam, &self.shared));
        let Some(mut state) = self.write() else { return self.refused(new()) };
        if let Some(site) = state.site(agent, tool, seam) {
            return site;
        }
        let site = new();
        if state.all_sites().count() >= SITES_MAX {
            return self.refused(site);
        }
        // In a copy of the process no permit burns, and a session may be locked for good.
        if self.shared.is_ours() {
            install::arm(&site, &state.running, &self.shared.policy, &mut Vec::new());
        }
        let tools = state.sites.entry(agent.clone()).or_default();
        tools.entry(tool.clone()).or_default().push(Arc::clone(&site));
        drop(state);
        self.shared.wake();
        site
    }

    fn refused(&self, site: Arc<Site>) -> Arc<Site> {
        self.sites_refused.fetch_add(1, Ordering::Relaxed);
        site
    }

    /// `None` only in a copy of the process, where a fork left the lock held.
    fn read(&self) -> Option<RwLockReadGuard<'_, State>> {
        if self.shared.is_ours() { Some(read(&self.state)) } else { try_read(&self.state) }
    }

    /// As [`Self::read`].
    fn write(&self) -> Option<RwLockWriteGuard<'_, State>> {
        if self.shared.is_ours() { Some(write(&self.state)) } else { try_write(&self.state) }
    }

    /// How many sites there are to announce. A change wakes the link: the coordinator has to hear of it.
    #[must_use]
    pub fn site_count(&self) -> usize {
        let state = self.read().filter(|_| self.takes_part());
        state.map_or(0, |state| state.all_sites().count())
    }

    /// Sites that were asked for beyond the bound.
    #[must_use]
    pub fn sites_refused(&self) -> u64 {
        self.sites_refused.load(Ordering::Relaxed)
    }

    /// A request id for a seam that knows none: another one at each call, so nothing sticks over retries.
    #[must_use]
    pub fn fresh_request(&self) -> RequestKey {
        let number = self.fresh_requests.fetch_add(1, Ordering::Relaxed);
        RequestKey::of_bytes(&number.to_le_bytes())
    }

    /// A session of the plan, or one that left it and wasn't forgotten.
    #[must_use]
    pub fn session(&self, key: &SessionKey) -> Option<Arc<Live>> {
        self.read()?.known.get(key).map(Arc::clone)
    }

    /// All sessions that are known.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<Live>> {
        self.read().map(|state| state.known.values().map(Arc::clone).collect()).unwrap_or_default()
    }

    /// The sites made so far; none where chaos is off or was killed, since nothing can be applied there.
    #[must_use]
    pub fn announced(&self) -> Announced {
        let mut announced = Announced::default();
        if let Some(state) = self.read().filter(|_| self.takes_part()) {
            state.all_sites().for_each(|site| announced.add(site));
        }
        announced
    }

    fn takes_part(&self) -> bool {
        self.shared.policy.enabled && !self.shared.killed.load(Ordering::SeqCst)
    }

    /// All counters, with their newest values.
    #[must_use]
    pub fn counts(&self) -> Vec<CountRow> {
        self.shared.settle();
        let Some(state) = self.read() else { return Vec::new() };
        let mut rows = BTreeMap::new();
        for live in state.known.values() {
            for ((experiment, agent), tally) in live.tallies() {
                rows.insert((live.key(), experiment, agent), tally.counts());
            }
        }
        for (rule, calls) in state.all_sites().flat_map(|site| site.seen()) {
            let known = state.known.get_key_value(rule.live.key());
            let row = known.map(|(key, _)| (key, rule.index, rule.agent.clone()));
            if let Some(counts) = row.and_then(|row| rows.get_mut(&row)) {
                counts.seen += calls;
            }
        }
        let row = |((session, index, agent), counts): ((&SessionKey, usize, AgentName), _)| {
            let experiment = state.known.get(session)?.experiment(index).name.clone();
            Some(CountRow { session: session.clone(), experiment, agent, counts })
        };
        rows.into_iter().filter_map(row).collect()
    }

    /// How traces ended, for each session.
    #[must_use]
    pub fn trace_counts(&self) -> Vec<TraceRow> {
        let Some(state) = self.read() else { return Vec::new() };
        if self.shared.is_ours() {
            self.shared.traces.sweep(self.shared.clock.now());
        }
        state.known.values().map(|live| live.trace_row()).collect()
    }

    /// The host's word on how a trace ended.
    pub fn outcome(&self, trace: &TraceId, outcome: Outcome) {
        if self.shared.is_ours() {
            self.shared.traces.outcome(trace, outcome);
        }
    }

    /// Takes up to `max` samples, the oldest first.
    pub fn drain_samples(&self, max: usize) -> Vec<Sample> {
        self.shared.samples.drain(max)
    }

    /// Samples lost because their rings were full.
    #[must_use]
    pub fn samples_lost(&self) -> u64 {
        self.shared.samples.lost()
    }
}

impl State {
    fn site(&self, agent: &AgentName, tool: &ToolName, seam: &Seam) -> Option<Arc<Site>> {
        let sites = self.sites.get(agent)?.get(tool)?;
        sites.iter().find(|site| site.seam() == seam).map(Arc::clone)
    }

    fn all_sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.sites.values().flat_map(BTreeMap::values).flatten()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Records and traces hold sessions, which hold what holds the records.
        let _ = self.shared.samples.clear();
        let _ = self.shared.traces.clear();
    }
}

#[cfg(test)]
mod tests;

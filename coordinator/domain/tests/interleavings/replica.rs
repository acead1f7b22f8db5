//! What the two replicas do: decide on their own view, append by compare-and-swap, fold, and act on what they fold.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use squall_domain::event::{CommandRef, Event, Hash, LeverEvent, Record, Recorded, Totals};
use squall_domain::lever::Scope;
use squall_domain::local::{Ages, Usage};
use squall_domain::session::{
    AskDecision, ClientCommand, CloseDecision, Due, InertDecision, Outlook, Phase, Session,
};
use squall_domain::world::{Entry, World};
use squall_proto::vocabulary::counts::TraceCounts;
use squall_proto::vocabulary::id::{Actor, Holder, RequestId};
use squall_proto::vocabulary::limits::PERMIT_LIFE;
use squall_proto::vocabulary::message::{Close, GrantScope};
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::time::{UnixMillis, stretched};

use crate::book::Book;
use crate::cast::{ACME, append_id, tenant};
use crate::machine::{Append, Down, Machine, Replica, Up, pick};

impl Machine {
    pub(crate) fn session(&self, replica: usize) -> &Session {
        self.replicas[replica].world.session(&self.key).expect("both know it")
    }

    pub(crate) fn usage(&mut self, replica: usize, batch: &Session) -> Usage {
        let (longest, rate) = (batch.longest_use(), self.spec.safety.max_rate);
        let issued = self.session(replica).ledger.totals().issued;
        let Replica { ages, since, .. } = &mut self.replicas[replica];
        let mut usage = ages.usage(self.now, *since, longest, rate);
        // Permits that the same append issues count, too.
        let new = batch.ledger.totals().issued - issued;
        usage.outstanding += new;
        usage.issued_in_window += new;
        usage
    }

    pub(crate) fn receive(&mut self, replica: usize, at: &[u8]) {
        let mut batch = self.session(replica).clone();
        let mut events = Vec::new();
        for at in at {
            let Some(message) = pick(&self.up, *at).cloned() else { return };
            let decided = self.decide(replica, &batch, &message);
            if self.replicas[replica].pending.is_some()
                || self.session(replica).revision != batch.revision
            {
                return;
            }
            let decided: Vec<_> = decided.into_iter().map(own).collect();
            batch.preview(&self.record(&batch, decided.clone()));
            events.extend(decided);
        }
        self.append(replica, events);
    }

    pub(crate) fn decide(&mut self, replica: usize, batch: &Session, message: &Up) -> Vec<Event> {
        match message {
            Up::Ask(holder, ask) => {
                self.replicas[replica].ages.asked(holder, self.now);
                let usage = self.usage(replica, batch);
                match batch.ask(holder, ask, &usage) {
                    AskDecision::Issue(events) => return events,
                    AskDecision::Granted(open) => {
                        let folded = self.session(replica).ledger.open_grant(holder) == Some(&open);
                        if folded {
                            self.grant(replica, holder, open.req_no, open.permits, open.scope);
                        }
                    }
                    AskDecision::Refuse(_) => {
                        self.down.push(Down::Refused(holder.clone(), ask.req_no));
                    }
                }
            }
            Up::Close(holder, close) => {
                let mut decision = batch.close(holder, close, false);
                if decision == CloseDecision::CatchUp {
                    while self.fold_next(replica) {}
                    decision = self.session(replica).close(holder, close, true);
                }
                match decision {
                    CloseDecision::Record(event) => return vec![event],
                    // An acknowledgement says that it is folded, not that it is about to be.
                    CloseDecision::Acknowledge
                        if self.session(replica).close(holder, close, true) == decision =>
                    {
                        self.acknowledge(replica, holder, close);
                    }
                    CloseDecision::Acknowledge
                    | CloseDecision::CatchUp
                    | CloseDecision::Refuse(_) => {}
                }
            }
            Up::Inert(holder, inert) => {
                if let InertDecision::Record(event) = batch.inert(holder, inert) {
                    return vec![event];
                }
            }
        }
        Vec::new()
    }

    fn acknowledge(&mut self, replica: usize, holder: &Holder, close: &Close) {
        let grant = (holder.clone(), close.grant.req_no);
        let over = self.session(replica).phase.is_terminal();
        let recorded = self.seen(replica).closed.contains_key(&grant);
        assert!(over || recorded || close.used == 0, "{grant:?} is acknowledged, not recorded");
        self.down.push(Down::CloseAck(grant.0, grant.1));
    }

    /// What a replica has folded, read the simple way.
    fn seen(&self, replica: usize) -> Book {
        Book::read(&self.spec, &self.log[..self.replicas[replica].world.applied as usize])
    }

    pub(crate) fn grant(
        &mut self,
        replica: usize,
        holder: &Holder,
        req_no: u64,
        permits: u32,
        scope: GrantScope,
    ) {
        assert!(!self.seen(replica).is_stopped(), "a grant leaves behind a stop");
        self.down.push(Down::Grant(holder.clone(), req_no, permits, scope));
    }

    pub(crate) fn command(&mut self, replica: usize, with: u8) {
        self.commands += 1;
        let draft = self.session(replica).phase == Phase::Draft;
        let command = match with % 32 {
            0..=29 if draft => ClientCommand::Start,
            0..=8 => ClientCommand::Pause,
            9..=29 => ClientCommand::Resume,
            30 => ClientCommand::Stop,
            _ => ClientCommand::Abort { reason: "enough".to_owned() },
        };
        // Some commands are sent twice, also to the other replica.
        let request = RequestId::new(format!("r{}", self.commands / 2)).unwrap();
        let world = &self.replicas[replica].world;
        let engaged = world.engaged_for(self.session(replica));
        let engaged = engaged.map(|(scope, _)| (scope.to_string(), "fire".to_owned()));
        let outlook = Outlook { shims: 3, log_is_synced: true, engaged, ..Outlook::default() };
        let Ok(events) = self.session(replica).decide(&request, &command, &outlook) else { return };
        let actor = Actor::new("ann").unwrap();
        let by = CommandRef { request, actor, kind: command.kind() };
        let recorded = |event| Recorded { command: Some(by.clone()), event };
        if self.append(replica, events.into_iter().map(recorded).collect())
            && matches!(command, ClientCommand::Abort { .. })
        {
            // Pushed before it is durable.
            self.down.push(Down::Abort(AbortEpoch::Pushed(append_id(self.appends))));
        }
    }

    pub(crate) fn own_work(&mut self, replica: usize) {
        let session = self.session(replica).clone();
        let failed_downstream = self.injections.len() as u64;
        let guard = session.guard(TraceCounts { failed_downstream, ..TraceCounts::default() });
        let outstanding = self.usage(replica, &session).outstanding;
        let over = self.stopped_at.is_some_and(|at| {
            self.now.since(at) > stretched(PERMIT_LIFE + self.spec.longest_fault())
        });
        let events = if let Some(cause) = session.abort_to_record() {
            vec![Event::Aborted { reason: "halted".to_owned(), cause }]
        } else if !guard.is_empty() {
            guard
        } else if let Due::Append(event) = session.due(self.wall(), outstanding) {
            vec![event]
        } else {
            session.prove(over).into_iter().collect()
        };
        self.append(replica, events.into_iter().map(own).collect());
    }

    /// One append may be in flight for each replica.
    pub(crate) fn append(&mut self, replica: usize, events: Vec<Recorded<Event>>) -> bool {
        if events.is_empty() || self.replicas[replica].pending.is_some() {
            return false;
        }
        self.appends += 1;
        let session = self.replicas[replica].world.session(&self.key);
        let expected = session.map_or(0, |session| session.revision);
        let record = match session.cloned() {
            Some(session) => self.record(&session, events),
            None => self.first_record(events),
        };
        self.replicas[replica].pending = Some(record.append);
        self.wire.push(Append { by: replica, expected, record });
        true
    }

    pub(crate) fn record(&self, session: &Session, events: Vec<Recorded<Event>>) -> Record<Event> {
        let mut record = Record { previous: session.head, ..self.first_record(events) };
        let mut after = session.clone();
        after.preview(&record);
        record.totals = after.ledger.totals();
        record
    }

    pub(crate) fn first_record(&self, events: Vec<Recorded<Event>>) -> Record<Event> {
        let (append, at) = (append_id(self.appends), self.wall());
        Record { append, at, previous: Hash::default(), totals: Totals::default(), events }
    }

    pub(crate) fn wall(&self) -> UnixMillis {
        UnixMillis(self.now.0 / 1_000_000)
    }

    pub(crate) fn arrive(&mut self, at: u8) {
        if self.wire.is_empty() {
            return;
        }
        let append = self.wire.remove(usize::from(at) % self.wire.len());
        let replica = &mut self.replicas[append.by];
        if replica.pending == Some(append.record.append) {
            replica.pending = None;
        }
        if append.expected != self.revision() {
            self.conflicts += 1;
            return;
        }
        for recorded in &append.record.events {
            if matches!(recorded.event, Event::Aborted { .. }) {
                self.stopped_at.get_or_insert(self.now);
            }
            if matches!(recorded.event, Event::Ended { .. }) {
                let usable: u64 = self.shims.iter().map(|shim| shim.usable(self.now)).sum();
                assert_eq!(usable, 0, "it ended with permits in hands: {recorded:?}");
            }
        }
        self.log.push(Entry::Session(self.key.clone(), append.record));
        if Book::read(&self.spec, &self.log).proven && !self.proven {
            self.proven = true;
            let running = self.injections.iter().filter(|injection| injection.until > self.now);
            assert_eq!(running.count(), 0, "a fault runs although the stop is proven");
        }
    }

    /// Position of the newest record of the session.
    pub(crate) fn revision(&self) -> u64 {
        let newest = self.log.iter().rposition(|entry| matches!(entry, Entry::Session(..)));
        newest.map_or(0, |at| at as u64 + 1)
    }

    /// A lever moves at once: it stands on another subject.
    pub(crate) fn pull(&mut self, with: u8, event: LeverEvent) {
        let scope = if with.is_multiple_of(2) { Scope::Fleet } else { Scope::Tenant(tenant(ACME)) };
        self.appends += 1;
        let previous = self
            .log
            .iter()
            .enumerate()
            .rev()
            .find(|(_, entry)| matches!(entry, Entry::Lever(of, _) if *of == scope))
            .map_or(Hash::default(), |(at, entry)| hash(at as u64 + 1, entry));
        let events = vec![Recorded { command: None, event }];
        let (append, at, totals) = (append_id(self.appends), self.wall(), Totals::default());
        self.log.push(Entry::Lever(scope, Record { append, at, previous, totals, events }));
    }

    pub(crate) fn fold(&mut self, replica: usize) {
        self.fold_next(replica);
    }

    /// Folds the next entry and performs its effects; false at the end of the log.
    pub(crate) fn fold_next(&mut self, replica: usize) -> bool {
        let at = self.replicas[replica].world.applied as usize;
        let Some(entry) = self.log.get(at).cloned() else { return false };
        self.apply(replica, &entry);
        let Entry::Session(_, record) = &entry else { return true };
        for recorded in &record.events {
            self.perform(replica, &recorded.event);
        }
        true
    }

    /// Both believe that they own the session.
    fn perform(&mut self, replica: usize, event: &Event) {
        let runs = self.session(replica).phase == Phase::Running;
        if let Event::GrantIssued { holder, req_no, permits, scope, .. } = event {
            if runs {
                self.grant(replica, holder, *req_no, *permits, scope.clone());
            }
        } else if let Event::GrantClosed { holder, req_no, .. } = event {
            self.down.push(Down::CloseAck(holder.clone(), *req_no));
        } else if let Event::Aborted { .. } = event {
            let epoch = self.session(replica).stop.as_ref().map(|stop| stop.epoch);
            self.down.extend(epoch.map(|epoch| Down::Abort(AbortEpoch::Logged(epoch))));
        }
    }

    pub(crate) fn apply(&mut self, replica: usize, entry: &Entry) {
        let now = self.now;
        let Replica { world, ages, .. } = &mut self.replicas[replica];
        let sequence = world.applied + 1;
        // A second passes between two records.
        let time = UnixMillis(1000 * sequence);
        world.apply(sequence, time, entry, hash(sequence, entry));
        let Entry::Session(_, record) = entry else { return };
        for recorded in &record.events {
            if let Event::GrantIssued { holder, req_no, permits, .. } = &recorded.event {
                ages.issued(holder, *req_no, *permits, now);
            } else if let Event::GrantClosed { holder, req_no, used } = &recorded.event {
                ages.closed(holder, *req_no, *used);
            }
        }
    }

    /// A snapshot is the state, and nothing else is.
    pub(crate) fn snapshot(&mut self, replica: usize) {
        let world = &mut self.replicas[replica].world;
        let bytes = postcard::to_allocvec(world).unwrap();
        let restored: World = postcard::from_bytes(&bytes).unwrap();
        assert!(restored == *world, "a snapshot lost something");
        *world = restored;
    }

    /// Reads the log again up to where it was; what it did not see live is dated now.
    pub(crate) fn reborn(&mut self, replica: usize) {
        let before = std::mem::take(&mut self.replicas[replica]);
        for at in 0..before.world.applied as usize {
            let entry = self.log[at].clone();
            self.apply(replica, &entry);
        }
        let after = &mut self.replicas[replica];
        assert!(after.world == before.world, "I12: a replay ends elsewhere");
        after.pending = before.pending;
        after.since = self.now;
        after.ages = Ages::default();
        after.ages.begin_undated();
        let session = after.world.session(&self.key).unwrap();
        for (holder, grant) in session.ledger.open_grants() {
            after.ages.issued(holder, grant.req_no, grant.permits, self.now);
        }
    }
}

pub(crate) fn own(event: Event) -> Recorded<Event> {
    Recorded { command: None, event }
}

fn hash(sequence: u64, entry: &Entry) -> Hash {
    let mut hasher = DefaultHasher::new();
    format!("{sequence} {entry:?}").hash(&mut hasher);
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&hasher.finish().to_le_bytes());
    hash
}

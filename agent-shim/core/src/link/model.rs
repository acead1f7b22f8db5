//! What an exhaustive exploration needs of a link beside a copy of it: a fingerprint of everything that decides what it
//! does next, and jitter that doesn't depend on how it came there.
//!
//! Not here: any rule. No product turns the feature on.

use std::fmt::{self, Write};

use squall_proto::vocabulary::plan::PlanSession;

use super::random::Random;
use super::{Identity, Link};

impl Link {
    /// Draws begin anew at `seed`: links that came to the same state in different ways are the same.
    pub fn reseed(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// Writes the whole state, random numbers excepted, and what never changes: specifications and the identity without
    /// its incarnation.
    ///
    /// # Errors
    /// Those of `into`.
    pub fn fingerprint(&self, into: &mut impl Write) -> fmt::Result {
        let Self {
            identity: Identity { incarnation, .. },
            random: _,
            now,
            contact,
            versions,
            sessions,
            forgotten_req_no,
            aborts,
            jammed,
            leaving,
            plan_changed,
            unarmed: _,
            closes,
            lease,
            outbox,
            pending,
            last_correlation,
            outputs,
        } = self;
        write!(into, "{incarnation:?}{now:?}{contact:?}{versions:?}{forgotten_req_no}{aborts:?}")?;
        write!(into, "{jammed}{leaving}{plan_changed}{closes:?}{lease:?}{outbox:?}{pending:?}")?;
        write!(into, "{last_correlation}{outputs:?}")?;
        for (key, session) in sessions {
            let mut session = session.clone();
            if let Some(plan) = session.plan.take() {
                let PlanSession { key: _, spec: _, seed: _, running, age, remaining, phi0, dry } =
                    plan;
                write!(into, "{running}{age:?}{remaining:?}{phi0}{dry}")?;
            }
            write!(into, "{key}{session:?}")?;
        }
        Ok(())
    }
}

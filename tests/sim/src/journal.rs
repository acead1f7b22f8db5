//! A shim's journal in memory: what outlives a crash of its process, by the rules of the real file (docs/protocol.md, shim
//! rule 6). Who takes it makes it his own *before* he reads what was burned; who burns looks *afterwards* whose it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_proto::vocabulary::id::{Incarnation, SessionKey};
use squall_proto::vocabulary::message::{Close, GrantRef};
use squall_shim_core::journal::{BurnLog, Journal, Lost};

#[derive(Debug, Default)]
struct Pages {
    life: Option<Incarnation>,
    slots: BTreeMap<SessionKey, Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    req_no: u64,
    permits: u32,
    used: u32,
}

/// The file.
#[derive(Clone, Debug, Default)]
pub(crate) struct File(Arc<Mutex<Pages>>);

impl File {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the file for a life. Returns what the one before it owes.
    #[must_use]
    pub(crate) fn take(&self, life: Incarnation) -> (Arc<dyn Journal>, Vec<Close>) {
        let mut pages = self.pages();
        let before = pages.life.replace(life);
        let slots = std::mem::take(&mut pages.slots);
        drop(pages);
        let owed = slots.into_iter().filter_map(|(session, Slot { req_no, permits, used })| {
            let grant = GrantRef { session, req_no };
            Some(Close { incarnation: before?, grant, used: used.min(permits) })
        });
        (Arc::new(Held { file: self.clone(), life }), owed.collect())
    }
}

#[derive(Debug)]
struct Held {
    file: File,
    life: Incarnation,
}

impl Journal for Held {
    fn open(&self, session: &SessionKey, req_no: u64, permits: u32) -> Option<Arc<dyn BurnLog>> {
        let mut pages = self.file.pages();
        if pages.life != Some(self.life) {
            return None;
        }
        pages.slots.insert(session.clone(), Slot { req_no, permits, used: 0 });
        let (file, life, session) = (self.file.clone(), self.life, session.clone());
        Some(Arc::new(Burns { file, life, session }))
    }

    fn settled(&self, session: &SessionKey, req_no: u64) {
        let mut pages = self.file.pages();
        let is_it = pages.slots.get(session).is_some_and(|slot| slot.req_no == req_no);
        if is_it && pages.life == Some(self.life) {
            pages.slots.remove(session);
        }
    }
}

#[derive(Debug)]
struct Burns {
    file: File,
    life: Incarnation,
    session: SessionKey,
}

impl BurnLog for Burns {
    fn burned(&self) -> Result<(), Lost> {
        let mut pages = self.file.pages();
        if let Some(slot) = pages.slots.get_mut(&self.session) {
            slot.used += 1;
        }
        if pages.life == Some(self.life) { Ok(()) } else { Err(Lost) }
    }
}

//! Copies of wallets, for an exhaustive exploration that goes on from one state in several ways.
//!
//! Not here: any rule. No product turns the feature on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use super::{Control, Lease, Wallet};
use crate::journal::BurnLog;
use crate::lock::{lock, read};

impl Wallet {
    /// A wallet in the same state that hangs on another lease and writes its burns to another log: those of the copied
    /// process. Its burns on the way belong to the copy, too.
    #[must_use]
    pub fn copied(&self, lease: Arc<Lease>, log: Option<Arc<dyn BurnLog>>) -> Self {
        let same = |atomic: &AtomicU64| AtomicU64::new(atomic.load(Ordering::SeqCst));
        let Control { open, last_req_no, used_drained } = *lock(&self.control);
        Self {
            state: same(&self.state),
            until: same(&self.until),
            cap: same(&self.cap),
            ends: same(&self.ends),
            used_eventual: same(&self.used_eventual),
            last_ended: same(&self.last_ended),
            scope: RwLock::new(read(&self.scope).clone()),
            log: RwLock::new(log),
            control: Mutex::new(Control { open, last_req_no, used_drained }),
            lease,
            epoch: self.epoch,
        }
    }
}

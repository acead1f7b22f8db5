//! How everybody else gets the attention of the shim's thread, without blocking and without waiting for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use squall_shim_core::Wake;
use tokio::sync::Notify;

/// See the module. It outlives a fork: then another thread listens ([`Bell::listen`]).
#[derive(Debug, Default)]
pub(crate) struct Bell {
    stirred: AtomicBool,
    leaving: AtomicBool,
    listener: RwLock<Option<Arc<Notify>>>,
}

impl Bell {
    /// Who is woken from now on. `None` if a fork left the lock held: then nobody can be.
    pub(crate) fn listen(&self) -> Option<Arc<Notify>> {
        let notify = Arc::new(Notify::new());
        *self.listener.try_write().ok()? = Some(Arc::clone(&notify));
        self.leaving.store(false, Ordering::Release);
        Some(notify)
    }

    /// Wakes the thread.
    pub(crate) fn ring(&self) {
        if let Ok(listener) = self.listener.try_read()
            && let Some(notify) = &*listener
        {
            notify.notify_one();
        }
    }

    /// Asks the thread to give everything back and end.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        self.ring();
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Whether something happened in the data plane since the last time.
    pub(crate) fn take(&self) -> bool {
        self.stirred.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.stirred.store(true, Ordering::Release);
        self.ring();
    }
}

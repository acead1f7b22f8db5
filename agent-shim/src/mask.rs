//! Signals are the host's business: none is handled on the shim's threads.
//!
//! A host that waits for its signals on a thread of its own blocks them on all others, and knows nothing of ours: there a
//! SIGTERM would end the process. And a write to a server that is gone raises SIGPIPE where the host doesn't ignore it,
//! since the client writes with `writev`. Blocked, it is an error of the write and nothing else.

use std::mem::MaybeUninit;

/// What a thread does to itself. Blocked, it would end the process without the host's handler.
const OWN: [libc::c_int; 7] = [
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGSEGV,
    libc::SIGSYS,
    libc::SIGTRAP,
];

/// As long as it lives, this thread blocks signals, and so does every thread that it starts, for good.
#[must_use]
pub(crate) struct Masked(libc::sigset_t);

impl Masked {
    pub(crate) fn begin() -> Self {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: the sets are filled before they are read, and valid arguments never fail.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            for signal in OWN {
                libc::sigdelset(all.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self(before.assume_init())
        }
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        // SAFETY: the set is the one that this thread had.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}

//! What was computed before, by print. States are products of few parts: a process, a replica and the log each take some
//! thousand shapes, and what happens in one of them doesn't depend on the others.
//!
//! Not here: what a print has to hold so that it decides everything. Who asks says it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};

/// For prints, which are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("prints are written as one number")
    }

    fn write_u64(&mut self, print: u64) {
        self.0 = print;
    }
}

/// Parts that threads rarely want at the same time.
const SHARDS: usize = 64;
/// Most values of one part; beyond, they are computed anew. A million in all, which is some hundred megabytes.
const KEPT_MAX: usize = 16_384;

type Shard<V> = Mutex<HashMap<u64, V, BuildHasherDefault<Identity>>>;

/// See the module.
#[derive(Debug)]
pub struct Memo<V>(Vec<Shard<V>>);

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl<V: Clone> Memo<V> {
    /// What was computed under this print.
    pub fn known(&self, print: u64) -> Option<V> {
        self.shard(print).lock().unwrap_or_else(PoisonError::into_inner).get(&print).cloned()
    }

    /// The value under this print, computed if it isn't known.
    pub fn get(&self, print: u64, compute: impl FnOnce() -> V) -> V {
        if let Some(value) = self.known(print) {
            return value;
        }
        let value = compute();
        let mut shard = self.shard(print).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= KEPT_MAX {
            shard.clear();
        }
        shard.insert(print, value.clone());
        value
    }

    fn shard(&self, print: u64) -> &Shard<V> {
        &self.0[(print >> 58) as usize % SHARDS]
    }
}

//! Every door of Squall through which bytes come from outside, each as a function that a fuzzer calls, and a test with
//! every input that was worth keeping.
//!
//! A [`Door`] says what must hold for any bytes at all: nothing panics, what is accepted survives being written and read
//! again, the door's own promises hold, and the memory that it takes is bounded by the length of the input. Whoever finds
//! an input that breaks this has found a defect.
//!
//! Not here: the engine that makes inputs (libFuzzer, linked by `make fuzz` alone), and garbage that a whole house meets
//! on every subject of a real NATS (`tests/garbage.rs`).

pub mod corpus;
mod doors;
pub mod memory;

pub use doors::DOORS;

/// One way in for bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// Its name: a word, also of its corpus.
    pub name: &'static str,
    /// What comes in here, for people.
    pub about: &'static str,
    /// Takes the bytes, and panics if anything doesn't hold.
    knock: fn(&[u8]),
    /// How much memory that may take.
    room: Room,
    /// The longest input that a fuzzer tries, in bytes: long enough for everything that the door tells apart.
    pub longest: usize,
}

/// Memory that an input may take while it is looked at.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Bytes that any input may take, an empty one too.
    base: u64,
    /// Bytes beyond that for each byte of the input.
    each: u64,
}

impl Door {
    /// The door of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        DOORS.iter().find(|door| door.name == name)
    }

    /// Lets `bytes` in, and returns how many bytes of memory that took at most.
    ///
    /// # Panics
    /// When anything doesn't hold that has to.
    pub fn open(&self, bytes: &[u8]) -> u64 {
        let taken = memory::most(|| (self.knock)(bytes));
        let Room { base, each } = self.room;
        let allowed = base + each * bytes.len() as u64;
        assert!(
            taken <= allowed,
            "{} bytes at {} took {taken} bytes of memory; allowed are {allowed}",
            bytes.len(),
            self.name
        );
        taken
    }
}

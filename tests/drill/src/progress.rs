//! What a drill says while it goes on.

use std::sync::OnceLock;
use std::time::Instant;

/// Says a line, with the time since the first one.
pub(crate) fn say(line: &str) {
    static START: OnceLock<Instant> = OnceLock::new();
    println!("{:7.1} s  {line}", START.get_or_init(Instant::now).elapsed().as_secs_f64());
}

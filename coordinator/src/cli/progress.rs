//! What happens while a command waits, on stderr, and only where somebody looks at it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the spinner turns.
const TURN_EVERY: Duration = Duration::from_millis(100);

/// A line that tells what is waited for. Gone when dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Starts to tell. Draws nothing unless stderr is a terminal.
    pub(super) fn start(what: impl Into<String>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        bar.set_style(style.expect("the template is well-formed"));
        bar.set_message(what.into());
        bar.enable_steady_tick(TURN_EVERY);
        Self(bar)
    }

    /// Whether somebody looks at it.
    pub(super) fn is_seen(&self) -> bool {
        !self.0.is_hidden()
    }

    /// Tells something else.
    pub(super) fn tell(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

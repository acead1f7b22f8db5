//! Where a command's result goes: tables and sentences for people, JSON for programs.
//!
//! Colours and widths are arguments of what draws, so that a drawing is the same in a test and on a terminal.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use comfy_table::Table;

use super::failure::Failure;
use super::json::{self, Described};
use super::printable;

/// How a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and sentences, for people.
    Table,
    /// JSON, for programs.
    Json,
}

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paint(bool);

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub(super) const NONE: Self = Self(false);

    /// Whether there are colours.
    pub(super) const fn is_on(self) -> bool {
        self.0
    }

    /// What one hopes for.
    pub(super) fn good(self, text: &str) -> String {
        self.styled(AnsiColor::Green.on_default(), text)
    }

    /// What one has to wait for.
    pub(super) fn pending(self, text: &str) -> String {
        self.styled(AnsiColor::Yellow.on_default(), text)
    }

    /// What one has to look at.
    pub(super) fn bad(self, text: &str) -> String {
        self.styled(AnsiColor::Red.on_default().bold(), text)
    }

    /// What stands above the rest.
    pub(super) fn strong(self, text: &str) -> String {
        self.styled(Style::new().bold(), text)
    }

    fn styled(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// What the other end of an output can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Its colours.
    pub(super) paint: Paint,
    /// Its columns; `None` for a file or a pipe, where lines may be as long as they like.
    pub(super) width: Option<u16>,
}

impl Look {
    /// A file or a pipe.
    #[cfg(test)]
    pub(super) const PLAIN: Self = Self { paint: Paint::NONE, width: None };

    fn stdout() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let width = if is_terminal { Table::new().width() } else { None };
        Self { paint: Paint(is_terminal && wants_colours()), width }
    }

    /// What stderr can show.
    pub(super) fn stderr() -> Self {
        Self { paint: Paint(io::stderr().is_terminal() && wants_colours()), width: None }
    }
}

/// See <https://no-color.org>: any value that isn't empty turns colours off.
fn wants_colours() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Standard output, in the wanted form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    format: Format,
    look: Look,
}

impl Screen {
    pub(super) fn new(format: Format) -> Self {
        Self { format, look: Look::stdout() }
    }

    /// Whether a program reads it.
    pub(super) fn is_for_programs(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether a person looks at it right now.
    pub(super) fn is_live(&self) -> bool {
        self.format == Format::Table && self.look.width.is_some()
    }

    /// What it can show.
    pub(super) fn look(&self) -> Look {
        self.look
    }

    /// One answer: an indented object, or what `draw` makes of it.
    pub(super) fn answer<M: Described>(
        &self,
        message: &M,
        draw: impl FnOnce(&M, Look) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.print(&draw(message, self.look)),
            Format::Json => self.print(&format!("{:#}", json::of(message)?)),
        }
    }

    /// One of many answers: a line with an object, or what `draw` makes of it.
    pub(super) fn piece<M: Described>(
        &self,
        message: &M,
        draw: impl FnOnce(&M, Look) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.print(&draw(message, self.look)),
            Format::Json => self.print(&json::of(message)?.to_string()),
        }
    }

    /// Something beside the answer, for people: on stderr.
    pub(super) fn note(&self, text: &str) {
        if !self.is_for_programs() {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "{}", printable::drawn(text));
        }
    }

    /// Writes text and ends its line.
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        let text = if self.is_for_programs() { text.to_owned() } else { printable::drawn(text) };
        let mut out = io::stdout().lock();
        out.write_all(text.trim_end_matches('\n').as_bytes())?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }
}

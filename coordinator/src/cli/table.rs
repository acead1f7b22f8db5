//! Tables for people.

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use super::screen::Look;

/// Blanks left and right of a cell: columns start where lines do.
const PADDING: (u16, u16) = (0, 2);

/// A table: a line of headings, then rows. No lines between them, so that it can be cut and searched.
pub(super) fn table(look: Look, headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .force_no_tty()
        .set_header(headings.iter().map(|heading| Cell::new(heading.to_uppercase())));
    for column in table.column_iter_mut() {
        column.set_padding(PADDING);
    }
    if let Some(width) = look.width {
        table.set_width(width);
    }
    if look.paint.is_on() {
        table.enforce_styling();
    }
    table
}

/// A number, to the right.
pub(super) fn number(value: u64) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}

/// A cell that is marked where there are colours.
pub(super) fn marked(text: impl ToString, mark: Mark) -> Cell {
    let cell = Cell::new(text.to_string());
    match mark {
        Mark::None => cell,
        Mark::Good => cell.fg(Color::Green),
        Mark::Pending => cell.fg(Color::Yellow),
        Mark::Bad => cell.fg(Color::Red),
    }
}

/// How a cell is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Not at all.
    None,
    /// What one hopes for.
    Good,
    /// What one has to wait for.
    Pending,
    /// What one has to look at.
    Bad,
}

/// Names and values, one to a line; lines without a value are left out.
pub(super) fn fields(look: Look, fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = fields.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| {
        format!("{}  {value}\n", look.paint.strong(&format!("{name:width$}")))
    });
    lines.collect()
}

/// The lines of a table, without blanks at their ends.
pub(super) fn lines(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_plain_text_without_a_terminal() {
        let mut table = table(Look::PLAIN, &["name", "count"]);
        table.add_row(vec![marked("a", Mark::Bad), number(7)]);
        table.add_row(vec![marked("longer", Mark::None), number(1234)]);
        insta::assert_snapshot!(lines(&table));
    }

    #[test]
    fn a_field_without_a_value_is_left_out() {
        let fields =
            fields(Look::PLAIN, &[("a", "1".into()), ("bcd", String::new()), ("ef", "2".into())]);
        assert_eq!(fields, "a    1\nef   2\n");
    }
}

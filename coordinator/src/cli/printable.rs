//! Text from outside on a terminal: titles, names, reasons, keys of files. What would move its cursor, change its title or turn
//! lines around is shown as a mark instead.
//!
//! Not here: what programs read, which is JSON and as it came.

/// Stands for a character that isn't printed.
const MARK: char = char::REPLACEMENT_CHARACTER;
/// What begins a change of colour or weight.
const STYLE: &str = "\u{1b}[";

/// One piece of text, without any style.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { MARK }).collect()
}

/// A drawing: its styles stay, and nothing else that a terminal would obey.
pub(super) fn drawn(drawing: &str) -> String {
    let mut parts = drawing.split(STYLE);
    let mut shown = parts.next().map(plain).unwrap_or_default();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        if rest.starts_with('m') {
            shown.push_str(STYLE);
        } else {
            shown.push(MARK);
        }
        shown.push_str(&plain(part));
    }
    shown
}

/// Lines and tabs are fine. Those that turn the direction of text are of Unicode's Bidi_Control.
fn is_printable(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    matches!(c, '\n' | '\t') || !(c.is_control() || turns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_moves_a_cursor_or_turns_a_line() {
        let evil = "a\u{1b}[2J\u{1b}]0;title\u{7}b\u{9b}31m\u{202e}gnp\r\u{2066}";
        let shown = "a\u{fffd}[2J\u{fffd}]0;title\u{fffd}b\u{fffd}31m\u{fffd}gnp\u{fffd}\u{fffd}";
        assert_eq!(plain(evil), shown);
        assert_eq!(drawn(evil), shown.replacen("\u{fffd}[2J", "\u{fffd}2J", 1));
        assert_eq!(plain("Größe 7\n\t日本"), "Größe 7\n\t日本");
    }

    #[test]
    fn our_own_styles_stay_and_text_has_none() {
        let styled = "\u{1b}[1m\u{1b}[38;5;9mdraft\u{1b}[0m";
        assert_eq!(drawn(styled), styled);
        assert_eq!(plain("\u{1b}[31mred"), "\u{fffd}[31mred");
    }
}

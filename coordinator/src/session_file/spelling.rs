//! Which field somebody meant who wrote another: the nearest by edits.

/// Most edits between what was written and what was meant: two slips, such as two letters that changed places.
const EDITS_MAX: usize = 2;

/// The name that `written` is most likely to mean; `None` where none is near, or `written` is too short to tell.
pub(super) fn meant<'a>(written: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = names.iter().map(|name| (edits(written, name), *name));
    let near = near.filter(|(edits, name)| *edits <= EDITS_MAX && *edits * 2 < name.len());
    near.min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

/// Letters to add, drop or change to make `one` into `other` (Levenshtein's distance), row by row of its table.
fn edits(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (above, letter) in one.chars().enumerate() {
        let (mut diagonal, mut left) = (above, above + 1);
        row[0] = left;
        for (cell, wanted) in row[1..].iter_mut().zip(other.chars()) {
            let changed = diagonal + usize::from(letter != wanted);
            diagonal = *cell;
            left = changed.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_letters_added_dropped_and_changed() {
        for (one, other, count) in [("", "", 0), ("a", "", 1), ("probabilty", "probability", 1)] {
            assert_eq!((edits(one, other), edits(other, one)), (count, count), "{one} {other}");
        }
        assert_eq!(edits("kitten", "sitting"), 3);
    }

    #[test]
    fn only_what_is_near_is_offered() {
        let names = ["name", "fault", "probability", "agents", "tools"];
        assert_eq!(meant("probabilty", &names), Some("probability"));
        assert_eq!(meant("tool", &names), Some("tools"));
        assert_eq!(meant("colour", &names), None);
        assert_eq!(meant("x", &["p"]), None);
    }
}

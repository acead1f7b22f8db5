//! What happens to a piece of text. Counts Unicode scalar values, so that no result is ever invalid.
//!
//! Each function gives `None` when there is nothing that it could change.

use squall_proto::vocabulary::fault::LostPart;

use crate::draw::lowbias32;

/// Without a share of its characters: at least one, and all of them if the share is 1.
pub(super) fn without(text: &str, share: f64, from: LostPart) -> Option<String> {
    let count = text.chars().count();
    let lost = share_of(count, share).max(1).min(count);
    if count == 0 {
        return None;
    }
    let first = match from {
        LostPart::Start => 0,
        LostPart::Middle => (count - lost) / 2,
        LostPart::End => count - lost,
    };
    let kept = text.chars().enumerate().filter(|(at, _)| *at < first || *at >= first + lost);
    Some(kept.map(|(_, c)| c).collect())
}

/// Its first characters: a share of them, but never all.
pub(super) fn beginning(text: &str, keep: f64) -> Option<String> {
    let count = text.chars().count();
    let kept = share_of(count, keep).min(count.checked_sub(1)?);
    Some(text.chars().take(kept).collect())
}

/// `share` of `count`, rounded.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bodies are far smaller than 2^52 characters, and the conversion back saturates"
)]
pub(super) fn share_of(count: usize, share: f64) -> usize {
    (count as f64 * share.clamp(0.0, 1.0)).round() as usize
}

/// As a reader with the wrong encoding sees it: UTF-8 taken for Latin-1. Plain ASCII looks the same in both, so there one
/// character in ten comes out as U+FFFD, as after a broken conversion.
pub(super) fn mangled(text: &str, salt: u32) -> Option<String> {
    if !text.is_ascii() {
        return Some(text.bytes().map(char::from).collect());
    }
    let hit =
        |at: usize| lowbias32(salt ^ u32::try_from(at).unwrap_or(u32::MAX)).is_multiple_of(10);
    let first = (0..text.len()).find(|at| hit(*at)).unwrap_or(0);
    let replace = |(at, c)| if at == first || hit(at) { char::REPLACEMENT_CHARACTER } else { c };
    (!text.is_empty()).then(|| text.chars().enumerate().map(replace).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lost_part_is_where_it_was_said() {
        let cut = |share, from| without("0123456789", share, from).unwrap();
        assert_eq!(cut(0.3, LostPart::Start), "3456789");
        assert_eq!(cut(0.4, LostPart::Middle), "012789");
        assert_eq!(cut(0.3, LostPart::End), "0123456");
        assert_eq!(cut(1.0, LostPart::Middle), "");
        assert_eq!(cut(0.000_1, LostPart::End), "012345678", "at least one");
        assert_eq!(without("", 0.5, LostPart::End), None);
        assert_eq!(without("äöü🌩", 0.5, LostPart::End).unwrap(), "äö");
    }

    #[test]
    fn a_beginning_is_never_the_whole() {
        assert_eq!(beginning("0123456789", 0.5).unwrap(), "01234");
        assert_eq!(beginning("0123456789", 1.0).unwrap(), "012345678");
        assert_eq!(beginning("🌩", 0.9).unwrap(), "");
        assert_eq!(beginning("", 0.5), None);
    }

    #[test]
    fn mangled_text_looks_like_the_wrong_encoding() {
        assert_eq!(mangled("Größe", 1).unwrap(), "GrÃ\u{b6}Ã\u{9f}e");
        let plain = mangled("plain ascii text, long enough", 1).unwrap();
        assert!(plain.contains('\u{fffd}') && plain.contains('t'), "{plain}");
        assert_eq!(mangled("x", 5).unwrap(), "\u{fffd}");
        assert_eq!(mangled("", 1), None);
    }
}

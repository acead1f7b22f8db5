//! Pages of lists: sizes, and tokens that only fit the list that they come from.

use std::fmt::Write as _;

use squall_proto::vocabulary::violation::Check;

/// Page size where none is asked for.
const SIZE_DEFAULT: usize = 50;
/// Largest page; a larger one is cut to it (AIP-158).
pub(crate) const SIZE_MAX: usize = 1000;
/// Longest token, in bytes: two names and their hexadecimal digits.
const TOKEN_BYTES_MAX: usize = 1024;
/// Bytes of a token that tell its list and that nobody wrote it by hand. Not a secret: it guards against mistakes.
const SEAL_BYTES: usize = 8;

/// Which list a token belongs to: its kind, parent and filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'a> {
    /// What is listed.
    pub(crate) kind: &'a str,
    /// Whose.
    pub(crate) parent: &'a str,
    /// Which of them.
    pub(crate) filter: &'a str,
}

/// Reads the field `page_size`.
pub(crate) fn size(check: &mut Check, size: i32) -> Option<usize> {
    check.field("page_size", |check| match usize::try_from(size) {
        Ok(0) => Some(SIZE_DEFAULT),
        Ok(size) => Some(size.min(SIZE_MAX)),
        Err(_) => {
            check.wrong(format!("is {size}; allowed is 0 to {SIZE_MAX}"));
            None
        }
    })
}

impl List<'_> {
    /// The token of the page after `cursor`.
    pub(crate) fn token(&self, cursor: &str) -> String {
        let mut token = String::new();
        for byte in self.seal(cursor).iter().chain(cursor.as_bytes()) {
            // Writing to a string doesn't fail.
            let _ = write!(token, "{byte:02x}");
        }
        token
    }

    /// Reads the field `page_token`: the cursor; `Some(None)` for the first page.
    #[expect(clippy::option_option, reason = "a wrong token and no token are different things")]
    pub(crate) fn cursor(&self, check: &mut Check, token: &str) -> Option<Option<String>> {
        if token.is_empty() {
            return Some(None);
        }
        let cursor = unsealed(token).filter(|(seal, cursor)| *seal == self.seal(cursor));
        check.field("page_token", |check| {
            check.require(cursor.is_some(), || {
                "is not the next_page_token of a page of this list; allowed is that, with the same parent and filter"
                    .to_owned()
            });
        });
        cursor.map(|(_, cursor)| Some(cursor))
    }

    fn seal(&self, cursor: &str) -> [u8; SEAL_BYTES] {
        let Self { kind, parent, filter } = self;
        let mut hasher = blake3::Hasher::new_derive_key("squall 2026 page token");
        for part in [kind, parent, filter, &cursor] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        *hasher.finalize().as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes")
    }
}

fn unsealed(token: &str) -> Option<([u8; SEAL_BYTES], String)> {
    if token.len() > TOKEN_BYTES_MAX || !token.is_ascii() || !token.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..token.len() / 2)
        .map(|index| u8::from_str_radix(&token[index * 2..index * 2 + 2], 16).ok())
        .collect();
    let bytes = bytes?;
    let (seal, cursor) = bytes.split_first_chunk()?;
    Some((*seal, String::from_utf8(cursor.to_vec()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: List<'_> =
        List { kind: "sessions", parent: "tenants/acme", filter: "state = RUNNING" };

    fn cursor(list: List<'_>, token: &str) -> Option<Option<String>> {
        list.cursor(&mut Check::new(), token)
    }

    #[test]
    fn a_token_gives_its_cursor_back_to_its_own_list() {
        let token = LIST.token("acme/shim ä");
        assert_eq!(cursor(LIST, &token).unwrap().unwrap(), "acme/shim ä");
        assert_eq!(cursor(LIST, ""), Some(None));
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        let token = LIST.token("7");
        for other in [
            List { kind: "shims", ..LIST },
            List { parent: "tenants/-", ..LIST },
            List { filter: "", ..LIST },
        ] {
            assert_eq!(cursor(other, &token), None);
        }
    }

    #[test]
    fn garbled_tokens_are_refused() {
        let token = LIST.token("7");
        let mut flipped = token.clone();
        flipped.replace_range(0..1, if token.starts_with('0') { "1" } else { "0" });
        for bad in
            [&flipped, &token[..token.len() - 1], &token[..4], "zz", "ä", "+1", &"0".repeat(4096)]
        {
            assert_eq!(cursor(LIST, bad), None, "{bad:?} was accepted");
        }
    }

    #[test]
    fn sizes_are_cut_and_negative_ones_are_refused() {
        let size = |wanted| size(&mut Check::new(), wanted);
        assert_eq!([size(0), size(7), size(5000), size(-1)], [Some(50), Some(7), Some(1000), None]);
    }
}

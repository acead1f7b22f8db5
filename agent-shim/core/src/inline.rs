//! A name kept in place, so that hook threads can leave it behind without allocating.

use squall_proto::vocabulary::limits::NAME_BYTES_MAX;

const _: () = assert!(NAME_BYTES_MAX <= u8::MAX as usize);

/// Text of up to [`NAME_BYTES_MAX`] bytes; longer text is cut at a character's border.
#[derive(Clone, Copy)]
pub(crate) struct InlineName {
    len: u8,
    bytes: [u8; NAME_BYTES_MAX],
}

impl InlineName {
    pub(crate) const EMPTY: Self = Self { len: 0, bytes: [0; NAME_BYTES_MAX] };

    pub(crate) fn of(text: &str) -> Self {
        let mut name = Self::EMPTY;
        name.set(text);
        name
    }

    pub(crate) fn set(&mut self, text: &str) {
        let len = text.floor_char_boundary(NAME_BYTES_MAX);
        self.bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        self.len = u8::try_from(len).unwrap_or(0);
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl std::fmt::Debug for InlineName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        let mut name = InlineName::of(&"ä".repeat(100));
        assert_eq!(name.as_str(), "ä".repeat(64));
        name.set(&format!("x{}", "ä".repeat(100)));
        assert_eq!(name.as_str(), format!("x{}", "ä".repeat(63)));
    }
}

//! Texts: subjects, identifiers, settings and session files.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use squall::session_file::SessionFile;
use squall_proto::subject::{Partition, Root, Subject, TenantSubject};
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::{AgentName, Incarnation, SessionId, TenantId, TraceId};
use squall_proto::vocabulary::limits::{FAULT_DURATION_MS_MAX, SPEC_BYTES_MAX};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::session::SessionDraft;
use squall_proto::vocabulary::violation::Violations;
use squall_shim::core::Policy;
use squall_shim::core::policy::Settings;

use super::cast;

pub(super) fn subject(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    same::<Subject>(text);
    same::<TenantSubject>(text);
    same::<Partition>(text);
    same::<TenantId>(text);
    same::<SessionId>(text);
    same::<AgentName>(text);
    same::<TraceId>(text);
    // The digits of a random id may be large or small.
    if let Ok(incarnation) = text.parse::<Incarnation>() {
        assert_eq!(incarnation.to_string(), text.to_ascii_lowercase());
    }
    let tenant = Some(cast::tenant());
    for root in [
        Root::Coordinator { tenant: cast::tenant() },
        Root::Shim { tenant },
        Root::Shim { tenant: None },
    ] {
        if let Ok(subject) = root.parse(text) {
            assert_eq!(root.encode(&subject), text);
        }
    }
}

/// Whatever parses is written back as the same text.
fn same<T: FromStr + Display + Debug>(text: &str) {
    if let Ok(parsed) = text.parse::<T>() {
        assert_eq!(parsed.to_string(), text, "{parsed:?}");
    }
}

/// Four lines: the four variables.
pub(super) fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let settings = Settings {
        enabled: lines.next(),
        feature_chaos_engineering: lines.next(),
        environment: lines.next(),
        allow: lines.next(),
    };
    let Ok(policy) = Policy::parse(&settings) else { return };
    let says_yes = |setting: Option<&str>| {
        setting.is_some_and(|text| {
            matches!(text.trim(), "1") || text.trim().eq_ignore_ascii_case("true")
        })
    };
    let opted_in = says_yes(settings.enabled) || says_yes(settings.feature_chaos_engineering);
    assert!(opted_in || !policy.enabled, "on, though nobody opted in: {settings:?}");
    assert!(policy.max_delay_ms <= FAULT_DURATION_MS_MAX);
    assert!(policy.allowed.len() <= FaultKind::ALL.len(), "{:?}", policy.allowed);
}

pub(super) fn file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match SessionFile::parse(text) {
        Ok(file) => {
            assert_eq!(file.draft.validate().as_ref(), Ok(&file.spec));
            let again = serde_json::to_string(&SessionDraft::from(&file.spec))
                .expect("a draft has nothing that JSON lacks");
            // Aliases make a short file a long specification.
            if again.len() <= SPEC_BYTES_MAX {
                let again = SessionFile::parse(&again).map(|file| file.spec);
                assert_eq!(again.as_ref(), Ok(&file.spec));
            }
        }
        Err(Violations(found)) => assert!(!found.is_empty(), "refused without a reason"),
    }
}

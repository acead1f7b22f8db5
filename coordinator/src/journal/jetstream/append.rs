//! One write and its answer. The answer is read from the JSON itself: async-nats maps only one of the two codes that mean
//! a conflict (docs/nats.md, pitfall 2), and hides others in text.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Message, Request, header};
use serde::Deserialize;
use squall_proto::subject::LOG_STREAM;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::{Append, AppendError, Appended, Expected, RECORD_BYTES_MAX, Unanswered};
use super::connect::Connection;

/// First and longest wait before trying again when no stream listens, as during an election.
const AGAIN_FIRST: Duration = Duration::from_millis(25);
const AGAIN_LONGEST: Duration = Duration::from_millis(400);

/// Writes `append` within `timeout`.
///
/// Sends it again, under the same id, only after the server said that nobody had listened: then it can't be stored.
pub(super) async fn append(
    log: &Connection,
    append: Append,
    timeout: Duration,
) -> Result<Appended, AppendError> {
    let (bytes, max) = (append.bytes.len(), RECORD_BYTES_MAX);
    if bytes > max {
        return Err(AppendError::TooLarge { bytes, max });
    }
    let deadline = Instant::now() + timeout;
    let mut pause = AGAIN_FIRST;
    loop {
        let why = match send(log, &append, deadline).await? {
            Sent::Answered(answer) => return read_answer(&answer.payload),
            Sent::NotSent(why) => why,
        };
        let next = Instant::now() + pause;
        if next >= deadline {
            return Err(AppendError::Unanswered { why });
        }
        sleep_until(next).await;
        pause = (pause * 2).min(AGAIN_LONGEST);
    }
}

enum Sent {
    Answered(Message),
    /// It never reached a stream, and never will.
    NotSent(Unanswered),
}

async fn send(log: &Connection, append: &Append, deadline: Instant) -> Result<Sent, AppendError> {
    if !log.is_connected() {
        // The client would keep it and send it whenever it has a connection again.
        return Ok(Sent::NotSent(Unanswered::Disconnected("not connected".to_owned())));
    }
    let subject = append.subject.to_string();
    let mut complaints = log.complaints();
    let request =
        Request::new().headers(headers(append)).payload(append.bytes.clone()).timeout(None);
    let answer = log.client().send_request(subject.clone(), request);
    let answer = tokio::select! {
        answer = timeout_at(deadline, answer) => answer,
        text = refusal(&mut complaints, &subject) => {
            return Err(AppendError::Refused { code: None, text });
        }
    };
    let unanswered = |why| Err(AppendError::Unanswered { why });
    match answer {
        Ok(Ok(answer)) => Ok(Sent::Answered(answer)),
        Err(_) => unanswered(Unanswered::TimedOut),
        Ok(Err(error)) => match error.kind() {
            RequestErrorKind::NoResponders => Ok(Sent::NotSent(Unanswered::NoResponders)),
            RequestErrorKind::TimedOut => unanswered(Unanswered::TimedOut),
            RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                Err(AppendError::Refused { code: None, text: error.to_string() })
            }
            RequestErrorKind::Other => unanswered(Unanswered::Disconnected(super::chain(&error))),
        },
    }
}

fn headers(append: &Append) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_MESSAGE_ID, append.id.to_string());
    headers.insert(header::NATS_EXPECTED_STREAM, LOG_STREAM);
    match append.expected {
        Expected::Revision(revision) => {
            headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
        }
        Expected::Any => {}
    }
    headers
}

/// Waits until the server complains about publishing to `subject`. It never answers such a publish.
async fn refusal(complaints: &mut broadcast::Receiver<String>, subject: &str) -> String {
    let about = format!("publish to \"{subject}\"").to_lowercase();
    loop {
        match complaints.recv().await {
            Ok(text) if text.to_lowercase().contains(&about) => return text,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The server's answer to a publish (`JSPubAckResponse`).
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<ApiError>,
}

/// JetStream's error in an answer.
#[derive(Debug, Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

fn read_answer(bytes: &[u8]) -> Result<Appended, AppendError> {
    let unclear = |text: String| AppendError::Unanswered { why: Unanswered::Unclear(text) };
    let answer: Answer = serde_json::from_slice(bytes)
        .map_err(|error| unclear(format!("an answer that is no JSON: {error}")))?;
    match answer {
        Answer { error: Some(error), .. } => Err(read_error(error)),
        Answer { stream, seq, duplicate, error: None } if stream == LOG_STREAM && seq > 0 => {
            Ok(Appended { sequence: seq, duplicate })
        }
        other => Err(unclear(format!("an answer that is not of {LOG_STREAM}: {other:?}"))),
    }
}

/// What JetStream's error codes mean for a write. Source: nats-server 2.15, `server/errors.json`.
fn read_error(error: ApiError) -> AppendError {
    let ApiError { err_code: code, description: text } = error;
    match code {
        // "wrong last sequence: N", and without N for a write that is on its way (cluster only).
        10071 | 10164 => AppendError::Conflict { last: last_sequence(&text) },
        // Resources of account, server or storage; stream's max_bytes above the account's.
        10002 | 10023 | 10028 | 10047 | 10122 => AppendError::Full { text },
        // The store refused it: for want of room, or for a reason that may have left part of it behind.
        10077 if is_about_room(&text) => AppendError::Full { text },
        // The store's other reasons, the same id on its way, not the leader, not available.
        10077 | 10158 | 10009 | 10008 => {
            AppendError::Unanswered { why: Unanswered::Unclear(format!("{text} ({code})")) }
        }
        _ => AppendError::Refused { code: Some(code), text },
    }
}

fn is_about_room(text: &str) -> bool {
    ["maximum bytes", "maximum messages", "no space left", "insufficient", "resource limits"]
        .iter()
        .any(|reason| text.contains(reason))
}

fn last_sequence(text: &str) -> Option<u64> {
    text.rsplit(": ").next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u64, text: &str) -> Result<Appended, AppendError> {
        let text = format!(
            r#"{{"error":{{"code":400,"err_code":{code},"description":"{text}"}},"stream":"SQUALL_LOG","seq":0}}"#
        );
        read_answer(text.as_bytes())
    }

    #[test]
    fn both_codes_for_a_wrong_last_sequence_are_conflicts() {
        let conflict = |last| Err(AppendError::Conflict { last });
        assert_eq!(error(10071, "wrong last sequence: 42"), conflict(Some(42)));
        assert_eq!(error(10164, "wrong last sequence"), conflict(None));
    }

    #[test]
    fn a_store_without_room_is_full_and_any_other_trouble_of_it_is_unclear() {
        for (code, text) in [
            (10077, "maximum bytes exceeded"),
            (10077, "write /x/1.blk: no space left on device"),
            (10023, "insufficient resources"),
            (10047, "insufficient storage resources available"),
        ] {
            assert_eq!(error(code, text), Err(AppendError::Full { text: text.to_owned() }));
        }
        let unclear = error(10077, "input/output error");
        assert!(matches!(unclear, Err(AppendError::Unanswered { .. })), "{unclear:?}");
    }

    #[test]
    fn a_duplicate_is_reported() {
        let answer = br#"{"stream":"SQUALL_LOG","seq":7,"duplicate": true}"#;
        assert_eq!(read_answer(answer), Ok(Appended { sequence: 7, duplicate: true }));
    }

    #[test]
    fn an_answer_of_something_else_is_no_commit() {
        for answer in
            [r#"{"stream":"OTHER","seq":7}"#, r#"{"stream":"SQUALL_LOG"}"#, "{}", "+OK", ""]
        {
            let read = read_answer(answer.as_bytes());
            assert!(matches!(read, Err(AppendError::Unanswered { .. })), "{answer}: {read:?}");
        }
    }

    #[test]
    fn every_other_code_is_a_refusal_that_names_it() {
        let (code, text) = (Some(10060), "expected stream does not match".to_owned());
        assert_eq!(error(10060, &text), Err(AppendError::Refused { code, text }));
    }
}

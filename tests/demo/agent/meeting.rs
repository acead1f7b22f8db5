//! Planning across time zones: what time it is for three people, and when two of them could meet.

use serde_json::{Value, json};

use super::analysis::Question;
use super::server::Failure;
use super::task::{Degraded, Desk, Given};

/// Where the people are.
const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "Asia/Tokyo",
    "America/New_York",
    "Africa/Nairobi",
    "Australia/Sydney",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Europe/London",
];
/// People in one meeting.
const PEOPLE: usize = 3;

/// What the agent knows about its people.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    /// The last hour heard of each zone.
    hours: [Option<u64>; ZONES.len()],
    meeting: Option<String>,
}

impl Calendar {
    /// One round of work.
    ///
    /// # Errors
    /// When the policy gave up.
    pub(crate) async fn round(&mut self, desk: &mut Desk) -> Given<Value> {
        let mut degraded = Degraded::default();
        let people: [usize; PEOPLE] =
            std::array::from_fn(|person| (desk.round() + person * 3) % ZONES.len());
        let mut hours = Vec::new();
        for zone in people {
            hours.push((ZONES[zone], degraded.note(self.hour(desk, zone).await?)));
        }
        let meeting = degraded.note(self.meeting(desk, people).await?);
        let text: Vec<_> = hours.iter().map(|(zone, hour)| format!("{zone} {hour}")).collect();
        let finding = degraded.note(desk.delegate(Question::WhoIsAtWork, &text.join("\n")).await?);
        Ok(degraded.with(json!({ "hours": hours, "meeting": meeting, "finding": finding })))
    }

    async fn hour(&mut self, desk: &mut Desk, zone: usize) -> Given<u64> {
        let arguments = json!({ "timezone": ZONES[zone] });
        let told = desk
            .call("get_current_time", arguments, |text| {
                let time: Value = serde_json::from_str(text).ok()?;
                (time["timezone"] == ZONES[zone]).then(|| hour_of(&time["datetime"]))?
            })
            .await;
        match (desk.second_way(told)?, self.hours[zone]) {
            (Ok(hour), _) => {
                self.hours[zone] = Some(hour);
                Ok((hour, false))
            }
            // A zone's hour of a moment ago is good enough for a meeting.
            (Err(_), Some(earlier)) => Ok((earlier, true)),
            (Err(_), None) => Ok((self.converted(desk, zone).await?, true)),
        }
    }

    /// Another tool that knows: the hour of a zone that answered, converted.
    async fn converted(&mut self, desk: &mut Desk, zone: usize) -> Result<u64, Failure> {
        let known = self.hours.iter().enumerate().find_map(|(other, hour)| Some((other, (*hour)?)));
        let (other, hour) =
            known.ok_or_else(|| Failure::Nonsense("no zone is known yet".into()))?;
        let arguments = json!({
            "source_timezone": ZONES[other], "time": format!("{hour:02}:00"), "target_timezone": ZONES[zone],
        });
        desk.call("convert_time", arguments, |text| target_hour(text, ZONES[zone])).await
    }

    async fn meeting(&mut self, desk: &mut Desk, people: [usize; PEOPLE]) -> Given<String> {
        let [host, guest, _] = people.map(|zone| ZONES[zone]);
        let arguments = json!({
            "source_timezone": host, "time": "10:30", "target_timezone": guest,
        });
        let told = desk.call("convert_time", arguments, |text| target_hour(text, guest)).await;
        match (desk.second_way(told)?, &self.meeting) {
            (Ok(hour), _) => {
                let meeting = format!("10:30 in {host}, {hour}:30 in {guest}");
                self.meeting = Some(meeting.clone());
                Ok((meeting, false))
            }
            (Err(_), Some(earlier)) => Ok((earlier.clone(), true)),
            (Err(failure), None) => Err(failure),
        }
    }
}

fn target_hour(text: &str, zone: &str) -> Option<u64> {
    let both: Value = serde_json::from_str(text).ok()?;
    (both["target"]["timezone"] == zone).then(|| hour_of(&both["target"]["datetime"]))?
}

/// The hour of `2026-11-21T21:21:35+01:00`.
fn hour_of(datetime: &Value) -> Option<u64> {
    datetime.as_str()?.get(11..13)?.parse().ok().filter(|hour| *hour < 24)
}

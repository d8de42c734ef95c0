//! Announcing one's own streams to other programs: SDP by SAP, in open conferences only.
//!
//! Three times in the first three seconds, then each 30 s; a changed description is a deletion and a new one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::protocol::roster::Person;
use crate::time::Timestamp;
use crate::wire::address::Plan;
use crate::wire::sap::{Packet, id_hash};
use crate::wire::sdp::{Description, Video};
use crate::wire::{Layer, StreamKind};

const EAGER: u32 = 3;
const EAGER_GAP: Duration = Duration::from_secs(1);
const GAP: Duration = Duration::from_secs(30);

/// The session description of `person`'s voice and of their picture in `layer`, or with `None` in the best layer of the
/// camera. `None` while they have no slot.
pub fn describe(title: &str, plan: &Plan, person: &Person, layer: Option<Layer>, version: u64) -> Option<String> {
    person.slot?;
    let layers: &[Layer] = match &layer {
        Some(layer) => std::slice::from_ref(layer),
        None => &[Layer::Full, Layer::Medium, Layer::Thumb],
    };
    let video = layers.iter().find_map(|&layer| {
        let stream = person.stream(StreamKind::Video(layer))?;
        Some(Video { address: person.stream_address(plan, stream.kind)?, fps_milli: stream.fps_milli })
    });
    let audio = person.stream(StreamKind::Audio).and_then(|stream| person.stream_address(plan, stream.kind));
    let description = Description {
        cname: &person.cname(),
        session_id: person.sid,
        version,
        origin: person.address.ip(),
        title,
        name: &person.name,
        ttl: plan.ttl,
        video,
        audio,
    };
    Some(description.to_text())
}

/// What is announced, and when again.
pub(super) struct Announcer {
    source: IpAddr,
    to: &'static [SocketAddr],
    text: Option<String>,
    sent: u32,
    next: Timestamp,
    packet: Vec<u8>,
}

impl Announcer {
    pub(super) fn new(source: IpAddr, to: &'static [SocketAddr]) -> Self {
        Self { source, to, text: None, sent: 0, next: Timestamp(0), packet: Vec::new() }
    }

    /// Announces from another address from now on.
    pub(super) fn set_source(&mut self, source: IpAddr) {
        self.source = source;
    }

    /// Announces `text` from now on, or nothing; the one before is deleted.
    pub(super) fn set(&mut self, now: Timestamp, text: Option<String>, send: impl FnMut(SocketAddr, &[u8])) {
        if self.text == text {
            return;
        }
        self.delete(send);
        self.text = text;
        (self.sent, self.next) = (0, now);
    }

    /// Announces when it is time to.
    pub(super) fn timeout(&mut self, now: Timestamp, send: impl FnMut(SocketAddr, &[u8])) {
        if self.next_timeout().is_none_or(|due| due > now) {
            return;
        }
        self.sent = self.sent.saturating_add(1);
        self.next = now + if self.sent < EAGER { EAGER_GAP } else { GAP };
        self.post(false, send);
    }

    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        self.text.as_ref().map(|_| self.next)
    }

    fn delete(&mut self, send: impl FnMut(SocketAddr, &[u8])) {
        if self.sent > 0 {
            self.post(true, send);
        }
    }

    fn post(&mut self, delete: bool, mut send: impl FnMut(SocketAddr, &[u8])) {
        let Some(text) = &self.text else {
            return;
        };
        let origin = text.split_inclusive('\n').find(|line| line.starts_with("o="));
        let sdp = if delete { origin.unwrap_or_default() } else { text };
        if (Packet { delete, id_hash: id_hash(text), source: self.source, sdp }).write(&mut self.packet) {
            self.to.iter().for_each(|&to| send(to, &self.packet));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::roster::{Attention, Camera, Microphone, RepairInfo, Role, StreamInfo};
    use crate::protocol::transport::Reach;
    use crate::time::NtpTime;
    use crate::wire::address::Scope;
    use crate::wire::message::ParticipantId;

    fn ada() -> Person {
        let video = |layer| StreamInfo {
            kind: StreamKind::Video(layer),
            ssrc: 1,
            width: 1,
            height: 1,
            fps_milli: 30_000,
            position: 0,
            active: false,
            repair: RepairInfo::default(),
        };
        let audio = StreamInfo { kind: StreamKind::Audio, fps_milli: 0, ..video(Layer::Full) };
        Person {
            id: ParticipantId([1; 16]),
            sid: 7,
            name: "Ada".into(),
            typed_name: "Ada".into(),
            suffix: None,
            joined: NtpTime(0),
            address: "10.77.0.1:4000".parse().unwrap(),
            reach: Reach::Groups,
            direct: 0,
            single: false,
            role: Role::Participant,
            slot: Some(0),
            microphone: Microphone::On,
            camera: Camera::On,
            attention: Attention::default(),
            wireless: false,
            favoured: Vec::new(),
            streams: vec![video(Layer::Thumb), video(Layer::Full), audio],
        }
    }

    fn plan() -> Plan {
        Plan::new(Scope::Link, [239, 255, 4, 0].into(), 20_480).unwrap()
    }

    #[test]
    fn a_person_is_described_in_the_layer_asked_for_or_the_best() {
        let of = |layer| describe("Standup", &plan(), &ada(), layer, 1).unwrap();
        assert!(of(None).contains("m=video 20550 RTP/AVP 26\r\nc=IN IP4 239.255.4.18/1\r\n"), "{}", of(None));
        assert!(of(Some(Layer::Thumb)).contains("m=video 20546 "));
        assert!(!of(Some(Layer::Screen)).contains("m=video"), "not sent, not described");
        assert!(of(None).contains("m=audio 20544 "));
        assert_eq!(describe("Standup", &plan(), &Person { slot: None, ..ada() }, None, 1), None);
    }

    #[test]
    fn announced_three_times_then_each_half_minute_and_deleted_at_the_end() {
        let mut sap = Announcer::new([10, 77, 0, 1].into(), plan().sap());
        let mut sent: Vec<(u64, bool, SocketAddr)> = Vec::new();
        let text = || describe("Standup", &plan(), &ada(), None, 1);
        let mut now = Timestamp::from_millis(500);
        sap.set(now, text(), |_, _| panic!("nothing to delete"));
        while sent.len() < 10 {
            now = sap.next_timeout().unwrap();
            sap.timeout(now, |to, bytes| sent.push((now.0 / 1_000_000, Packet::parse(bytes).unwrap().delete, to)));
        }
        let times: Vec<u64> = sent.iter().step_by(2).map(|s| s.0).collect();
        assert_eq!(times, [500, 1_500, 2_500, 32_500, 62_500]);
        assert_eq!([sent[0].2, sent[1].2], plan().sap());
        sap.set(now, text(), |_, _| panic!("the same again changes nothing"));
        let mut deletions = Vec::new();
        sap.set(now, None, |_, bytes| {
            deletions.push(Packet::parse(bytes).map(|p| (p.delete, p.sdp.to_owned())).unwrap())
        });
        assert_eq!(deletions.len(), 2);
        assert!(deletions[0].0 && deletions[0].1.starts_with("o=010101010101@10.77.0.1 7 1 IN IP4"));
        assert_eq!(sap.next_timeout(), None);
    }
}

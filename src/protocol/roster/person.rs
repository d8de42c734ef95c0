//! One person of the conference, and the Beacon that tells of them.

use std::net::{IpAddr, SocketAddr};

use crate::limits::{
    CAMERA_TEXT_BYTES_MAX, FAVOURED_MAX, JOIN_ANSWERS_MAX, JPEG_SIDE_PIXELS_MAX, NAME_BYTES_MAX, PARTICIPANTS_MAX,
    SLOTS_MAX, STREAMS_PER_SLOT_MAX,
};
use crate::protocol::roster::names;
use crate::protocol::transport::{Able, Reach};
use crate::time::NtpTime;
use crate::wire::StreamKind;
use crate::wire::address::{Plan, host_from_wire, host_to_wire};
use crate::wire::message::{Beacon, ParticipantId, Stream};

/// What somebody takes part as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// A person: has a tile.
    #[default]
    Participant,
    /// A tool that watches: not shown among the people, not counted.
    Observer,
}

/// State of somebody's microphone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Microphone {
    /// There is none.
    #[default]
    None,
    /// Heard by all.
    On,
    /// Switched off for now.
    Muted,
}

/// State of somebody's camera.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Camera {
    /// None, or switched off.
    #[default]
    Off,
    /// Sends.
    On,
    /// Does not work; the text says why.
    Failed(String),
}

/// One stream somebody sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// What it carries.
    pub kind: StreamKind,
    /// RTP synchronisation source.
    pub ssrc: u32,
    /// True width in pixels, 0 for audio: receivers crop what the encoder padded.
    pub width: u32,
    /// True height in pixels, 0 for audio.
    pub height: u32,
    /// Pictures in 1,000 seconds, 0 for audio.
    pub fps_milli: u32,
    /// Roll-over counter << 16 | last sequence number, when the beacon was made.
    pub position: u64,
    /// Packets are being sent now: somebody wants them.
    pub active: bool,
    /// What is sent on its repair port.
    pub repair: RepairInfo,
}

/// The parity of a video stream, or the redundancy of a voice: RTP of its own on the stream's repair port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairInfo {
    /// RTP synchronisation source; 0: nothing is repaired.
    pub ssrc: u32,
    /// Roll-over counter << 16 | last sequence number, when the beacon was made.
    pub position: u64,
}

/// What somebody wants the others to know of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Wants to speak.
    pub hand: bool,
    /// Not at the screen for a while.
    pub away: bool,
    /// Speaks to everybody, over all others. Holds for those who may, see [`Person::favoured`].
    pub priority: bool,
}

impl Attention {
    /// From the bits of a beacon; those of the future are left out.
    fn from_wire(bits: u32) -> Self {
        Self { hand: bits & 1 != 0, away: bits & 2 != 0, priority: bits & 4 != 0 }
    }

    fn to_wire(self) -> u32 {
        u32::from(self.hand) | u32::from(self.away) << 1 | u32::from(self.priority) << 2
    }
}

/// A member of the conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Follows from the public key.
    pub id: ParticipantId,
    /// Session: another one after every start.
    pub sid: u64,
    /// Name as shown, with the number that tells equals apart.
    pub name: String,
    /// Name as typed, cleaned.
    pub typed_name: String,
    /// The number behind the name that the person itself claims.
    pub suffix: Option<u32>,
    /// When the person joined, by their own clock.
    pub joined: NtpTime,
    /// Their socket: everything is sent from it, and unicast goes to it.
    pub address: SocketAddr,
    /// What they hear.
    pub reach: Reach,
    /// Port at their address that takes copies of streams; 0 none.
    pub direct: u16,
    /// Their streams go to the control group.
    pub single: bool,
    /// What they take part as.
    pub role: Role,
    /// Place in the addressing plan; none while nothing is sent.
    pub slot: Option<u8>,
    /// Microphone.
    pub microphone: Microphone,
    /// Camera.
    pub camera: Camera,
    /// Hand raised, away.
    pub attention: Attention,
    /// On a wireless network: what gets lost there says nothing of the others' networks.
    pub wireless: bool,
    /// Whom they let speak with priority; the word of those who own or moderate the conference counts.
    pub favoured: Vec<ParticipantId>,
    /// Everything they send.
    pub streams: Vec<StreamInfo>,
}

/// See [`Person::cname`].
pub fn cname(id: &ParticipantId, host: IpAddr) -> String {
    let [a, b, c, d, e, f, ..] = id.0;
    format!("{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}@{host}")
}

/// A Beacon outside the bounds; the word names the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("beacon with a bad {0}")]
pub struct BadBeacon(pub &'static str);

impl Person {
    /// Whether they hold streams that somebody may receive: their beacons come at the publishers' pace.
    pub fn publishes(&self) -> bool {
        self.slot.is_some()
    }

    /// As one who may repeat streams for those who hear no group; `None` when they cannot.
    pub fn able_to_relay(&self) -> Option<Able> {
        let able = self.reach != Reach::Unicast && self.role == Role::Participant;
        able.then_some(Able { wireless: self.wireless, silent: self.slot.is_none(), id: self.id })
    }

    /// The canonical name in RTCP and SDP (RFC 3550 section 6.5.1): says nothing of the shown name, which may change.
    pub fn cname(&self) -> String {
        cname(&self.id, self.address.ip())
    }

    /// Where copies of streams reach them, when they hear no group.
    pub fn direct(&self) -> Option<SocketAddr> {
        self.direct_address().filter(|_| self.reach == Reach::Unicast)
    }

    /// Where they take copies, and requests for repair from those to whom they send some.
    pub fn direct_address(&self) -> Option<SocketAddr> {
        (self.direct != 0).then(|| SocketAddr::new(self.address.ip(), self.direct))
    }

    /// Group and port of one of their streams, while they have a slot.
    pub fn stream_address(&self, plan: &Plan, kind: StreamKind) -> Option<SocketAddr> {
        let own = plan.stream(self.slot?, kind);
        Some(if self.single { SocketAddr::new(plan.control().ip(), own.port()) } else { own })
    }

    /// The stream of a kind.
    pub fn stream(&self, kind: StreamKind) -> Option<&StreamInfo> {
        self.streams.iter().find(|s| s.kind == kind)
    }

    /// From a beacon, every field within its bounds. The shown name is the typed one until numbers are given.
    pub fn from_beacon(id: ParticipantId, sid: u64, beacon: &Beacon) -> Result<Self, BadBeacon> {
        let within = |holds: bool, field| if holds { Ok(()) } else { Err(BadBeacon(field)) };
        within(beacon.name.len() <= NAME_BYTES_MAX, "name")?;
        within(beacon.camera_text.len() <= CAMERA_TEXT_BYTES_MAX, "camera text")?;
        within(beacon.slot as usize <= SLOTS_MAX, "slot")?;
        within(beacon.suffix as usize <= PARTICIPANTS_MAX, "suffix")?;
        within(beacon.streams.len() <= STREAMS_PER_SLOT_MAX, "number of streams")?;
        within(beacon.answers.len() <= JOIN_ANSWERS_MAX, "number of answers")?;
        let (favoured, rest) = beacon.favoured.as_chunks();
        within(favoured.len() <= FAVOURED_MAX && rest.is_empty(), "list of the favoured")?;
        let port = u16::try_from(beacon.port).map_err(|_| BadBeacon("port"))?;
        within(port != 0, "port")?;
        let host = host_from_wire(beacon.address, &beacon.address6).ok_or(BadBeacon("address"))?;
        let typed_name = names::clean_name(&beacon.name, NAME_BYTES_MAX);
        Ok(Self {
            id,
            sid,
            name: typed_name.clone(),
            typed_name,
            suffix: beacon.suffix.checked_sub(1),
            joined: NtpTime(beacon.joined),
            address: SocketAddr::new(host, port),
            reach: Reach::from_wire(beacon.reach),
            direct: u16::try_from(beacon.direct).map_err(|_| BadBeacon("direct"))?,
            single: beacon.single,
            role: if beacon.role == 1 { Role::Observer } else { Role::Participant },
            slot: beacon.slot.checked_sub(1).map(|slot| slot as u8),
            microphone: match beacon.microphone {
                1 => Microphone::On,
                2 => Microphone::Muted,
                _ => Microphone::None,
            },
            camera: match beacon.camera {
                1 => Camera::On,
                2 => Camera::Failed(names::clean(&beacon.camera_text, CAMERA_TEXT_BYTES_MAX)),
                _ => Camera::Off,
            },
            attention: Attention::from_wire(beacon.attention),
            wireless: beacon.wireless,
            favoured: favoured.iter().copied().map(ParticipantId).collect(),
            streams: streams_from(&beacon.streams)?,
        })
    }

    /// The beacon that tells of this person; `answers` = nonces of Joins.
    pub fn to_beacon(&self, answers: &[u64]) -> Beacon {
        let (address, address6) = host_to_wire(self.address.ip());
        Beacon {
            name: self.typed_name.clone(),
            joined: self.joined.0,
            role: u32::from(self.role == Role::Observer),
            slot: self.slot.map_or(0, |slot| u32::from(slot) + 1),
            microphone: match self.microphone {
                Microphone::None => 0,
                Microphone::On => 1,
                Microphone::Muted => 2,
            },
            camera: match self.camera {
                Camera::Off => 0,
                Camera::On => 1,
                Camera::Failed(_) => 2,
            },
            camera_text: match &self.camera {
                Camera::Failed(text) => names::clean(text, CAMERA_TEXT_BYTES_MAX),
                _ => String::new(),
            },
            streams: self.streams.iter().map(|s| s.to_wire()).collect(),
            address,
            port: u32::from(self.address.port()),
            suffix: self.suffix.map_or(0, |number| number + 1),
            answers: answers.to_vec(),
            chat: None,
            attention: self.attention.to_wire(),
            wireless: self.wireless,
            favoured: self.favoured.iter().flat_map(|id| id.0).collect(),
            door: 0,
            address6,
            reach: self.reach.to_wire(),
            direct: self.direct.into(),
            single: self.single,
            since: 0,
        }
    }

    /// Whether anything but stream positions differs: what is worth telling.
    pub fn differs(&self, other: &Person) -> bool {
        self.streams.iter().map(|s| s.active).ne(other.streams.iter().map(|s| s.active)) || self.differs_in_view(other)
    }

    /// Whether anything differs that people should know: not where streams are, nor whether somebody wants them.
    pub fn differs_in_view(&self, other: &Person) -> bool {
        let streams_differ = self.streams.len() != other.streams.len()
            || !self.streams.iter().zip(&other.streams).all(|(a, b)| a.is_same(b));
        streams_differ
            || self.sid != other.sid
            || self.name != other.name
            || self.address != other.address
            || (self.reach, self.direct, self.single) != (other.reach, other.direct, other.single)
            || self.role != other.role
            || self.slot != other.slot
            || self.microphone != other.microphone
            || self.camera != other.camera
            || self.attention != other.attention
            || self.favoured != other.favoured
    }
}

impl StreamInfo {
    /// Somebody's voice, as it is when it begins.
    pub fn voice(ssrc: u32) -> Self {
        let repair = RepairInfo::default();
        Self { kind: StreamKind::Audio, ssrc, width: 0, height: 0, fps_milli: 0, position: 0, active: false, repair }
    }

    /// Whether nothing differs but positions, and whether somebody wants it.
    fn is_same(&self, other: &Self) -> bool {
        let repair = RepairInfo { position: other.repair.position, ..self.repair };
        Self { position: other.position, active: other.active, repair, ..*self } == *other
    }

    fn to_wire(self) -> Stream {
        let Self { kind, ssrc, width, height, fps_milli, position, active, repair } = self;
        let RepairInfo { ssrc: repair_ssrc, position: repair_position } = repair;
        Stream { kind: kind.to_wire(), ssrc, width, height, fps_milli, position, active, repair_ssrc, repair_position }
    }
}

/// The streams of a beacon; kinds of the future are left out, one kind may stand once.
fn streams_from(wire: &[Stream]) -> Result<Vec<StreamInfo>, BadBeacon> {
    let mut streams: Vec<StreamInfo> = Vec::with_capacity(wire.len());
    for s in wire {
        let Some(kind) = StreamKind::from_wire(s.kind) else {
            continue;
        };
        if streams.iter().any(|known| known.kind == kind) {
            return Err(BadBeacon("stream given twice"));
        }
        if s.width as usize > JPEG_SIDE_PIXELS_MAX || s.height as usize > JPEG_SIDE_PIXELS_MAX {
            return Err(BadBeacon("picture size"));
        }
        if (s.position | s.repair_position) >> 48 != 0 {
            return Err(BadBeacon("position"));
        }
        let Stream { ssrc, width, height, fps_milli, position, active, .. } = *s;
        let repair = RepairInfo { ssrc: s.repair_ssrc, position: s.repair_position };
        streams.push(StreamInfo { kind, ssrc, width, height, fps_milli, position, active, repair });
    }
    Ok(streams)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::wire::Layer;

    /// A publisher with two streams.
    pub fn ada() -> Person {
        let audio = StreamInfo {
            kind: StreamKind::Audio,
            ssrc: 5,
            width: 0,
            height: 0,
            fps_milli: 0,
            position: 70_000,
            active: true,
            repair: RepairInfo::default(),
        };
        let video = StreamInfo {
            kind: StreamKind::Video(Layer::Full),
            ssrc: 6,
            width: 1_280,
            height: 720,
            fps_milli: 30_000,
            position: 9,
            active: false,
            repair: RepairInfo { ssrc: 7, position: 3 },
        };
        Person {
            id: ParticipantId([1; 16]),
            sid: 2,
            name: "Ada".into(),
            typed_name: "Ada".into(),
            suffix: Some(0),
            joined: NtpTime(3),
            address: "10.77.0.1:4000".parse().unwrap(),
            reach: Reach::Single,
            direct: 4_001,
            single: true,
            role: Role::Participant,
            slot: Some(123),
            microphone: Microphone::Muted,
            camera: Camera::Failed("unplugged".into()),
            attention: Attention { hand: true, away: false, priority: true },
            wireless: true,
            favoured: vec![ParticipantId([4; 16]), ParticipantId([5; 16])],
            streams: vec![audio, video],
        }
    }

    #[test]
    fn a_person_round_trips_through_a_beacon() {
        let ada = ada();
        assert_eq!(Person::from_beacon(ada.id, ada.sid, &ada.to_beacon(&[])), Ok(ada.clone()));
        let viewer =
            Person { slot: None, suffix: None, role: Role::Observer, streams: vec![], camera: Camera::On, ..ada };
        let viewer = Person { attention: Attention { away: true, ..Attention::default() }, ..viewer };
        let read = Person::from_beacon(viewer.id, viewer.sid, &viewer.to_beacon(&[1])).unwrap();
        assert_eq!(read, viewer);
        assert!(!read.publishes());
        assert_eq!(read.cname(), "010101010101@10.77.0.1");
    }

    #[test]
    fn beacons_are_checked_at_the_edges() {
        type Change = fn(&mut Beacon);
        let stream = Stream { kind: 2, ..Stream::default() };
        let rows: [(&str, Change, bool); 21] = [
            ("name of 64 bytes", |b| b.name = "x".repeat(64), true),
            ("name of 65 bytes", |b| b.name = "x".repeat(65), false),
            ("text of 128 bytes", |b| b.camera_text = "x".repeat(128), true),
            ("text of 129 bytes", |b| b.camera_text = "x".repeat(129), false),
            ("slot 123", |b| b.slot = 124, true),
            ("slot 124", |b| b.slot = 125, false),
            ("suffix 1023", |b| b.suffix = 1_024, true),
            ("suffix 1024", |b| b.suffix = 1_025, false),
            ("port 0", |b| b.port = 0, false),
            ("port 65536", |b| b.port = 65_536, false),
            ("2040 wide", |b| b.streams[1].width = 2_040, true),
            ("2041 wide", |b| b.streams[1].width = 2_041, false),
            ("2041 high", |b| b.streams[1].height = 2_041, false),
            ("position of 48 bits", |b| b.streams[0].position = (1 << 48) - 1, true),
            ("position of 49 bits", |b| b.streams[0].position = 1 << 48, false),
            ("audio twice", |b| b.streams[1].kind = 0, false),
            ("all answers", |b| b.answers = vec![0; JOIN_ANSWERS_MAX], true),
            ("one more", |b| b.answers = vec![0; JOIN_ANSWERS_MAX + 1], false),
            ("as many favoured as may be", |b| b.favoured = vec![0; 16 * FAVOURED_MAX], true),
            ("one favoured more", |b| b.favoured = vec![0; 16 * (FAVOURED_MAX + 1)], false),
            ("part of an id", |b| b.favoured = vec![0; 17], false),
        ];
        for (what, change, accepted) in rows {
            let mut beacon = ada().to_beacon(&[]);
            change(&mut beacon);
            assert_eq!(Person::from_beacon(ada().id, 2, &beacon).is_ok(), accepted, "{what}");
        }
        let mut many = ada().to_beacon(&[]);
        many.streams = (0..=STREAMS_PER_SLOT_MAX as u32).map(|n| Stream { kind: 90 + n, ..stream }).collect();
        assert!(Person::from_beacon(ada().id, 2, &many).is_err());
        many.streams.pop();
        assert_eq!(Person::from_beacon(ada().id, 2, &many).unwrap().streams, [], "kinds of the future are left out");
    }

    #[test]
    fn positions_alone_are_not_worth_telling() {
        let mut moved = ada();
        moved.streams[0].position += 50;
        assert!(!ada().differs(&moved));
        moved.streams[0].ssrc += 1;
        assert!(ada().differs(&moved));
        assert!(ada().differs(&Person { microphone: Microphone::On, ..ada() }));
    }
}

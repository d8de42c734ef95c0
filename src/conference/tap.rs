//! One person's streams for other programs: as plain RTP on the loopback, with what describes them, and their keys.
//!
//! ```text
//! person's beacon ─> wanted streams ─┬─ as before: nothing
//!                                    └─ other ones: the tap before ends, the next one goes on where it ended
//! ```
//! The first person of the name is tapped, and whoever else takes the name later only once that one has gone.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use super::director::Director;
use super::follow::wanted;
use super::people::Received;
use crate::device::net::{Interface, UdpSocket};
use crate::pipeline::tap::{Error, Last, Source, Tap};
use crate::protocol::keys::EpochKeys;
use crate::protocol::roster::{Person, StreamInfo};
use crate::protocol::srtp::{MASTER_BYTES, Unprotector};
use crate::wire::message::ParticipantId;
use crate::wire::sdp::{Description, Video};
use crate::wire::{Layer, StreamKind, rtp};

/// Ports a tap takes: RTP and RTCP of picture and voice.
pub const PORTS: u16 = 4;
/// Longest text of [`srtpdec_caps`].
const CAPS_BYTES_MAX: usize = 512;

/// What to tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Whom, by the name shown.
    pub name: String,
    /// Which quality of the picture.
    pub layer: Layer,
    /// The even port the picture goes to; the voice goes two above.
    pub port: u16,
}

/// What is tapped.
#[derive(Clone)]
pub struct Tapped {
    /// Describes what other programs find on the loopback.
    pub sdp: String,
    /// The streams as they are on the network.
    pub streams: Vec<TappedStream>,
}

/// A stream on the network, and what opens it.
#[derive(Clone)]
pub struct TappedStream {
    /// Picture or voice.
    pub kind: StreamKind,
    /// Its group and RTP port.
    pub group: SocketAddr,
    /// Its SSRC.
    pub ssrc: u32,
    /// SRTP master key (16 bytes) and salt (14); `None` in an open conference.
    pub master: Option<Zeroizing<[u8; MASTER_BYTES]>>,
    /// Roll-over counter as the sender told it last.
    told: u32,
    index: Arc<AtomicU64>,
}

impl TappedStream {
    /// Roll-over counter (RFC 3711 section 3.3.1), from the newest packet when there was one.
    pub fn rollovers(&self) -> u32 {
        self.told.max((self.index.load(Ordering::Relaxed) >> 16) as u32)
    }
}

/// The RTP payload type of a stream's packets.
pub fn payload_type(kind: StreamKind) -> u8 {
    if kind == StreamKind::Audio { rtp::PT_OPUS } else { rtp::PT_JPEG }
}

/// Bytes as hexadecimal digits, wiped like what they stand for.
pub fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut digits = Zeroizing::new(String::with_capacity(2 * bytes.len()));
    let both = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.extend(both.filter_map(|digit| char::from_digit(digit.into(), 16)));
    digits
}

/// What a protected stream is to GStreamer's srtpdec: the capabilities of its sink, with the key and the roll-over
/// counter, which whoever comes late cannot see in the packets (RFC 3711 section 3.3.1).
pub fn srtpdec_caps(kind: StreamKind, ssrc: u32, roc: u32, master: &[u8; MASTER_BYTES]) -> Zeroizing<String> {
    let (media, rate, encoding) = match kind {
        StreamKind::Audio => ("audio", 48_000, "OPUS"),
        StreamKind::Video(_) => ("video", 90_000, "JPEG"),
    };
    // As large as it may become: a text that grows leaves copies of what it held.
    let mut caps = Zeroizing::new(String::with_capacity(CAPS_BYTES_MAX));
    // Writing to a string cannot fail.
    let _ = write!(
        caps,
        "application/x-srtp,media=(string){media},payload=(int){},clock-rate=(int){rate},\
         encoding-name=(string){encoding},ssrc=(uint){ssrc},srtp-key=(buffer){},roc=(uint){roc},\
         srtp-cipher=(string)aes-128-icm,srtp-auth=(string)hmac-sha1-80,\
         srtcp-cipher=(string)aes-128-icm,srtcp-auth=(string)hmac-sha1-80",
        payload_type(kind),
        *hex(&master[..])
    );
    caps
}

/// The taps that run.
#[derive(Default)]
pub struct Taps {
    person: Option<ParticipantId>,
    out: Option<Arc<UdpSocket>>,
    video: Line,
    voice: Line,
}

/// One stream's, through all the streams that follow one another.
#[derive(Default)]
struct Line {
    running: Option<(Received, Tap, TappedStream)>,
    last: Option<Last>,
}

impl Line {
    fn received(&self) -> Option<&Received> {
        self.running.as_ref().map(|(received, ..)| received)
    }

    fn end(&mut self) {
        if let Some((_, tap, _)) = self.running.take() {
            self.last = tap.end().or(self.last);
        }
    }
}

impl Taps {
    /// Ends what is tapped of somebody who has gone.
    pub(super) fn gone(&mut self, id: &ParticipantId) {
        if self.person == Some(*id) {
            self.person = None;
            self.video.end();
            self.voice.end();
        }
    }

    fn line(&mut self, kind: StreamKind) -> &mut Line {
        if kind == StreamKind::Audio { &mut self.voice } else { &mut self.video }
    }

    /// One socket for all that is sent, on the loopback.
    fn out(&mut self) -> Result<Arc<UdpSocket>, Error> {
        if let Some(out) = &self.out {
            return Ok(Arc::clone(out));
        }
        let loopback = Interface::choose(Some(&Ipv4Addr::LOCALHOST.to_string()))?;
        let out = Arc::new(UdpSocket::unicast(&loopback, 0)?);
        self.out = Some(Arc::clone(&out));
        Ok(out)
    }
}

impl Director {
    /// Taps somebody's streams as they are now, when it is they who are to be tapped.
    pub(super) fn tap(&mut self, id: &ParticipantId) {
        let Some(wish) = self.config.tap.clone() else { return };
        let shared = Arc::clone(&self.shared);
        let (person, kinds) = {
            let state = &mut *shared.state();
            let Some(other) = state.people.present(id) else { return };
            let meant = match self.follows.taps.person {
                Some(tapped) => tapped == *id,
                None => other.person.name == wish.name,
            };
            if !meant {
                return;
            }
            let kinds = [StreamKind::Video(wish.layer), StreamKind::Audio];
            (other.person.clone(), kinds.map(|kind| (kind, wanted(other, &state.plan, kind))))
        };
        self.follows.taps.person = Some(*id);
        for (kind, stream) in kinds {
            let line = self.follows.taps.line(kind);
            if line.received() == stream.as_ref().map(|(received, _)| received) {
                continue;
            }
            line.end();
            let Some((received, info)) = stream else { continue };
            if let Err(error) = self.tap_stream(&wish, &person, received, &info) {
                tracing::warn!(%error, "cannot tap a stream; trying again");
                let now = self.now();
                self.again_after(now);
            }
        }
        let taps = &self.follows.taps;
        let running = |line: &Line| line.running.as_ref().map(|(.., stream)| stream.clone());
        let streams: Vec<TappedStream> = [&taps.video, &taps.voice].into_iter().filter_map(running).collect();
        let mut state = shared.state();
        // While nothing is sent the description stays: the next stream comes to the same ports.
        if !streams.is_empty() {
            let sdp = describe(&state.title, &wish, &person, &streams);
            state.tapped = Some(Tapped { sdp, streams });
        }
    }

    fn tap_stream(&mut self, wish: &Wish, person: &Person, received: Received, info: &StreamInfo) -> Result<(), Error> {
        let master = self.keys.as_ref().map(|keys: &EpochKeys| keys.srtp(&person.id, person.sid, info.ssrc));
        let told = (info.position >> 16) as u32;
        let source = Source {
            rtp: received.address,
            source: received.source,
            ssrc: info.ssrc,
            rate: if info.kind == StreamKind::Audio { 48_000 } else { 90_000 },
            opener: master.as_ref().map(|master| Unprotector::new(master, info.ssrc, told)),
            cname: person.cname(),
            name: person.name.clone(),
        };
        let out = self.follows.taps.out()?;
        let clock = self.shared.clock.clone();
        let interface = self.receiver.interface().clone();
        let line = self.follows.taps.line(info.kind);
        let tap = Tap::start(source, &interface, out, local(wish, info.kind), line.last, &clock)?;
        let (group, index) = (received.address, tap.index());
        let stream = TappedStream { kind: info.kind, group, ssrc: info.ssrc, master, told, index };
        line.running = Some((received, tap, stream));
        Ok(())
    }
}

fn local(wish: &Wish, kind: StreamKind) -> SocketAddr {
    let above = if kind == StreamKind::Audio { 2 } else { 0 };
    SocketAddr::from((Ipv4Addr::LOCALHOST, wish.port.saturating_add(above)))
}

fn describe(title: &str, wish: &Wish, person: &Person, streams: &[TappedStream]) -> String {
    let has = |kind| streams.iter().any(|s| s.kind == kind);
    let kind = StreamKind::Video(wish.layer);
    let fps_milli = person.stream(kind).map_or(0, |s| s.fps_milli);
    let description = Description {
        cname: &person.cname(),
        session_id: person.sid,
        version: 1,
        origin: Ipv4Addr::LOCALHOST.into(),
        title,
        name: &person.name,
        ttl: 0,
        video: has(kind).then(|| Video { address: local(wish, kind), fps_milli }),
        audio: has(StreamKind::Audio).then(|| local(wish, StreamKind::Audio)),
    };
    description.to_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_tell_gstreamer_all_it_needs_and_fit() {
        let master: [u8; MASTER_BYTES] = std::array::from_fn(|n| n as u8 * 8);
        let key = "0008101820283038404850586068707880889098a0a8b0b8c0c8d0d8e0e8";
        assert_eq!(*hex(&master), key);
        let picture = srtpdec_caps(StreamKind::Video(Layer::Full), 7, 1, &master);
        let beginning = "application/x-srtp,media=(string)video,payload=(int)26,clock-rate=(int)90000,\
            encoding-name=(string)JPEG,ssrc=(uint)7,srtp-key=(buffer)000810";
        assert!(picture.starts_with(beginning) && picture.contains(",roc=(uint)1,"), "{}", *picture);
        let voice = srtpdec_caps(StreamKind::Audio, u32::MAX, u32::MAX, &master);
        assert!(voice.contains("payload=(int)111,clock-rate=(int)48000,encoding-name=(string)OPUS"), "{}", *voice);
        assert!(voice.len() <= CAPS_BYTES_MAX, "{} bytes", voice.len());
    }
}

//! The session description (SDP, RFC 8866) of one participant: what other programs need to play the streams.
//!
//! ```text
//! v=0
//! o=<cname> <session id> <version> IN IP4 <address of the sender>
//! s=<conference> / <name>
//! t=0 0
//! a=recvonly
//! m=video <port> RTP/AVP 26            RFC 2435: payload type 26, 90 kHz
//! c=IN IP4 <group>/<ttl>
//! a=rtpmap:26 JPEG/90000
//! a=framerate:30
//! m=audio <port> RTP/AVP 111           RFC 7587: always opus/48000/2, whatever the channels
//! c=IN IP4 <group>/<ttl>
//! a=rtpmap:111 opus/48000/2
//! a=fmtp:111 sprop-stereo=0;useinbandfec=1
//! a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
//! a=maxptime:20
//! ```
//! Over IPv6 the lines say IP6, and groups have no TTL. Played by FFmpeg and by GStreamer's sdpdemux. RTCP is on the port above each. Text from people loses its control
//! characters, so that no name adds a line.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use crate::limits::SDP_BYTES_MAX;

/// A picture stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Video {
    /// Group and RTP port.
    pub address: SocketAddr,
    /// Pictures in 1,000 seconds; 0 = unknown.
    pub fps_milli: u32,
}

/// What a description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description<'a> {
    /// The CNAME of the participant's RTCP packets.
    pub cname: &'a str,
    /// Names this description among those of the same cname.
    pub session_id: u64,
    /// Greater whenever the description changed.
    pub version: u64,
    /// Address of the sender.
    pub origin: IpAddr,
    /// Title of the conference.
    pub title: &'a str,
    /// Name of the participant.
    pub name: &'a str,
    /// TTL of the media packets.
    pub ttl: u8,
    /// The picture in one layer.
    pub video: Option<Video>,
    /// Group and RTP port of the voice.
    pub audio: Option<SocketAddr>,
}

impl Description<'_> {
    /// The text, with the line ends of RFC 8866; at most [`SDP_BYTES_MAX`] bytes.
    pub fn to_text(&self) -> String {
        let mut s = String::with_capacity(512);
        s.push_str("v=0\r\n");
        s.push_str(&self.origin_line());
        let (title, name) = (text(self.title), text(self.name));
        let mut line = |l: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = s.write_fmt(l);
            s.push_str("\r\n");
        };
        line(format_args!("s={title} / {name}"));
        line(format_args!("t=0 0"));
        line(format_args!("a=recvonly"));
        if let Some(video) = self.video {
            line(format_args!("m=video {} RTP/AVP 26", video.address.port()));
            line(format_args!("c=IN {}", connection(video.address, self.ttl)));
            line(format_args!("a=rtpmap:26 JPEG/90000"));
            if video.fps_milli > 0 {
                line(format_args!("a=framerate:{}", f64::from(video.fps_milli) / 1_000.0));
            }
        }
        if let Some(audio) = self.audio {
            line(format_args!("m=audio {} RTP/AVP 111", audio.port()));
            line(format_args!("c=IN {}", connection(audio, self.ttl)));
            line(format_args!("a=rtpmap:111 opus/48000/2"));
            line(format_args!("a=fmtp:111 sprop-stereo=0;useinbandfec=1"));
            line(format_args!("a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level"));
            line(format_args!("a=maxptime:20"));
        }
        s
    }

    /// The `o=` line with its end: all that a SAP deletion carries (RFC 2974 section 6).
    pub fn origin_line(&self) -> String {
        let cname = text(self.cname).replace(' ', "_");
        let cname = if cname.is_empty() { "-" } else { &cname };
        format!("o={cname} {} {} IN {} {}\r\n", self.session_id, self.version, family(self.origin), self.origin)
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}

/// A group of IPv4 has a TTL; one of IPv6 and a single address must have none (RFC 8866 section 5.7).
fn connection(address: SocketAddr, ttl: u8) -> String {
    let (family, host) = (family(address.ip()), address.ip());
    if host.is_multicast() && host.is_ipv4() { format!("{family} {host}/{ttl}") } else { format!("{family} {host}") }
}

/// Longest text taken over from a person or a title: three of them and the fixed lines stay below the bound.
const TEXT_BYTES_MAX: usize = 1_024;
const _: () = assert!(3 * TEXT_BYTES_MAX + 600 <= SDP_BYTES_MAX);

/// `from` without control characters and line separators, cut to [`TEXT_BYTES_MAX`].
fn text(from: &str) -> String {
    let mut kept = String::new();
    for c in from.chars().filter(|c| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')) {
        if kept.len() + c.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Description<'static> {
        Description {
            cname: "ada@10.77.0.1",
            session_id: 17,
            version: 2,
            origin: [10, 77, 0, 1].into(),
            title: "Standup",
            name: "Ada (1)",
            ttl: 16,
            video: Some(Video { address: "239.255.4.18:20550".parse().unwrap(), fps_milli: 29_970 }),
            audio: Some("239.255.4.2:20544".parse().unwrap()),
        }
    }

    #[test]
    fn the_text_is_that_of_the_module_description() {
        let expected = "v=0\r\no=ada@10.77.0.1 17 2 IN IP4 10.77.0.1\r\ns=Standup / Ada (1)\r\nt=0 0\r\na=recvonly\r\n\
            m=video 20550 RTP/AVP 26\r\nc=IN IP4 239.255.4.18/16\r\na=rtpmap:26 JPEG/90000\r\na=framerate:29.97\r\n\
            m=audio 20544 RTP/AVP 111\r\nc=IN IP4 239.255.4.2/16\r\na=rtpmap:111 opus/48000/2\r\n\
            a=fmtp:111 sprop-stereo=0;useinbandfec=1\r\n\
            a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=maxptime:20\r\n";
        assert_eq!(ada().to_text(), expected);
        let whole = Description { video: ada().video.map(|v| Video { fps_milli: 30_000, ..v }), ..ada() };
        assert!(whole.to_text().contains("a=framerate:30\r\n"));
    }

    #[test]
    fn a_single_address_has_no_ttl() {
        let tapped = Description { audio: Some("127.0.0.1:5006".parse().unwrap()), video: None, ..ada() };
        assert!(tapped.to_text().contains("m=audio 5006 RTP/AVP 111\r\nc=IN IP4 127.0.0.1\r\n"));
    }

    #[test]
    fn streams_that_are_not_there_have_no_lines() {
        let silent = Description { audio: None, ..ada() }.to_text();
        assert!(silent.contains("m=video") && !silent.contains("m=audio"));
        let dark = Description { video: None, ..ada() }.to_text();
        assert!(dark.contains("m=audio") && !dark.contains("m=video") && !dark.contains("framerate"));
    }

    #[test]
    fn no_name_adds_a_line_or_breaks_the_bound() {
        let hostile = Description { name: "x\r\na=evil\u{2028}\0", cname: "a b\n", ..ada() }.to_text();
        assert!(hostile.contains("s=Standup / xa=evil\r\n"), "{hostile}");
        assert!(hostile.contains("o=a_b 17 2"));
        assert_eq!(hostile.lines().count(), ada().to_text().lines().count());
        assert!(Description { cname: "", ..ada() }.to_text().contains("o=- 17"));
        let long = "ü".repeat(5_000);
        let huge = Description { name: &long, title: &long, cname: &long, ..ada() };
        assert!(huge.to_text().len() <= SDP_BYTES_MAX);
    }
}

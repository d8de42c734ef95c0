//! The little RTCP a publisher sends beside each stream (RFC 3550 sections 6.4 to 6.6): sender report, name, goodbye.
//!
//! ```text
//! compound   | SR (or RR): times, counts | SDES: CNAME, NAME | BYE, when leaving |
//! packet     | V=2 P count | type | length in 32-bit words less one | SSRC | ...  |
//! ```
//! Receivers send none of it: a stranger's RTCP on a media port stops other players. Nothing here may trust a length it
//! read, nor stumble over items it does not know.

use crate::time::NtpTime;

/// Longest text of an SDES item; its length is one byte.
pub const SDES_TEXT_BYTES_MAX: usize = 255;

const VERSION: u8 = 2;
const PADDING_BIT: u8 = 0x20;
const TYPE_SR: u8 = 200;
const TYPE_RR: u8 = 201;
const TYPE_SDES: u8 = 202;
const TYPE_BYE: u8 = 203;
const ITEM_END: u8 = 0;
const ITEM_CNAME: u8 = 1;
const ITEM_NAME: u8 = 2;
/// SSRC, NTP time, RTP time, packets, bytes.
const SENDER_INFO_BYTES: usize = 24;
const REPORT_BLOCK_BYTES: usize = 24;

/// Why bytes are no RTCP compound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A packet ends before something it announces.
    #[error("RTCP packet of {actual} bytes is shorter than the {expected} it announces")]
    Truncated {
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        actual: usize,
    },
    /// Not RTCP version 2.
    #[error("RTCP version {0} instead of 2")]
    Version(u8),
    /// The first packet is neither a sender nor a receiver report (RFC 3550 appendix A.2).
    #[error("RTCP compound packet starts with type {0}")]
    First(u8),
    /// A padding count that is no positive multiple of four within the packet, or padding before the last packet.
    #[error("RTCP padding of {0} bytes")]
    Padding(u8),
}

/// A sender report (RFC 3550 section 6.4.1), without report blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderReport {
    /// The stream's source.
    pub ssrc: u32,
    /// The sender's wall clock at one moment.
    pub ntp: NtpTime,
    /// The stream's RTP time at the same moment.
    pub rtp_timestamp: u32,
    /// RTP packets sent so far, modulo 2^32.
    pub packets: u32,
    /// Payload bytes sent so far, modulo 2^32.
    pub bytes: u32,
}

/// What a compound packet tells that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report<'a> {
    /// A sender report.
    Sender(SenderReport),
    /// The name that is the same for all streams of a participant. Chunks without one, or with one that is no UTF-8, are
    /// not reported.
    Sdes {
        /// The stream's source.
        ssrc: u32,
        /// The canonical name.
        cname: &'a str,
    },
    /// The source has gone.
    Bye {
        /// The stream's source.
        ssrc: u32,
    },
}

/// Appends a sender report and the names: what is sent each few seconds. Texts longer than [`SDES_TEXT_BYTES_MAX`] are
/// cut.
pub fn write_sr_sdes(report: &SenderReport, cname: &str, name: &str, out: &mut Vec<u8>) {
    write_header(TYPE_SR, 0, 4 + SENDER_INFO_BYTES, out);
    out.extend_from_slice(&report.ssrc.to_be_bytes());
    out.extend_from_slice(&report.ntp.0.to_be_bytes());
    out.extend_from_slice(&report.rtp_timestamp.to_be_bytes());
    out.extend_from_slice(&report.packets.to_be_bytes());
    out.extend_from_slice(&report.bytes.to_be_bytes());
    write_sdes(report.ssrc, &[(ITEM_CNAME, cname), (ITEM_NAME, name)], out);
}

/// Appends an empty receiver report and the canonical name: the least that may be sent (RFC 3550 section 6.1).
pub fn write_empty_report(ssrc: u32, cname: &str, out: &mut Vec<u8>) {
    write_header(TYPE_RR, 0, 8, out);
    out.extend_from_slice(&ssrc.to_be_bytes());
    write_sdes(ssrc, &[(ITEM_CNAME, cname)], out);
}

/// Appends a goodbye with what has to stand before it.
pub fn write_bye(ssrc: u32, cname: &str, out: &mut Vec<u8>) {
    write_empty_report(ssrc, cname, out);
    write_header(TYPE_BYE, 1, 8, out);
    out.extend_from_slice(&ssrc.to_be_bytes());
}

fn write_sdes(ssrc: u32, items: &[(u8, &str)], out: &mut Vec<u8>) {
    let texts = items.iter().map(|&(kind, text)| (kind, cut(text)));
    let items_bytes: usize = texts.clone().map(|(_, text)| 2 + text.len()).sum();
    // The list ends with at least one zero and fills its last word with them.
    let chunk_bytes = 4 + (items_bytes + 1).next_multiple_of(4);
    write_header(TYPE_SDES, 1, 4 + chunk_bytes, out);
    let end = out.len() + chunk_bytes;
    out.extend_from_slice(&ssrc.to_be_bytes());
    for (kind, text) in texts {
        out.extend_from_slice(&[kind, text.len() as u8]);
        out.extend_from_slice(text.as_bytes());
    }
    out.resize(end, ITEM_END);
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(SDES_TEXT_BYTES_MAX)]
}

/// The first word of a packet of `bytes` in all, which must be a multiple of four.
fn write_header(kind: u8, count: u8, bytes: usize, out: &mut Vec<u8>) {
    debug_assert!(bytes.is_multiple_of(4));
    out.extend_from_slice(&[VERSION << 6 | count, kind]);
    out.extend_from_slice(&((bytes / 4 - 1) as u16).to_be_bytes());
}

/// Checks a whole compound packet, then reports what it tells, in order. Packets and items of other kinds are skipped.
///
/// # Errors
/// See [`Error`]; nothing has been reported then.
pub fn parse<'a>(bytes: &'a [u8], mut report: impl FnMut(Report<'a>)) -> Result<(), Error> {
    let mut rest = bytes;
    let mut first = true;
    while first || !rest.is_empty() {
        let (packet, after) = split(rest)?;
        if first && !matches!(packet.kind, TYPE_SR | TYPE_RR) {
            return Err(Error::First(packet.kind));
        }
        packet.check(after.is_empty())?;
        (rest, first) = (after, false);
    }
    rest = bytes;
    while let Ok((packet, after)) = split(rest) {
        packet.reports(&mut report);
        rest = after;
    }
    Ok(())
}

/// One packet of a compound.
struct Packet<'a> {
    kind: u8,
    count: usize,
    padded: bool,
    /// What stands behind the first word, padding included.
    body: &'a [u8],
}

fn split(bytes: &[u8]) -> Result<(Packet<'_>, &[u8]), Error> {
    let truncated = |expected| Error::Truncated { expected, actual: bytes.len() };
    let &[first, kind, l0, l1] = bytes.first_chunk().ok_or(truncated(4))?;
    if first >> 6 != VERSION {
        return Err(Error::Version(first >> 6));
    }
    let length = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
    let (packet, after) = bytes.split_at_checked(length).ok_or(truncated(length))?;
    let packet =
        Packet { kind, count: usize::from(first & 0x1f), padded: first & PADDING_BIT != 0, body: &packet[4..] };
    Ok((packet, after))
}

impl<'a> Packet<'a> {
    fn check(&self, last: bool) -> Result<(), Error> {
        if self.padded {
            let padding = self.body.last().copied().unwrap_or(0);
            let fits = padding > 0 && padding.is_multiple_of(4) && usize::from(padding) <= self.body.len();
            if !fits || !last {
                return Err(Error::Padding(padding));
            }
        }
        let expected = match self.kind {
            TYPE_SR => SENDER_INFO_BYTES + REPORT_BLOCK_BYTES * self.count,
            TYPE_RR => 4 + REPORT_BLOCK_BYTES * self.count,
            TYPE_BYE => 4 * self.count,
            // Chunks are walked within their bounds when they are read.
            _ => 0,
        };
        let actual = self.unpadded().len();
        if actual < expected { Err(Error::Truncated { expected: 4 + expected, actual: 4 + actual }) } else { Ok(()) }
    }

    fn unpadded(&self) -> &'a [u8] {
        let padding = if self.padded { self.body.last().copied().unwrap_or(0) } else { 0 };
        &self.body[..self.body.len().saturating_sub(padding.into())]
    }

    fn reports(&self, report: &mut impl FnMut(Report<'a>)) {
        let body = self.unpadded();
        match self.kind {
            TYPE_SR => {
                if let Some(words) = body.first_chunk::<SENDER_INFO_BYTES>() {
                    report(Report::Sender(sender_report(words)));
                }
            }
            TYPE_SDES => sdes_reports(body, self.count, report),
            TYPE_BYE => {
                for ssrc in body.as_chunks::<4>().0.iter().take(self.count) {
                    report(Report::Bye { ssrc: u32::from_be_bytes(*ssrc) });
                }
            }
            _ => {}
        }
    }
}

fn sender_report(words: &[u8; SENDER_INFO_BYTES]) -> SenderReport {
    let word = |at: usize| u32::from_be_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
    SenderReport {
        ssrc: word(0),
        ntp: NtpTime(u64::from(word(4)) << 32 | u64::from(word(8))),
        rtp_timestamp: word(12),
        packets: word(16),
        bytes: word(20),
    }
}

/// Walks the chunks (RFC 3550 section 6.5); stops at the first that leaves its bounds.
fn sdes_reports<'a>(mut body: &'a [u8], chunks: usize, report: &mut impl FnMut(Report<'a>)) {
    for _ in 0..chunks {
        let Some((ssrc, mut items)) = body.split_first_chunk::<4>() else {
            return;
        };
        let mut cname = None;
        loop {
            match *items {
                [] => return,
                [ITEM_END, ..] => break,
                [_] => return,
                [kind, length, ref after @ ..] => {
                    let Some((text, after)) = after.split_at_checked(length.into()) else {
                        return;
                    };
                    if kind == ITEM_CNAME && cname.is_none() {
                        cname = std::str::from_utf8(text).ok();
                    }
                    items = after;
                }
            }
        }
        if let Some(cname) = cname {
            report(Report::Sdes { ssrc: u32::from_be_bytes(*ssrc), cname });
        }
        // The next chunk starts at the next whole word behind the end item.
        let used = (body.len() - items.len() + 1).next_multiple_of(4);
        body = body.get(used..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPORT: SenderReport = SenderReport {
        ssrc: 0x0102_0304,
        ntp: NtpTime(0x1112_1314_1516_1718),
        rtp_timestamp: 0x2122_2324,
        packets: 0x3132_3334,
        bytes: 0x4142_4344,
    };

    fn all(bytes: &[u8]) -> Result<Vec<Report<'_>>, Error> {
        let mut reports = Vec::new();
        parse(bytes, |r| reports.push(r)).map(|()| reports)
    }

    /// An empty receiver report, which may start a compound, and `rest`.
    fn after_rr(rest: &[u8]) -> Vec<u8> {
        [&[0x80, TYPE_RR, 0, 1, 0, 0, 0, 9], rest].concat()
    }

    #[track_caller]
    fn check(rest: &[u8], expected: Result<&[Report<'_>], Error>) {
        assert_eq!(all(&after_rr(rest)).as_deref(), expected.as_ref().map(|r| *r), "{rest:?}");
    }

    #[test]
    fn a_sender_report_with_names_is_laid_out_as_in_rfc_3550() {
        let mut out = vec![7];
        write_sr_sdes(&REPORT, "ab@c", "Ada", &mut out);
        #[rustfmt::skip]
        let expected = [
            7,
            0x80, 200, 0, 6, 1, 2, 3, 4, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
            0x21, 0x22, 0x23, 0x24, 0x31, 0x32, 0x33, 0x34, 0x41, 0x42, 0x43, 0x44,
            0x81, 202, 0, 4, 1, 2, 3, 4, 1, 4, b'a', b'b', b'@', b'c', 2, 3, b'A', b'd', b'a', 0,
        ];
        assert_eq!(out, expected);
        assert_eq!(all(&out[1..]), Ok(vec![Report::Sender(REPORT), Report::Sdes { ssrc: REPORT.ssrc, cname: "ab@c" }]));
    }

    #[test]
    fn names_end_with_at_least_one_zero_and_on_a_whole_word() {
        for (length, bytes) in [(0, 4 + 4 + 4), (1, 4 + 4 + 4), (2, 4 + 4 + 8), (5, 4 + 4 + 8), (6, 4 + 4 + 12)] {
            let mut out = Vec::new();
            write_bye(9, &"x".repeat(length), &mut out);
            assert_eq!(out.len(), 8 + bytes + 8, "a name of {length} bytes");
            let cname = "x".repeat(length);
            assert_eq!(all(&out), Ok(vec![Report::Sdes { ssrc: 9, cname: &cname }, Report::Bye { ssrc: 9 }]));
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let mut out = Vec::new();
        write_sr_sdes(&REPORT, &"é".repeat(200), "", &mut out);
        assert_eq!(all(&out).expect("own packet")[1], Report::Sdes { ssrc: REPORT.ssrc, cname: &"é".repeat(127) });
    }

    #[test]
    fn a_malformed_private_item_harms_nothing() {
        // PRIV (RFC 3550 section 6.5.8) is a prefix with its length, then a value.
        let cname = Report::Sdes { ssrc: 5, cname: "a" };
        // The prefix is longer than the item; then there is no room for the prefix's length.
        check(&[0x81, 202, 0, 3, 0, 0, 0, 5, 8, 1, 200, 1, 1, b'a', 0, 0], Ok(&[cname]));
        check(&[0x81, 202, 0, 3, 0, 0, 0, 5, 8, 0, 1, 1, b'a', 0, 0, 0], Ok(&[cname]));
        // The item is longer than the chunk, or the chunk ends with its type.
        check(&[0x81, 202, 0, 2, 0, 0, 0, 5, 8, 200, 1, 1], Ok(&[]));
        check(&[0x81, 202, 0, 2, 0, 0, 0, 5, 8, 1, 0, 8], Ok(&[]));
    }

    #[test]
    fn chunks_are_walked_within_their_bounds() {
        let cname = |ssrc| Report::Sdes { ssrc, cname: "a" };
        check(&[0x82, 202, 0, 4, 0, 0, 0, 5, 1, 1, b'a', 0, 0, 0, 0, 6, 1, 1, b'a', 0], Ok(&[cname(5), cname(6)]));
        check(&[0x83, 202, 0, 2, 0, 0, 0, 5, 1, 1, b'a', 0], Ok(&[cname(5)]));
        check(&[0x81, 202, 0, 2, 0, 0, 0, 5, 1, 2, b'a', b'b'], Ok(&[]));
        check(&[0x81, 202, 0, 2, 0, 0, 0, 5, 1, 1, 0xff, 0], Ok(&[]));
        check(&[0x81, 202, 0, 2, 0, 0, 0, 5, 0, 0, 0, 1], Ok(&[]));
        check(&[0x81, 202, 0, 0], Ok(&[]));
    }

    #[test]
    fn every_length_is_checked_before_anything_is_reported() {
        let truncated = |expected, actual| Err(Error::Truncated { expected, actual });
        assert_eq!(all(&[]), Err(Error::Truncated { expected: 4, actual: 0 }));
        check(&[0x81, 203, 0], truncated(4, 3));
        check(&[0x81, 203, 0, 1, 0, 0, 0], truncated(8, 7));
        check(&[0x82, 203, 0, 1, 0, 0, 0, 1], truncated(12, 8));
        check(&[0x82, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], Ok(&[Report::Bye { ssrc: 1 }, Report::Bye { ssrc: 2 }]));
        check(&[0x80, 203, 0, 0], Ok(&[]));
        check(&[0x40, 203, 0, 0], Err(Error::Version(1)));
        check(&[&[0x80, 200, 0, 5][..], &[0; 20]].concat(), truncated(28, 24));
        check(&[&[0x81, 200, 0, 6][..], &[0; 24]].concat(), truncated(52, 28));
        check(&[0x80, 204, 0, 1, b'n', b'a', b'm', b'e'], Ok(&[]));
        assert_eq!(all(&[0x80, 203, 0, 0]), Err(Error::First(203)));
        let bye_then_garbage = after_rr(&[0x81, 203, 0, 1, 0, 0, 0, 1, 0x81]);
        let mut reports = 0;
        assert!(parse(&bye_then_garbage, |_| reports += 1).is_err());
        assert_eq!(reports, 0);
    }

    #[test]
    fn padding_stands_only_at_the_end() {
        check(&[0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4], Ok(&[Report::Bye { ssrc: 1 }]));
        check(&[0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0], Err(Error::Padding(0)));
        check(&[0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3], Err(Error::Padding(3)));
        check(&[0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 12], Err(Error::Padding(12)));
        check(&[0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 8], Err(Error::Truncated { expected: 8, actual: 4 }));
        check(&[0xa0, 203, 0, 0], Err(Error::Padding(0)));
        check(&[0xa0, 203, 0, 1, 0, 0, 0, 4, 0x80, 203, 0, 0], Err(Error::Padding(4)));
    }

    proptest! {
        #[test]
        fn parsing_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&bytes);
        }

        #[test]
        fn parsing_what_looks_like_rtcp_never_panics(
            packets in proptest::collection::vec(
                (0x80u8..=0xbf, 200u8..=204, proptest::collection::vec(any::<u8>(), 0..24)), 1..5)
        ) {
            let mut bytes = after_rr(&[]);
            for (first, kind, mut body) in packets {
                body.resize(body.len().next_multiple_of(4), 0);
                bytes.extend_from_slice(&[first, kind, 0, (body.len() / 4) as u8]);
                bytes.extend_from_slice(&body);
            }
            let _ = all(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(
            ssrc: u32, ntp: u64, rtp_timestamp: u32, packets: u32, bytes: u32, cname in ".{0,60}", name in ".{0,60}"
        ) {
            let report = SenderReport { ssrc, ntp: NtpTime(ntp), rtp_timestamp, packets, bytes };
            let mut out = Vec::new();
            write_sr_sdes(&report, &cname, &name, &mut out);
            let expected = vec![Report::Sender(report), Report::Sdes { ssrc, cname: &cname }];
            prop_assert_eq!(all(&out), Ok(expected));
        }
    }
}

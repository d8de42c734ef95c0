//! Ogg Opus (RFC 7845): a voice as a file that every player opens; written and read packet by packet.
//!
//! ```text
//! page 1: OpusHead   page 2: OpusTags   pages of half a second of packets, each told by the samples up to its end
//! ```
//! What is read may come piece by piece, and is hostile: a page is looked at once it is whole, only one stream of those a
//! file may hold is followed, and no packet is put together of more than [`OGG_PACKET_BYTES_MAX`]. The reader never waits.

use ogg::reading::{BasePacketReader, OggReadError, PageParser};
use ogg::writing::{PacketWriteEndInfo, PacketWriter};

use crate::limits::OGG_PACKET_BYTES_MAX;

/// Packets of a page: half a second of 20 ms packets, so that the beginning can be played before the end is there.
const PAGE_PACKETS: u32 = 25;
/// Bytes of a page's header without its table of segments (RFC 3533 section 6).
const PAGE_HEADER_BYTES: usize = 27;
/// Where in it the stream's number stands.
const SERIAL_AT: usize = 14;
/// Bytes of the head of a stream of one or two channels (RFC 7845 section 5.1).
const HEAD_BYTES: usize = 19;

/// Bytes that are no voice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No Ogg, or damaged.
    #[error("it is no Ogg file, or damaged: {0}")]
    Ogg(#[from] OggReadError),
    /// Ogg, but what it holds cannot be played; the words say why.
    #[error("{0}")]
    Unplayable(&'static str),
    /// Could not be put together.
    #[error("cannot write Ogg: {0}")]
    Write(#[from] std::io::Error),
}

/// Puts Opus packets of one channel into a file.
pub struct Writer {
    pages: PacketWriter<'static, Vec<u8>>,
    serial: u32,
    pre_skip: u16,
    /// Samples up to the end of `held`, those to be skipped among them.
    granule: u64,
    /// The last packet is written as such, so each waits for the next.
    held: Option<Vec<u8>>,
    on_page: u32,
    bytes: usize,
}

impl Writer {
    /// Begins a file. `pre_skip`: samples at 48 kHz that the decoder is to throw away first; `serial` tells the stream
    /// from others (random).
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn new(serial: u32, pre_skip: u16) -> Result<Self, Error> {
        let mut pages = PacketWriter::new(Vec::new());
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend(b"OpusHead");
        head.extend([1, 1]);
        head.extend(pre_skip.to_le_bytes());
        head.extend(super::opus::RATE.to_le_bytes());
        head.extend(0i16.to_le_bytes());
        head.push(0);
        let vendor = concat!("roundtable ", env!("CARGO_PKG_VERSION"));
        let mut tags = b"OpusTags".to_vec();
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor.as_bytes());
        tags.extend(0u32.to_le_bytes());
        pages.write_packet(head, serial, PacketWriteEndInfo::EndPage, 0)?;
        pages.write_packet(tags, serial, PacketWriteEndInfo::EndPage, 0)?;
        let bytes = pages.inner().len();
        Ok(Self { pages, serial, pre_skip, granule: 0, held: None, on_page: 0, bytes })
    }

    /// Appends a packet of `samples` at 48 kHz.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn packet(&mut self, packet: Vec<u8>, samples: usize) -> Result<(), Error> {
        // Segments of 255 bytes, one byte each; and each page's header, counted with its first packet.
        self.bytes += packet.len() + packet.len() / 255 + 1;
        if let Some(held) = self.held.replace(packet) {
            self.on_page += 1;
            let ends = self.on_page >= PAGE_PACKETS;
            let end = if ends { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
            self.pages.write_packet(held, self.serial, end, self.granule)?;
            if ends {
                self.on_page = 0;
            }
        }
        if self.on_page == 0 {
            self.bytes += PAGE_HEADER_BYTES;
        }
        self.granule += samples as u64;
        Ok(())
    }

    /// Bytes of the file, were it finished now; never less.
    pub fn bytes(&self) -> usize {
        self.bytes + PAGE_HEADER_BYTES
    }

    /// Samples that packets hold so far beyond those to be skipped.
    pub fn samples(&self) -> u64 {
        self.granule.saturating_sub(self.pre_skip.into())
    }

    /// Ends the file: of what the packets hold `samples` are to be heard (RFC 7845 section 4.4).
    ///
    /// # Errors
    /// [`Error::Write`]; [`Error::Unplayable`] when there was no packet.
    pub fn finish(mut self, samples: u64) -> Result<Vec<u8>, Error> {
        let last = self.held.take().ok_or(Error::Unplayable("there is nothing in it"))?;
        let end = (samples + u64::from(self.pre_skip)).min(self.granule);
        self.pages.write_packet(last, self.serial, PacketWriteEndInfo::EndStream, end)?;
        Ok(self.pages.into_inner())
    }
}

/// What a stream says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Samples at 48 kHz that are not to be heard.
    pub pre_skip: u16,
    /// How much louder it is to be played, in 1/256 dB.
    pub gain: i16,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let Some(rest) = bytes.strip_prefix(b"OpusHead").filter(|_| bytes.len() >= HEAD_BYTES) else {
            return Err(Error::Unplayable("it holds no Opus"));
        };
        let &[version, channels, p0, p1, _, _, _, _, g0, g1, family, ..] = rest else {
            return Err(Error::Unplayable("it holds no Opus"));
        };
        if version >> 4 != 0 || family != 0 || !(1..=2).contains(&channels) {
            return Err(Error::Unplayable("it holds Opus of a kind that is not played here"));
        }
        Ok(Self { pre_skip: u16::from_le_bytes([p0, p1]), gain: i16::from_le_bytes([g0, g1]) })
    }
}

/// A packet of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Opus.
    pub bytes: Vec<u8>,
    /// Of the last one: samples up to where the sound ends, those to be skipped among them.
    pub end: Option<u64>,
}

/// Takes Opus packets out of a file, as far as it is there.
pub struct Reader {
    pages: BasePacketReader,
    /// Not yet a whole page.
    bytes: Vec<u8>,
    serial: Option<u32>,
    head: Option<Head>,
    has_tags: bool,
    /// Bytes of pages since the last packet.
    unfinished: usize,
    ended: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            pages: BasePacketReader::new(),
            bytes: Vec::new(),
            serial: None,
            head: None,
            has_tags: false,
            unfinished: 0,
            ended: false,
        }
    }
}

impl Reader {
    /// More of the file, of any length.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// What the stream says of itself, once that is there.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Whether the last packet was read.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next packet of sound; `None` until more of the file is there, or at its end.
    ///
    /// # Errors
    /// [`Error::Ogg`], [`Error::Unplayable`]; nothing more comes after one.
    pub fn packet(&mut self) -> Result<Option<Packet>, Error> {
        loop {
            while let Some(packet) = self.pages.read_packet() {
                self.unfinished = 0;
                if self.head.is_none() {
                    self.head = Some(Head::parse(&packet.data)?);
                } else if !std::mem::replace(&mut self.has_tags, true) {
                    if !packet.data.starts_with(b"OpusTags") {
                        return Err(Error::Unplayable("it holds no Opus"));
                    }
                } else {
                    let end = packet.last_in_stream().then(|| packet.absgp_page());
                    return Ok(Some(Packet { bytes: packet.data, end }));
                }
            }
            if self.ended || !self.page()? {
                return Ok(None);
            }
        }
    }

    /// Takes a page of the stream, if it is there.
    fn page(&mut self) -> Result<bool, Error> {
        loop {
            let start = &self.bytes[..self.bytes.len().min(4)];
            if !b"OggS".starts_with(start) {
                return Err(OggReadError::NoCapturePatternFound.into());
            }
            let Some((header, rest)) = self.bytes.split_first_chunk::<PAGE_HEADER_BYTES>() else {
                return Ok(false);
            };
            let count = usize::from(header[PAGE_HEADER_BYTES - 1]);
            let Some((segments, rest)) = rest.split_at_checked(count) else {
                return Ok(false);
            };
            let length = segments.iter().map(|n| usize::from(*n)).sum();
            let Some(body) = rest.get(..length) else {
                return Ok(false);
            };
            let &[s0, s1, s2, s3] = &header[SERIAL_AT..SERIAL_AT + 4] else {
                return Ok(false);
            };
            let serial = u32::from_le_bytes([s0, s1, s2, s3]);
            let followed = *self.serial.get_or_insert(serial) == serial;
            let (mut parser, _) = PageParser::new(*header)?;
            let is_last = header[5] & 4 != 0;
            let page = if followed {
                parser.parse_segments(segments.to_vec());
                Some(parser.parse_packet_data(body.to_vec())?)
            } else {
                None
            };
            self.bytes.drain(..PAGE_HEADER_BYTES + count + length);
            let Some(page) = page else { continue };
            self.unfinished += length;
            if self.unfinished > OGG_PACKET_BYTES_MAX {
                return Err(Error::Unplayable("it holds a packet that is too long"));
            }
            self.pages.push_page(page)?;
            if is_last {
                self.ended = true;
                self.bytes = Vec::new();
            }
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` packets of 20 ms, of which the last ends early.
    fn file(count: usize, samples: u64) -> Vec<u8> {
        let mut writer = Writer::new(7, 312).unwrap();
        for n in 0..count {
            writer.packet(vec![n as u8; 3 + n * 7 % 600], 960).unwrap();
        }
        let most = writer.bytes();
        let bytes = writer.finish(samples).unwrap();
        assert!(bytes.len() <= most && most < bytes.len() + 64, "{} of {most}", bytes.len());
        bytes
    }

    fn packets(reader: &mut Reader) -> Vec<Packet> {
        std::iter::from_fn(|| reader.packet().unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read_again_however_it_comes() {
        for (count, samples) in [(1, 500), (25, 24_000 - 312), (26, 24_500), (151, 144_000)] {
            let bytes = file(count, samples);
            for step in [1, 26, 1_000, bytes.len()] {
                let (mut reader, mut read) = (Reader::default(), Vec::new());
                for part in bytes.chunks(step) {
                    reader.push(part);
                    read.extend(packets(&mut reader));
                }
                assert_eq!(reader.head(), Some(Head { pre_skip: 312, gain: 0 }));
                assert!(reader.is_ended());
                assert_eq!(read.len(), count);
                for (n, packet) in read.iter().enumerate() {
                    assert_eq!(packet.bytes, vec![n as u8; 3 + n * 7 % 600]);
                    assert_eq!(packet.end, (n + 1 == count).then_some(samples + 312));
                }
            }
        }
    }

    #[test]
    fn the_beginning_is_there_before_the_end() {
        let bytes = file(100, 90_000);
        let mut reader = Reader::default();
        reader.push(&bytes[..bytes.len() / 2]);
        let early = packets(&mut reader).len();
        assert!((25..75).contains(&early) && early.is_multiple_of(25), "whole pages: {early}");
        assert!(!reader.is_ended());
    }

    #[test]
    fn a_file_is_never_said_to_be_longer_than_its_packets() {
        let bytes = file(2, 1_000_000);
        let mut reader = Reader::default();
        reader.push(&bytes);
        assert_eq!(packets(&mut reader).last().unwrap().end, Some(2 * 960));
        assert!(matches!(Writer::new(1, 0).unwrap().finish(0), Err(Error::Unplayable(_))));
    }

    #[test]
    fn other_files_are_refused_in_words() {
        let refused = |bytes: &[u8]| {
            let mut reader = Reader::default();
            reader.push(bytes);
            std::iter::from_fn(|| reader.packet().transpose()).find_map(Result::err).map(|e| e.to_string())
        };
        let whole = file(3, 2_000);
        assert_eq!(refused(&whole), None);
        assert_eq!(refused(b"Og"), None, "may yet become one");
        assert!(refused(b"RIFF").unwrap().contains("no Ogg file"));
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(refused(&damaged).unwrap().contains("damaged"));
        for (at, byte) in [(8, 0x10), (9, 0), (9, 3), (18, 1)] {
            let mut head = [&b"OpusHead"[..], &[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
            assert!(Head::parse(&head).is_ok());
            head[at] = byte;
            assert!(Head::parse(&head).is_err(), "{at}");
            head.truncate(HEAD_BYTES - 1);
            assert!(Head::parse(&head).is_err());
        }
    }

    #[test]
    fn a_packet_without_end_is_given_up() {
        let mut endless = Vec::new();
        let mut writer = PacketWriter::new(&mut endless);
        writer.write_packet(vec![0; OGG_PACKET_BYTES_MAX + 70_000], 1, PacketWriteEndInfo::EndStream, 0).unwrap();
        drop(writer);
        let mut reader = Reader::default();
        reader.push(&endless);
        assert_eq!(reader.packet().unwrap_err().to_string(), "it holds a packet that is too long");
    }
}

//! AVI (RIFF) with Motion JPEG, as webcam recorders write it.
//!
//! ```text
//! RIFF 'AVI ' [ LIST 'hdrl' [ avih, LIST 'strl' [ strh, strf ] .. ] .. LIST 'movi' [ 00dc, 01wb, 00dc .. ] idx1 ]
//! RIFF 'AVIX' [ LIST 'movi' [ .. ] ]                                                    files over 1 GB go on like this
//! ```
//! Lists are entered as if their contents stood beside them, so the file is one flat row of chunks; the index is not
//! needed, and wrong sizes of lists do no harm.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use super::Error;
use crate::limits::SOURCE_JPEG_BYTES_MAX;

pub(super) struct Reader<R> {
    reader: R,
    /// Where the chunks of the first `movi` list begin.
    start: u64,
    /// The first two letters of the chunks of the video stream.
    stream: [u8; 2],
    rate: (usize, usize),
}

struct Chunk {
    id: [u8; 4],
    bytes: u32,
}

#[derive(Default)]
struct Headers {
    micros_per_frame: usize,
    streams: u8,
    /// Number, rate and scale of the first video stream.
    video: Option<(u8, usize, usize)>,
    checked: bool,
}

impl<R: Read + Seek> Reader<R> {
    pub fn open(mut reader: R) -> Result<Self, Error> {
        let mut headers = Headers::default();
        loop {
            let chunk = next_chunk(&mut reader)?.ok_or(Error::Damaged("no list of pictures"))?;
            match &chunk.id {
                b"RIFF" => {
                    list_kind(&mut reader)?;
                }
                b"LIST" if list_kind(&mut reader)? == *b"movi" => break,
                b"LIST" => {}
                b"avih" => {
                    let [micros, ..] = words::<1, R>(&mut reader, &chunk)?;
                    headers.micros_per_frame = micros as usize;
                }
                b"strh" => headers.stream(words::<7, R>(&mut reader, &chunk)?)?,
                b"strf" => headers.format(&words::<5, R>(&mut reader, &chunk)?)?,
                _ => skip(&mut reader, &chunk, 0)?,
            }
        }
        let (number, rate, scale) = headers.video.ok_or(Error::Unsupported("it has no video stream".into()))?;
        let stream = [b'0' + number / 10, b'0' + number % 10];
        let rate = if rate > 0 && scale > 0 { (rate, scale) } else { (1_000_000, headers.micros_per_frame) };
        let start = reader.stream_position()?;
        Ok(Self { reader, start, stream, rate })
    }

    pub fn rate(&self) -> (usize, usize) {
        self.rate
    }

    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        while let Some(chunk) = next_chunk(&mut self.reader)? {
            match &chunk.id {
                b"RIFF" | b"LIST" => {
                    list_kind(&mut self.reader)?;
                }
                // An empty chunk stands for a picture that was dropped: the one before goes on.
                [a, b, b'd', b'c' | b'b'] if [*a, *b] == self.stream && chunk.bytes > 0 => {
                    let bytes = chunk.bytes as usize;
                    if bytes > SOURCE_JPEG_BYTES_MAX {
                        return Err(Error::TooLarge { what: "a picture", value: bytes, max: SOURCE_JPEG_BYTES_MAX });
                    }
                    let read = self.reader.by_ref().take(u64::from(chunk.bytes)).read_to_end(out)?;
                    skip(&mut self.reader, &chunk, read as u32)?;
                    return Ok(read == bytes);
                }
                _ => skip(&mut self.reader, &chunk, 0)?,
            }
        }
        Ok(false)
    }

    pub fn rewind(&mut self) -> Result<(), Error> {
        self.reader.seek(SeekFrom::Start(self.start))?;
        Ok(())
    }
}

impl Headers {
    /// Stream header: type, handler, flags, priority, initial frames, scale, rate.
    fn stream(&mut self, words: [u32; 7]) -> Result<(), Error> {
        let number = self.streams;
        if number > 99 {
            return Err(Error::Damaged("more streams than it can number"));
        }
        self.streams += 1;
        if self.video.is_none() && words[0].to_le_bytes() == *b"vids" {
            self.video = Some((number, words[6] as usize, words[5] as usize));
        }
        Ok(())
    }

    /// Stream format; of the first video stream its fifth word is the codec.
    fn format(&mut self, words: &[u32; 5]) -> Result<(), Error> {
        if self.video.is_none() || std::mem::replace(&mut self.checked, true) {
            return Ok(());
        }
        let codec = words[4].to_le_bytes();
        match &codec.to_ascii_uppercase()[..] {
            b"MJPG" | b"JPEG" | b"AVRN" | b"DMB1" => Ok(()),
            _ => {
                let name = String::from_utf8_lossy(&codec).replace(|c: char| !c.is_ascii_graphic(), "?");
                Err(Error::Unsupported(format!("its video is {name}; only Motion JPEG can be played")))
            }
        }
    }
}

/// Reads a chunk's header; `None` at the end of the file.
fn next_chunk<R: Read>(reader: &mut R) -> Result<Option<Chunk>, Error> {
    let mut header = [0; 8];
    match reader.read_exact(&mut header) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    let [a, b, c, d, s0, s1, s2, s3] = header;
    Ok(Some(Chunk { id: [a, b, c, d], bytes: u32::from_le_bytes([s0, s1, s2, s3]) }))
}

fn list_kind<R: Read>(reader: &mut R) -> Result<[u8; 4], Error> {
    let mut kind = [0; 4];
    reader.read_exact(&mut kind).map_err(|_| Error::Damaged("a list breaks off"))?;
    Ok(kind)
}

/// Reads the first `N` little-endian words of a chunk and skips the rest of it.
fn words<const N: usize, R: Read + Seek>(reader: &mut R, chunk: &Chunk) -> Result<[u32; N], Error> {
    let mut words = [0; N];
    if (chunk.bytes as usize) < 4 * N {
        return Err(Error::Damaged("a header is too short"));
    }
    for word in &mut words {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map_err(|_| Error::Damaged("a header breaks off"))?;
        *word = u32::from_le_bytes(bytes);
    }
    skip(reader, chunk, 4 * N as u32)?;
    Ok(words)
}

/// Skips what is left of a chunk of which `read` bytes were read; chunks begin at even offsets.
fn skip<R: Seek>(reader: &mut R, chunk: &Chunk, read: u32) -> Result<(), Error> {
    let left = i64::from(chunk.bytes) + i64::from(chunk.bytes % 2) - i64::from(read);
    reader.seek(SeekFrom::Current(left))?;
    Ok(())
}

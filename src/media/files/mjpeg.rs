//! JPEGs one after the other, as `ffmpeg -f mjpeg` and network cameras write them. Bytes between them are skipped.

use std::io::{Read, Seek, SeekFrom};

use super::Error;
use crate::limits::SOURCE_JPEG_BYTES_MAX;
use crate::media::jpeg::jpeg_length;

const READ_BYTES: usize = 64 << 10;

pub(super) struct Reader<R> {
    reader: R,
    /// What was read and not yet handed out.
    buffer: Vec<u8>,
    ended: bool,
}

impl<R: Read + Seek> Reader<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), ended: false }
    }

    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            self.skip_to_start();
            if let Some(length) = jpeg_length(&self.buffer) {
                out.extend_from_slice(&self.buffer[..length]);
                self.buffer.drain(..length);
                return Ok(true);
            }
            if self.ended {
                // What is left breaks off.
                return Ok(false);
            }
            if self.buffer.len() > SOURCE_JPEG_BYTES_MAX {
                let value = self.buffer.len();
                return Err(Error::TooLarge { what: "a picture", value, max: SOURCE_JPEG_BYTES_MAX });
            }
            let read = self.reader.by_ref().take(READ_BYTES as u64).read_to_end(&mut self.buffer)?;
            self.ended = read == 0;
        }
    }

    pub fn rewind(&mut self) -> Result<(), Error> {
        self.reader.seek(SeekFrom::Start(0))?;
        self.buffer.clear();
        self.ended = false;
        Ok(())
    }

    /// Drops what stands before the next SOI.
    fn skip_to_start(&mut self) {
        let start = self.buffer.windows(2).position(|pair| pair == [0xff, 0xd8]);
        // The last byte may be the first half of SOI.
        let skip = start.unwrap_or(self.buffer.len().saturating_sub(1));
        self.buffer.drain(..skip);
    }
}

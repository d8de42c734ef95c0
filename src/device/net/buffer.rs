//! Memory into which a thread receives batches of datagrams.
//!
//! ```text
//! message 0   | datagram | datagram | datag |      one system call fills up to 32 messages; the kernel may join
//! message 1   | datagram |                         equal-sized datagrams of one sender in one message (GRO)
//! ```
//! One buffer serves any number of sockets of its thread. Its pages are touched only as far as messages reach.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{BATCH_SIZE, RecvMeta};

use crate::time::NtpTime;

/// Bytes for one message: the largest the kernel joins.
const MESSAGE_BYTES: usize = 1 << 16;

/// One datagram, borrowed from the buffer it was received into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The UDP payload.
    pub bytes: &'a [u8],
    /// Who sent it; IPv6 without scope id and flow.
    pub source: SocketAddr,
    /// The address it was sent to, where the system tells.
    pub destination: Option<IpAddr>,
    /// The kernel's wall-clock time of its arrival, where the system tells.
    pub arrived: Option<NtpTime>,
}

/// Receives batches; reused for ever.
pub struct ReceiveBuffer {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
    messages: usize,
}

impl Default for ReceiveBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self { bytes: vec![0; MESSAGE_BYTES * BATCH_SIZE], metas: [RecvMeta::default(); BATCH_SIZE], messages: 0 }
    }

    /// The datagrams of the last batch, in the order in which they arrived.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let messages = self.bytes.chunks_exact(MESSAGE_BYTES).zip(&self.metas).take(self.messages);
        messages.flat_map(|(bytes, meta)| split(bytes, meta))
    }

    /// Lets `receive` fill the buffer: it is given a slice for each message and returns how many it filled. Returns the
    /// number of datagrams, which is 0 only when nothing was received.
    pub(super) fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> std::io::Result<usize>,
    ) -> std::io::Result<usize> {
        self.messages = 0;
        let mut chunks = self.bytes.chunks_exact_mut(MESSAGE_BYTES);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.messages = receive(&mut slices, &mut self.metas)?.min(BATCH_SIZE);
        Ok(self.metas[..self.messages].iter().map(datagrams_in).sum())
    }

    /// Forgets the messages for which `keep` does not hold.
    pub(super) fn retain(&mut self, keep: impl Fn(&RecvMeta) -> bool) {
        for meta in &mut self.metas[..self.messages] {
            if !keep(meta) {
                // A message from nobody: `split` yields nothing for it.
                *meta = RecvMeta::default();
            }
        }
    }
}

fn datagrams_in(meta: &RecvMeta) -> usize {
    // A datagram may be empty, and is then one all the same.
    meta.len.div_ceil(meta.stride.max(1)).max(1)
}

fn split<'a>(bytes: &'a [u8], meta: &'a RecvMeta) -> impl Iterator<Item = Datagram<'a>> {
    let source = SocketAddr::new(meta.addr.ip(), meta.addr.port());
    let destination = meta.dst_ip;
    let arrived = meta.timestamp.map(NtpTime::from_unix);
    let stride = meta.stride.max(1);
    let len = meta.len.min(bytes.len());
    // A message not kept has no sender.
    let count = if source.ip().is_unspecified() { 0 } else { datagrams_in(meta) };
    (0..count).filter_map(move |i| {
        let bytes = bytes.get(i * stride..len.min((i + 1) * stride))?;
        Some(Datagram { bytes, source, destination, arrived })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 2)), 40_000);

    fn meta(len: usize, stride: usize) -> RecvMeta {
        let mut meta = RecvMeta::default();
        meta.addr = SOURCE;
        meta.len = len;
        meta.stride = stride;
        meta
    }

    fn fill(buffer: &mut ReceiveBuffer, messages: &[(usize, usize)]) -> usize {
        let filled = buffer.fill(|slices, metas| {
            for (i, &(len, stride)) in messages.iter().enumerate() {
                for (at, byte) in slices[i][..len].iter_mut().enumerate() {
                    *byte = (i * 100 + at / stride.max(1)) as u8;
                }
                metas[i] = meta(len, stride);
            }
            Ok(messages.len())
        });
        filled.expect("the closure succeeds")
    }

    #[test]
    fn joined_datagrams_come_apart_and_the_last_may_be_short() {
        let mut buffer = ReceiveBuffer::new();
        assert_eq!(fill(&mut buffer, &[(25, 10), (0, 0), (7, 7), (20, 10)]), 3 + 1 + 1 + 2);
        let got: Vec<(usize, Option<u8>)> =
            buffer.datagrams().map(|d| (d.bytes.len(), d.bytes.first().copied())).collect();
        let expected = [(10, 0), (10, 1), (5, 2)].map(|(n, b)| (n, Some(b)));
        assert_eq!(got[..3], expected);
        assert_eq!(got[3..], [(0, None), (7, Some(200)), (10, Some(44)), (10, Some(45))]);
        assert!(buffer.datagrams().all(|d| d.source == SOURCE));
    }

    #[test]
    fn a_batch_replaces_the_one_before_even_when_receiving_fails() {
        let mut buffer = ReceiveBuffer::new();
        fill(&mut buffer, &[(5, 5), (5, 5)]);
        assert!(buffer.fill(|_, _| Err(std::io::ErrorKind::WouldBlock.into())).is_err());
        assert_eq!(buffer.datagrams().count(), 0);
    }

    #[test]
    fn messages_not_kept_yield_nothing() {
        let mut buffer = ReceiveBuffer::new();
        fill(&mut buffer, &[(5, 5), (9, 3), (5, 5)]);
        buffer.retain(|meta| meta.len != 9);
        assert_eq!(buffer.datagrams().count(), 2);
    }

    #[test]
    fn a_full_batch_of_full_messages_fits() {
        let mut buffer = ReceiveBuffer::new();
        let messages = [(MESSAGE_BYTES, 1_400); BATCH_SIZE];
        assert_eq!(fill(&mut buffer, &messages), 47 * BATCH_SIZE);
        assert_eq!(buffer.datagrams().map(|d| d.bytes.len()).sum::<usize>(), MESSAGE_BYTES * BATCH_SIZE);
    }
}

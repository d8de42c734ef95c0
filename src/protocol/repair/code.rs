//! Reed-Solomon parity over the shards of a frame, the same in every machine: the number of parity shards follows from
//! the number of packets, because the code's points depend on both.
//!
//! Memory is kept from frame to frame. Nothing here can fail but for numbers out of range, which both sides have checked;
//! if it does all the same, the frame is simply not repaired.

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use crate::wire::repair::parity_max;

/// Makes parity.
#[derive(Default)]
pub(super) struct Encoder(Option<ReedSolomonEncoder>);

impl Encoder {
    /// Writes all parity of `k` shards over `out`, one shard of `bytes` after the other. Whether that could be done.
    pub(super) fn encode<'a>(
        &mut self,
        k: usize,
        bytes: usize,
        shards: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        let m = parity_max(k);
        let ready = match &mut self.0 {
            Some(encoder) => encoder.reset(k, m, bytes).is_ok(),
            none => ReedSolomonEncoder::new(k, m, bytes).map(|encoder| *none = Some(encoder)).is_ok(),
        };
        let Some(encoder) = self.0.as_mut().filter(|_| ready) else { return false };
        for shard in shards {
            if encoder.add_original_shard(shard).is_err() {
                return false;
            }
        }
        match encoder.encode() {
            Ok(parity) => parity.recovery_iter().for_each(|shard| out.extend_from_slice(shard)),
            Err(_) => return false,
        }
        out.len() == m * bytes
    }
}

/// Rebuilds what is missing.
#[derive(Default)]
pub(super) struct Decoder(Option<ReedSolomonDecoder>);

impl Decoder {
    /// Hands the shards that are missing to `each`, with their index. `sources` and `parity` are distinct shards with
    /// their index, parity counted from 0; together at least `k`. Whether that could be done.
    pub(super) fn decode<'a>(
        &mut self,
        k: usize,
        bytes: usize,
        sources: impl Iterator<Item = (usize, &'a [u8])>,
        parity: impl Iterator<Item = (usize, &'a [u8])>,
        mut each: impl FnMut(usize, &[u8]),
    ) -> bool {
        let m = parity_max(k);
        let ready = match &mut self.0 {
            Some(decoder) => decoder.reset(k, m, bytes).is_ok(),
            none => ReedSolomonDecoder::new(k, m, bytes).map(|decoder| *none = Some(decoder)).is_ok(),
        };
        let Some(decoder) = self.0.as_mut().filter(|_| ready) else { return false };
        for (index, shard) in sources {
            if decoder.add_original_shard(index, shard).is_err() {
                return false;
            }
        }
        for (index, shard) in parity {
            if decoder.add_recovery_shard(index, shard).is_err() {
                return false;
            }
        }
        let Ok(restored) = decoder.decode() else { return false };
        restored.restored_original_iter().for_each(|(index, shard)| each(index, shard));
        true
    }
}

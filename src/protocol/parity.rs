//! Reed-Solomon parity over shards of equal length, the same in every machine: of frames ([`super::repair`]) and of blocks of
//! files ([`super::transfer`]). Both sides must agree on the number `m` of parity shards, because the code's points depend
//! on it.
//!
//! Memory is kept from one use to the next. Nothing here can fail but for numbers out of range, which both sides have
//! checked; if it does all the same, what is missing is simply not rebuilt.

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

/// Makes parity.
#[derive(Default)]
pub(super) struct Encoder(Option<ReedSolomonEncoder>);

impl Encoder {
    /// Writes all `m` parity shards of `k` shards over `out`, one of `bytes` after the other. Whether that could be done.
    pub(super) fn encode(
        &mut self,
        (k, m): (usize, usize),
        bytes: usize,
        shards: impl Iterator<Item = impl AsRef<[u8]>>,
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        let ready = match &mut self.0 {
            Some(encoder) => encoder.reset(k, m, bytes).is_ok(),
            none => ReedSolomonEncoder::new(k, m, bytes).map(|encoder| *none = Some(encoder)).is_ok(),
        };
        let Some(encoder) = self.0.as_mut().filter(|_| ready) else { return false };
        for shard in shards {
            if encoder.add_original_shard(shard.as_ref()).is_err() {
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
    /// Takes `sources` of `k` shards and `parity` of `m`, distinct ones with their index, together at least `k`. Whether that
    /// could be done.
    pub(super) fn take<'a>(
        &mut self,
        (k, m): (usize, usize),
        bytes: usize,
        mut sources: impl Iterator<Item = (usize, &'a [u8])>,
        mut parity: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> bool {
        let ready = match &mut self.0 {
            Some(decoder) => decoder.reset(k, m, bytes).is_ok(),
            none => ReedSolomonDecoder::new(k, m, bytes).map(|decoder| *none = Some(decoder)).is_ok(),
        };
        let Some(decoder) = self.0.as_mut().filter(|_| ready) else { return false };
        sources.all(|(index, shard)| decoder.add_original_shard(index, shard).is_ok())
            && parity.all(|(index, shard)| decoder.add_recovery_shard(index, shard).is_ok())
    }

    /// Hands the shards that are missing of those [taken](Self::take) to `each`, with their index. Whether that could be done.
    pub(super) fn restore(&mut self, mut each: impl FnMut(usize, &[u8])) -> bool {
        let Some(Ok(restored)) = self.0.as_mut().map(ReedSolomonDecoder::decode) else { return false };
        restored.restored_original_iter().for_each(|(index, shard)| each(index, shard));
        true
    }
}

//! A decoder that makes up what is lost with libopus's neural networks, "deep PLC". Its weights are in libopus's source; the
//! safe bindings cannot switch them on, which the decoder's complexity does.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr::NonNull;

use opusic_sys as sys;

use super::Error;

/// From here on libopus makes up with networks; beyond it are others that change what is decoded.
const COMPLEXITY: c_int = 5;

/// As the safe bindings' decoder, mono.
pub(super) struct Decoder(NonNull<sys::OpusDecoder>);

// SAFETY: the state is memory of its own that holds no reference to any thread; who has the value is alone with it.
unsafe impl Send for Decoder {}

fn checked(code: c_int, what: &str) -> Result<usize, Error> {
    usize::try_from(code).map_err(|_| Error::Codec(format!("{what}: {code}")))
}

impl Decoder {
    pub(super) fn new(rate: u32) -> Result<Self, Error> {
        let mut error = 0;
        // SAFETY: `error` is written during the call only; what comes back is null or a state of our own.
        let state = unsafe { sys::opus_decoder_create(rate as i32, 1, &raw mut error) };
        let state = NonNull::new(state).ok_or_else(|| Error::Codec(format!("opus_decoder_create: {error}")))?;
        let decoder = Self(state);
        // SAFETY: the state is valid, and this request takes one int.
        let set = unsafe { sys::opus_decoder_ctl(state.as_ptr(), sys::OPUS_SET_COMPLEXITY_REQUEST, COMPLEXITY) };
        checked(set, "OPUS_SET_COMPLEXITY")?;
        Ok(decoder)
    }

    /// Decodes `packet` into `samples`; an empty one is lost.
    pub(super) fn decode_float(&mut self, packet: &[u8], samples: &mut [f32], fec: bool) -> Result<usize, Error> {
        let (length, room) = (packet.len() as i32, samples.len() as c_int);
        let data = if packet.is_empty() { std::ptr::null() } else { packet.as_ptr() };
        // SAFETY: `length` bytes are readable at `data`, or none where it is null; `room` samples of one channel are
        // writable, and no more are written.
        let made = unsafe {
            sys::opus_decode_float(self.0.as_ptr(), data, length, samples.as_mut_ptr(), room, c_int::from(fec))
        };
        checked(made, "opus_decode_float")
    }

    pub(super) fn reset_state(&mut self) -> Result<(), Error> {
        // SAFETY: the state is valid, and this request takes nothing.
        let reset = unsafe { sys::opus_decoder_ctl(self.0.as_ptr(), sys::OPUS_RESET_STATE) };
        checked(reset, "OPUS_RESET_STATE").map(drop)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the state is valid, and nobody uses it after this.
        unsafe { sys::opus_decoder_destroy(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::opus::{Encoder, RATE, Settings};
    use crate::media::test_voice::TestVoice;

    #[test]
    fn what_is_lost_is_made_up_by_networks_and_what_is_not_lost_is_decoded_as_ever() {
        let mut encoder = Encoder::new(Settings::default()).expect("an encoder");
        let mut deep = Decoder::new(RATE).expect("a decoder");
        let mut usual = opus::Decoder::new(RATE, opus::Channels::Mono).expect("a decoder");
        let (mut voice, mut packet) = (TestVoice::new(220.0), Vec::new());
        let (mut said, mut a, mut b) = ([0.0; 960], [0.0f32; 960], [0.0f32; 960]);
        let power = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>();
        let (mut differs, mut loud) = (0, 0);
        for n in 0..200 {
            voice.render(&mut said);
            encoder.encode(&said, &mut packet).expect("a packet");
            let lost = n % 20 == 10;
            let bytes: &[u8] = if lost { &[] } else { &packet };
            assert_eq!(deep.decode_float(bytes, &mut a, false).expect("sound"), 960);
            assert_eq!(usual.decode_float(bytes, &mut b, false).expect("sound"), 960);
            assert!(a.iter().all(|s| s.is_finite() && s.abs() < 2.0));
            if n < 10 {
                assert_eq!(a, b, "packet {n}");
            }
            if lost {
                differs += usize::from(a != b);
                loud += usize::from(power(&a) > power(&said) / 16.0);
            }
        }
        assert!(differs > 5, "made up otherwise {differs} times of 10");
        assert!(loud > 5, "within 12 dB of what was said {loud} times of 10");
        deep.reset_state().expect("reset");
        assert_eq!(deep.decode_float(&packet, &mut a, false).expect("sound"), 960);
        assert!(deep.decode_float(&[0xff; 3], &mut [0.0; 1], false).is_err());
    }
}

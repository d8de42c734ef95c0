//! Voice coding: Opus at 48 kHz mono (RFC 6716), with in-band redundancy for the frame before (RFC 6716 section 2.1.7).
//!
//! One frame a packet. Must never trust a packet's length: [`packet_samples`] says what a packet holds, or that it is
//! none, before anything is decoded.
//!
//! With the feature `deep-plc` what is lost is made up by libopus's neural networks.

#[cfg(feature = "deep-plc")]
mod deep;

use crate::limits::{OPUS_PACKET_BYTES_MAX, OPUS_PACKET_MS_MAX};

/// Samples per second on both sides of the codec, and the rate of its RTP clock (RFC 7587 section 4.1).
pub const RATE: u32 = 48_000;
/// Longest packet in samples.
pub const PACKET_SAMPLES_MAX: usize = OPUS_PACKET_MS_MAX * 48;
/// The decoder makes up and rebuilds audio in multiples of 2.5 ms.
const GRAIN: usize = 120;

/// The codec refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// libopus said no; the text names its function. Retrying the same input does not help.
    #[error("{0}")]
    Codec(String),
    /// A frame of a length Opus does not have.
    #[error("a frame of {samples} samples; Opus takes 2.5, 5, 10, 20, 40 or 60 ms")]
    Frame {
        /// Length given.
        samples: usize,
    },
}

impl From<opus::Error> for Error {
    fn from(e: opus::Error) -> Self {
        Self::Codec(e.to_string())
    }
}

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bits per second.
    pub bitrate: u32,
    /// Expected packet loss in percent: how strongly the redundancy is coded. Zero switches it off.
    pub loss_percent: u8,
    /// Encoded with 2.5 ms of lookahead instead of 6.5, music as well as voices, and without redundancy.
    pub low_delay: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { bitrate: 40_000, loss_percent: 10, low_delay: false }
    }
}

/// An encoder of one voice.
pub struct Encoder {
    inner: opus::Encoder,
}

impl Encoder {
    /// An encoder without discontinuous transmission: a stream that pauses says so by pausing.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let application = if settings.low_delay { opus::Application::LowDelay } else { opus::Application::Voip };
        let mut inner = opus::Encoder::new(RATE, opus::Channels::Mono, application)?;
        inner.set_bitrate(opus::Bitrate::Bits(settings.bitrate as i32))?;
        inner.set_inband_fec(settings.loss_percent > 0)?;
        inner.set_packet_loss_perc(i32::from(settings.loss_percent.min(100)))?;
        inner.set_dtx(false)?;
        if !settings.low_delay {
            // Redundancy exists in the voice modes only.
            inner.set_signal(opus::Signal::Voice)?;
        }
        Ok(Self { inner })
    }

    /// Whether silence is coded as packets of two bytes at most, which need not be sent (RFC 7587 section 3.1.3).
    pub fn set_dtx(&mut self, on: bool) -> Result<(), Error> {
        Ok(self.inner.set_dtx(on)?)
    }

    /// Samples that come out before what was put in first.
    pub fn lookahead(&mut self) -> Result<u16, Error> {
        Ok(u16::try_from(self.inner.get_lookahead()?).unwrap_or(0))
    }

    /// Encodes one frame of mono samples into `out`, replacing what it held.
    pub fn encode(&mut self, frame: &[f32], out: &mut Vec<u8>) -> Result<(), Error> {
        if ![120, 240, 480, 960, 1_920, 2_880].contains(&frame.len()) {
            return Err(Error::Frame { samples: frame.len() });
        }
        out.resize(OPUS_PACKET_BYTES_MAX, 0);
        let written = self.inner.encode_float(frame, out);
        out.truncate(*written.as_ref().unwrap_or(&0));
        written?;
        Ok(())
    }
}

/// Samples in an Opus packet; `None` when it is no valid packet or longer than 120 ms.
pub fn packet_samples(packet: &[u8]) -> Option<usize> {
    if packet.is_empty() || packet.len() > OPUS_PACKET_BYTES_MAX {
        return None;
    }
    let samples = opus::packet::get_nb_samples(packet, RATE).ok()?;
    (1..=PACKET_SAMPLES_MAX).contains(&samples).then_some(samples)
}

/// A decoder of one voice. Its output buffer is its own and is reused.
pub struct Decoder {
    #[cfg(not(feature = "deep-plc"))]
    inner: opus::Decoder,
    #[cfg(feature = "deep-plc")]
    inner: deep::Decoder,
    samples: Vec<f32>,
}

impl Decoder {
    /// A decoder with no history.
    pub fn new() -> Result<Self, Error> {
        #[cfg(not(feature = "deep-plc"))]
        let inner = opus::Decoder::new(RATE, opus::Channels::Mono)?;
        #[cfg(feature = "deep-plc")]
        let inner = deep::Decoder::new(RATE)?;
        Ok(Self { inner, samples: vec![0.0; PACKET_SAMPLES_MAX] })
    }

    /// Decodes a packet.
    pub fn decode(&mut self, packet: &[u8]) -> Result<&[f32], Error> {
        let n = self.inner.decode_float(packet, &mut self.samples, false)?;
        Ok(&self.samples[..n])
    }

    /// Rebuilds the `samples` before `following` from the redundancy it carries; without any, as [`conceal`](Self::conceal).
    pub fn recover(&mut self, following: &[u8], samples: usize) -> Result<&[f32], Error> {
        self.fill(following, samples, true)
    }

    /// Makes up `samples` from what was decoded before; fades out when asked again and again.
    pub fn conceal(&mut self, samples: usize) -> Result<&[f32], Error> {
        self.fill(&[], samples, false)
    }

    fn fill(&mut self, packet: &[u8], samples: usize, redundancy: bool) -> Result<&[f32], Error> {
        let wanted = samples.min(PACKET_SAMPLES_MAX);
        let whole = wanted.next_multiple_of(GRAIN).min(PACKET_SAMPLES_MAX);
        if whole > 0 {
            self.inner.decode_float(packet, &mut self.samples[..whole], redundancy)?;
        }
        Ok(&self.samples[..wanted])
    }

    /// Forgets what was decoded before: the next packet belongs to another stream.
    pub fn reset(&mut self) -> Result<(), Error> {
        Ok(self.inner.reset_state()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::test_voice::{TestVoice, strength_at};

    const PITCH: f32 = 220.0;

    fn packets(n: usize, frame: usize) -> Vec<Vec<u8>> {
        let mut voice = TestVoice::new(PITCH);
        let mut encoder = Encoder::new(Settings::default()).unwrap();
        let mut samples = vec![0.0; frame];
        (0..n)
            .map(|_| {
                voice.render(&mut samples);
                let mut packet = Vec::new();
                encoder.encode(&samples, &mut packet).unwrap();
                packet
            })
            .collect()
    }

    #[test]
    fn a_voice_survives_the_codec_at_its_pitch() {
        for frame in [480, 960] {
            let mut decoder = Decoder::new().unwrap();
            let mut heard = Vec::new();
            for p in packets(96_000 / frame, frame) {
                assert_eq!(packet_samples(&p), Some(frame));
                heard.extend_from_slice(decoder.decode(&p).unwrap());
            }
            let mut said = vec![0.0; 96_000];
            TestVoice::new(PITCH).render(&mut said);
            let ratio = strength_at(&heard, PITCH) / strength_at(&said, PITCH);
            assert!((0.8..1.2).contains(&ratio), "{frame}: {ratio}");
            assert!(strength_at(&heard, PITCH * 1.13) < strength_at(&heard, PITCH) / 10.0);
        }
    }

    #[test]
    fn a_low_delay_is_one_and_the_voice_stays() {
        let low = Settings { low_delay: true, bitrate: 64_000, ..Settings::default() };
        let (mut low, mut usual) = (Encoder::new(low).unwrap(), Encoder::new(Settings::default()).unwrap());
        assert_eq!((low.lookahead().unwrap(), usual.lookahead().unwrap()), (120, 312));
        let (mut voice, mut decoder, mut packet) = (TestVoice::new(PITCH), Decoder::new().unwrap(), Vec::new());
        let (mut frame, mut heard) = ([0.0; 240], Vec::new());
        for _ in 0..400 {
            voice.render(&mut frame);
            low.encode(&frame, &mut packet).unwrap();
            heard.extend_from_slice(decoder.decode(&packet).unwrap());
        }
        assert!(strength_at(&heard, PITCH) > 0.1, "{}", strength_at(&heard, PITCH));
    }

    #[test]
    fn the_bitrate_is_near_what_was_asked() {
        let bytes: usize = packets(250, 960).iter().map(Vec::len).sum();
        let kbit_per_s = bytes * 8 / 5 / 1_000;
        assert!((24..=44).contains(&kbit_per_s), "{kbit_per_s} kb/s");
    }

    #[test]
    fn redundancy_rebuilds_a_lost_packet_better_than_concealment() {
        let packets = packets(200, 960);
        let error = |redundancy: bool| {
            let (mut whole, mut holed) = (Decoder::new().unwrap(), Decoder::new().unwrap());
            let mut sum = 0.0;
            for (i, p) in packets.iter().enumerate() {
                let expected = whole.decode(p).unwrap().to_vec();
                let got = match (i % 10 == 5, redundancy) {
                    (false, _) => holed.decode(p).unwrap(),
                    (true, true) => holed.recover(&packets[i + 1], 960).unwrap(),
                    (true, false) => holed.conceal(960).unwrap(),
                };
                if i % 10 == 5 {
                    sum += expected.iter().zip(got).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
                }
            }
            sum
        };
        assert!(error(true) < error(false) / 2.0, "{} {}", error(true), error(false));
    }

    #[test]
    fn lengths_are_exact_whatever_is_asked() {
        let mut decoder = Decoder::new().unwrap();
        for samples in [0, 1, 119, 120, 121, 960, PACKET_SAMPLES_MAX] {
            assert_eq!(decoder.conceal(samples).unwrap().len(), samples);
        }
        assert_eq!(decoder.conceal(PACKET_SAMPLES_MAX + 1).unwrap().len(), PACKET_SAMPLES_MAX);
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        let long = vec![0u8; OPUS_PACKET_BYTES_MAX + 1];
        // Code 3 with 49 frames of 2.5 ms is longer than 120 ms; with no frame count it is cut short.
        for (packet, expected) in [
            (&[][..], None),
            (&long[..], None),
            (&[0xe3, 49][..], None),
            (&[0xe3][..], None),
            (&[0xe3, 48][..], Some(PACKET_SAMPLES_MAX)),
        ] {
            assert_eq!(packet_samples(packet), expected, "{:?}", &packet[..packet.len().min(4)]);
        }
        assert_eq!(
            Encoder::new(Settings::default()).unwrap().encode(&[0.0; 100], &mut Vec::new()),
            Err(Error::Frame { samples: 100 })
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_decoder(packet in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let mut decoder = Decoder::new().unwrap();
            if packet_samples(&packet).is_some() {
                let _ = decoder.decode(&packet);
                let _ = decoder.recover(&packet, 960);
            }
        }
    }
}

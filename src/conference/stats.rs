//! The statistics a conference writes: plain values that serialise to the documented JSON.
//!
//! Unless said otherwise, counts run from the moment of joining.

use std::collections::BTreeMap;

use serde::Serialize;

/// To one digit behind the point: more of a measured time or level means nothing.
pub(super) fn tenth(value: f32) -> f32 {
    (value * 10.0).round() / 10.0
}

/// The whole file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Title of the conference.
    pub conference: String,
    /// Seconds since joining.
    pub elapsed_s: f64,
    /// The person at this machine.
    pub me: Me,
    /// What was sent.
    pub sent: Sent,
    /// What all voices are heard by.
    pub speaker: Speaker,
    /// Everybody seen, those who have left included.
    pub people: Vec<Person>,
    /// Packets that were not taken.
    pub rejected: Rejected,
    /// How long the window was busy with a frame, and so deaf to everything else; without a window there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<Latency>,
    /// Of these, how often it was so for longer than 50 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_stalls: Option<u64>,
    /// This process.
    pub process: Process,
    /// `demo` only: the same statistics of each simulated person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub demo: Vec<serde_json::Value>,
}

/// Who wrote the file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Me {
    /// Participant id, hexadecimal.
    pub id: String,
    /// Name as others see it.
    pub name: String,
    /// What reaches this participant: "groups", "single" (the control group alone) or "unicast".
    pub transport: &'static str,
}

/// Sent since joining.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sent {
    /// Pictures, all layers together.
    pub video: SentStream,
    /// Of them each layer, by name.
    pub layers: BTreeMap<&'static str, SentStream>,
    /// Sound; a frame is one packet's worth.
    pub audio: SentStream,
    /// How the own voice is taken up; null without a microphone.
    pub voice: Option<Voice>,
}

/// How the own voice is taken up. What is not known, or not done to it, is null.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Voice {
    /// From the microphone's callback to the packet: its callbacks, the packet's length and the filters.
    pub capture_ms: f32,
    /// Of it the callbacks.
    pub capture_device_ms: f32,
    /// Of it the packet's length.
    pub packet_ms: f32,
    /// Of it the filters.
    pub filters_ms: f32,
    /// What is done to it; nothing with low delay.
    pub does: VoiceDoes,
    /// Captured sound lost because this machine was too slow, in events.
    pub glitches: u64,
    /// Gain applied.
    pub gain_db: Option<f32>,
    /// Level of the noise at the microphone, dBFS.
    pub noise_dbfs: Option<f32>,
    /// How much softer the canceller's filter makes the echo; more is suppressed behind it.
    pub echo_return_loss_db: Option<f32>,
    /// Delay found between what the speaker got and its echo.
    pub echo_delay_ms: Option<u32>,
    /// Times somebody began to speak while muted.
    pub spoken_muted: u64,
}

/// What is done to the own voice.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct VoiceDoes {
    /// The speaker's echo is taken out.
    pub echo: bool,
    /// Noise is held down.
    pub noise: bool,
    /// Loudness is evened out.
    pub gain: bool,
}

impl VoiceDoes {
    /// Whether there is anything.
    pub fn any(self) -> bool {
        self.echo || self.noise || self.gain
    }
}

/// The mix of all voices, on its way to the speaker.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Speaker {
    /// Time the mix waits for the speaker.
    pub ahead_ms: f64,
    /// Times the speaker found too little to play.
    pub glitches: u64,
    /// Times one was opened.
    pub opened: u64,
}

/// Sent of one kind.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SentStream {
    /// Frames.
    pub frames: u64,
    /// RTP packets.
    pub packets: u64,
    /// RTP payload bytes.
    pub bytes: u64,
}

/// Received from one person.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Person {
    /// Participant id, hexadecimal.
    pub id: String,
    /// Name as shown.
    pub name: String,
    /// `owner`, `moderator`, `member`, or `observer` for a tool that only watches.
    pub role: &'static str,
    /// IP address.
    pub address: String,
    /// Whether the person is in the conference now.
    pub present: bool,
    /// What reaches the person: "groups", "single" or "unicast".
    pub transport: &'static str,
    /// Pictures; null when none were announced.
    pub video: Option<Video>,
    /// Sound; null when none was announced.
    pub audio: Option<Audio>,
}

/// Pictures received from one person.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Video {
    /// Layer received.
    pub layer: &'static str,
    /// Columns before scaling.
    pub width: usize,
    /// Rows before scaling.
    pub height: usize,
    /// Complete frames received.
    pub frames_received: u64,
    /// Frames composed into the window.
    pub frames_shown: u64,
    /// Frames complete but overtaken by a newer one before they were shown.
    pub frames_skipped: u64,
    /// Frames of which packets never came.
    pub frames_lost: u64,
    /// Frames completed from parity (none is sent in this version).
    pub frames_repaired: u64,
    /// Frames shown with rows of the frame before (none in this version).
    pub frames_concealed: u64,
    /// RTP packets received.
    pub packets_received: u64,
    /// RTP packets lost.
    pub packets_lost: u64,
    /// Capture to window; null while the sender's clock offset is unknown.
    pub latency_ms: Option<Latency>,
    /// Of it what pictures wait now for the sound of the same person, so that both are in step.
    pub held_ms: f64,
}

/// Distribution of a delay, milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// Sound received from one person.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Audio {
    /// RTP packets received.
    pub packets_received: u64,
    /// RTP packets lost.
    pub packets_lost: u64,
    /// Sound made up by concealment.
    pub concealed_ms: u64,
    /// Gaps of more than 60 ms in it.
    pub gaps: u64,
    /// Packets that came when their turn was over.
    pub packets_late: u64,
    /// Lost packets rebuilt from the redundancy in the next one.
    pub packets_recovered: u64,
    /// From the sender's device to this one's, by the clocks of both, a second ago; null while nothing plays.
    pub delay_ms: Option<f64>,
    /// Of the delay what the network's jitter asks for.
    pub target_ms: f64,
    /// Of the delay the time sound waits here on average, jitter included; 0 while nothing plays.
    pub buffer_ms: f64,
    /// Of the delay the time the mix waits for the speaker.
    pub device_ms: f64,
    /// How much later the sound is heard than the picture seen, a second ago; null without either.
    pub lip_sync_ms: Option<f64>,
    /// How much faster the sender's clock runs than this speaker's, parts per million, as far as it is known.
    pub drift_ppm: f64,
    /// Times sound was made shorter, a period of its pitch each, to lower the delay.
    pub accelerated: u64,
    /// By so much in all.
    pub accelerated_ms: u64,
    /// Times sound was made longer to raise the delay.
    pub expanded: u64,
    /// By so much in all.
    pub expanded_ms: u64,
    /// Level of the last moments, dBFS; -127 is silence.
    pub level_dbfs: f64,
}

/// Packets that were not taken, by reason.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Rejected {
    /// Media packets: malformed, of a foreign source, out of bounds.
    pub media: u64,
    /// Control datagrams: malformed, not opened, replayed, badly signed.
    pub control: u64,
}

/// This process.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Process {
    /// User and system processor time, seconds.
    pub cpu_s: f64,
    /// Largest resident size.
    pub max_rss_bytes: u64,
    /// Threads now.
    pub threads: u64,
}

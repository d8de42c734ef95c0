//! How voices fare, as a table for people: the audio part of the statistics.

use std::fmt::Write as _;
use std::io::Write as _;

use super::report;
use crate::conference::stats::{Audio, Stats, Voice};

/// Writes it to stderr; that nobody reads it is no failure.
pub fn tell(stats: &Stats) {
    let _ = std::io::stderr().lock().write_all(table(stats).as_bytes());
}

/// The own voice and the speaker in a line each, then whoever is heard.
fn table(stats: &Stats) -> String {
    let mut out = String::new();
    if let Some(voice) = &stats.sent.voice {
        let _ = writeln!(out, "{}", own(voice));
    }
    let speaker = &stats.speaker;
    let _ = writeln!(
        out,
        "speaker: {:.1} ms of sound wait, {} glitches, opened {} times",
        speaker.ahead_ms, speaker.glitches, speaker.opened
    );
    let heard = stats.people.iter().filter_map(|p| Some((p.name.as_str(), p.audio.as_ref()?)));
    let rows: Vec<Vec<String>> = heard.map(|(name, audio)| row(name, audio)).collect();
    if !rows.is_empty() {
        let header =
            ["heard", "delay ms", "buffer", "(jitter)", "speaker", "lips", "lost", "late", "made up ms", "drift ppm"];
        out += &report::table(&header, &rows);
    }
    out
}

fn own(voice: &Voice) -> String {
    let does: Vec<&str> = [(voice.does.echo, "echo"), (voice.does.noise, "noise"), (voice.does.gain, "gain")]
        .iter()
        .filter_map(|(on, what)| on.then_some(*what))
        .collect();
    let mut line = format!(
        "microphone: {:.1} ms = device {:.1} + packet {:.1} + filters {:.1}; {} glitches; works on: {}",
        voice.capture_ms,
        voice.capture_device_ms,
        voice.packet_ms,
        voice.filters_ms,
        voice.glitches,
        if does.is_empty() { "nothing".to_owned() } else { does.join(", ") },
    );
    for (what, value, unit) in [
        ("gain", voice.gain_db, "dB"),
        ("noise", voice.noise_dbfs, "dBFS"),
        ("echo return loss", voice.echo_return_loss_db, "dB"),
        ("echo after", voice.echo_delay_ms.map(|ms| ms as f32), "ms"),
    ] {
        if let Some(value) = value {
            let _ = write!(line, "; {what} {value:.0} {unit}");
        }
    }
    line
}

fn row(name: &str, audio: &Audio) -> Vec<String> {
    let maybe = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.0}"));
    let mut row = vec![name.to_owned(), maybe(audio.delay_ms)];
    row.extend([audio.buffer_ms, audio.target_ms, audio.device_ms].map(|ms| format!("{ms:.1}")));
    row.push(maybe(audio.lip_sync_ms));
    row.extend([audio.packets_lost, audio.packets_late, audio.concealed_ms].map(|n| n.to_string()));
    row.push(format!("{:.0}", audio.drift_ppm));
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conference::stats::{Person, Sent, Speaker, VoiceDoes};

    #[test]
    fn every_part_of_the_delay_is_told() {
        let voice = Voice {
            capture_ms: 40.8,
            capture_device_ms: 5.9,
            packet_ms: 20.0,
            filters_ms: 14.9,
            does: VoiceDoes { echo: true, gain: true, ..VoiceDoes::default() },
            echo_return_loss_db: Some(41.2),
            glitches: 3,
            ..Voice::default()
        };
        let audio =
            Audio { packets_received: 9, delay_ms: Some(71.4), buffer_ms: 12.5, drift_ppm: -40.2, ..Audio::default() };
        let ada = Person { name: "Ada".into(), audio: Some(audio), ..Person::default() };
        let silent = Person { name: "Bob".into(), ..Person::default() };
        let speaker = Speaker { ahead_ms: 9.5, glitches: 2, opened: 1 };
        let sent = Sent { voice: Some(voice), ..Sent::default() };
        let text = table(&Stats { sent, speaker, people: vec![ada, silent], ..Stats::default() });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..2],
            [
                "microphone: 40.8 ms = device 5.9 + packet 20.0 + filters 14.9; 3 glitches; works on: echo, gain; echo return \
                 loss 41 dB",
                "speaker: 9.5 ms of sound wait, 2 glitches, opened 1 times"
            ]
        );
        assert_eq!(lines.len(), 4, "{text}");
        let cells: Vec<&str> = lines[3].split_whitespace().collect();
        assert_eq!(cells, ["Ada", "71", "12.5", "0.0", "0.0", "-", "0", "0", "0", "-40"]);
    }
}

//! Rooms of many kinds, and what of them is still heard.

use super::*;

/// Seconds until the echo has to be gone, and how much softer it is then, in dB.
const LEARNT_S: usize = 2;
const GONE_DB: f32 = 40.0;

/// Where a speaker and a microphone stand, and what the speaker plays.
struct Room {
    what: &'static str,
    far: Far,
    delay_ms: usize,
    reverberation_ms: usize,
    tail: f32,
    /// How loudly the speaker is turned up, and whether it is a small one that cannot do so cleanly.
    turned_up: f32,
    small: bool,
    /// Where the echo comes another way from then on, in seconds.
    moved: Option<usize>,
}

enum Far {
    Voice(&'static str),
    Music,
}

impl Room {
    const fn new(what: &'static str, delay_ms: usize, reverberation_ms: usize) -> Self {
        let far = Far::Voice("en");
        Self { what, far, delay_ms, reverberation_ms, tail: 1.0, turned_up: 1.0, small: false, moved: None }
    }

    /// How much softer the echo has to be at the least, in dB.
    fn least(&self, settings: Settings) -> f32 {
        match self.far {
            // Drums over held notes say little of a room: a canceller learns it slowly.
            Far::Music => 24.0,
            // What is left in a hall is the noise by which the canceller stands in for what it takes to be the room's.
            Far::Voice(_) if self.reverberation_ms >= 400 && settings == ECHO => 36.0,
            Far::Voice(_) => GONE_DB,
        }
    }

    /// What the speaker gets, and what of it reaches the microphone.
    fn sound(&self, seconds: usize) -> Option<(Vec<f32>, Vec<f32>)> {
        let far = match self.far {
            Far::Voice(voice) => speech(FAR, voice, seconds)?,
            Far::Music => music(seconds),
        };
        let played: Vec<f32> =
            far.iter().map(|s| s * self.turned_up).map(|s| if self.small { driven(s) } else { s }).collect();
        let mut echo = convolved(&played, &room(self.delay_ms, self.reverberation_ms, self.tail));
        if let Some(second) = self.moved {
            let mut other = room(self.delay_ms + 3, self.reverberation_ms * 3 / 2, 1.5 * self.tail);
            other.iter_mut().for_each(|r| *r *= 0.7);
            let from = second * RATE as usize;
            echo[from..].copy_from_slice(&convolved(&played, &other)[from..]);
        }
        echo.iter_mut().for_each(|s| *s = s.clamp(-1.0, 1.0));
        Some((far, echo))
    }
}

/// What a small loudspeaker makes of a sample: the peaks of a loud voice lose a third.
fn driven(sample: f32) -> f32 {
    (3.0 * sample).tanh() / 3.0
}

/// Chords that change three times a second, with a drum, at -20 dBFS.
fn music(seconds: usize) -> Vec<f32> {
    let drum = noise(seconds, -12.0);
    let mut music: Vec<f32> = (0..seconds * RATE as usize)
        .map(|i| {
            let (beat, within) = (i / 16_000, (i % 16_000) as f32 / 16_000.0);
            let t = i as f32 / RATE as f32;
            let root = [220.0, 174.6, 196.0, 146.8][beat / 2 % 4];
            let chord: f32 = [1.0, 1.26, 1.5, 2.0, 3.0, 5.0]
                .iter()
                .map(|h| (std::f32::consts::TAU * (root * h * t).fract()).sin() / h)
                .sum();
            chord * 0.1 * (1.0 - 0.7 * within) + drum[i] * 0.5 * (-25.0 * within).exp()
        })
        .collect();
    let gain = 10f32.powf((-20.0 - level_dbfs(&music)) / 20.0);
    music.iter_mut().for_each(|s| *s *= gain);
    music
}

fn rooms() -> Vec<Room> {
    vec![
        Room::new("beside a laptop", 10, 80),
        Room::new("a room", 60, 200),
        Room::new("a large room, late", 180, 300),
        Room { tail: 2.0, ..Room::new("a hard room", 60, 200) },
        Room::new("very close", 5, 50),
        Room::new("a small room, very late", 250, 120),
        Room::new("a hall", 30, 400),
        Room { turned_up: 4.5, ..Room::new("turned up: louder than a voice", 40, 150) },
        Room { small: true, ..Room::new("a small loudspeaker", 30, 120) },
        Room { far: Far::Voice("en+f3"), ..Room::new("a woman's voice", 90, 250) },
        Room { far: Far::Voice("en+m7"), tail: 1.5, ..Room::new("a deep voice, a hard room", 25, 250) },
        Room { far: Far::Music, ..Room::new("music", 50, 150) },
        Room { moved: Some(6), ..Room::new("a lid moved", 40, 150) },
    ]
}

#[test]
fn the_echo_is_gone_after_two_seconds_in_rooms_of_all_kinds() {
    for room in rooms() {
        let learnt = room.moved.unwrap_or(0) + LEARNT_S;
        let Some((far, echo)) = room.sound(learnt + 6) else { return };
        let before = level_dbfs(from_second(&echo, learnt));
        for (how, settings) in [("alone", ECHO), ("with everything on", Settings::ALL)] {
            let (out, figures) = processed(settings, &far, &echo);
            let loss = before - level_dbfs(from_second(&out, learnt));
            println!(
                "{} ({} ms away, {} ms long), echo at {before:.0} dBFS, {how}: {loss:.1} dB lost; {figures:?}",
                room.what, room.delay_ms, room.reverberation_ms
            );
            assert!(loss >= room.least(settings), "{}, {how}: {loss} dB", room.what);
            let found = figures.echo_delay_ms.expect("a delay") as usize;
            let made = room.delay_ms.saturating_sub(16)..=room.delay_ms + 8;
            let told = room.moved.is_none() && matches!(room.far, Far::Voice(_));
            assert!(made.contains(&found) || !told, "{found} ms found, {} made", room.delay_ms);
        }
    }
}

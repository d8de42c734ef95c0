//! What participants write with `--stats`, and shares of it between two moments.

use serde_json::Value;

/// One reading of a participant's `--stats` file.
#[derive(Clone, Debug)]
pub struct Stats(pub Value);

impl Stats {
    /// Seconds since the participant joined, at the time of this reading.
    pub fn elapsed_s(&self) -> f64 {
        self.0["elapsed_s"].as_f64().unwrap_or_else(|| panic!("no elapsed_s in {}", self.0))
    }

    /// Frames of video the participant has sent, all layers together.
    pub fn frames_sent(&self) -> f64 {
        number(&self.0["sent"]["video"]["frames"])
    }

    /// Frames of one layer the participant has sent.
    pub fn frames_sent_in(&self, layer: &str) -> f64 {
        number(&self.0["sent"]["layers"][layer]["frames"])
    }

    /// Names of the others this participant knows.
    pub fn names(&self) -> Vec<String> {
        let people = self.0["people"].as_array().into_iter().flatten();
        people.filter_map(|p| Some(p["name"].as_str()?.to_owned())).collect()
    }

    /// Names of the others who are here now.
    pub fn present(&self) -> Vec<String> {
        let people = self.0["people"].as_array().into_iter().flatten();
        people.filter(|p| p["present"] == true).filter_map(|p| Some(p["name"].as_str()?.to_owned())).collect()
    }

    /// The entry of the person called `name`; null while unknown.
    pub fn person(&self, name: &str) -> &Value {
        let people = self.0["people"].as_array().into_iter().flatten();
        people.into_iter().find(|p| p["name"] == name).unwrap_or(&Value::Null)
    }

    /// Frames of that person this participant has shown.
    pub fn frames_shown(&self, name: &str) -> f64 {
        number(&self.person(name)["video"]["frames_shown"])
    }

    /// Packets of that person's voice that have arrived.
    pub fn packets_heard(&self, name: &str) -> f64 {
        number(&self.person(name)["audio"]["packets_received"])
    }

    /// Whether picture and sound of that person have arrived.
    pub fn meets(&self, name: &str) -> bool {
        self.frames_shown(name) > 0.0 && self.packets_heard(name) > 0.0
    }
}

/// Zero for what is not there yet.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

/// Two readings of the same participant.
#[derive(Clone, Debug)]
pub struct Window {
    /// The earlier one.
    pub from: Stats,
    /// The later one.
    pub to: Stats,
}

impl Window {
    /// How long it is, by the participant's own clock.
    pub fn seconds(&self) -> f64 {
        let seconds = self.to.elapsed_s() - self.from.elapsed_s();
        assert!(seconds > 1.0, "a window of {seconds} s says nothing");
        seconds
    }

    /// Frames per second this participant sent.
    pub fn sent_rate(&self) -> f64 {
        (self.to.frames_sent() - self.from.frames_sent()) / self.seconds()
    }

    /// Which part of the frames `sender` sent this participant has shown.
    ///
    /// Rates are compared, each over its own reader's clock, so that neither joining and leaving nor the moment a file
    /// was written counts. One frame is granted for the edges. `camera_fps` stands for what is sent when several
    /// layers are, each counted by the sender.
    pub fn shown_share(&self, sender: &str, sent: &Window, camera_fps: f64) -> f64 {
        let shown = self.to.frames_shown(sender) - self.from.frames_shown(sender) + 1.0;
        shown / self.seconds() / sent.sent_rate().min(camera_fps)
    }

    /// Which part of the time `talker`'s voice was made up because packets were missing.
    pub fn concealed_share(&self, talker: &str) -> f64 {
        let ms = |stats: &Stats| number(&stats.person(talker)["audio"]["concealed_ms"]);
        (ms(&self.to) - ms(&self.from)) / (self.seconds() * 1_000.0)
    }

    /// Gaps of more than 60 ms in `talker`'s voice.
    pub fn gaps(&self, talker: &str) -> f64 {
        let gaps = |stats: &Stats| number(&stats.person(talker)["audio"]["gaps"]);
        gaps(&self.to) - gaps(&self.from)
    }

    /// Packets of `talker`'s voice that arrived, per second.
    pub fn audio_rate(&self, talker: &str) -> f64 {
        (self.to.packets_heard(talker) - self.from.packets_heard(talker)) / self.seconds()
    }
}

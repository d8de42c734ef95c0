//! Settings: compiled-in defaults, the user's file, the environment, the command line; the later wins.
//!
//! Each source is read into a flat [`Layer`] of optional texts, the layers are laid over one another, and the result
//! is checked once, naming the source of a bad value. Unknown keys are errors that name the nearest known one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::files::AcceptRule;
use super::taking::{Improvement, THRESHOLDS_DBFS, Taking};
use super::tap::Wish;
use crate::device::camera::CameraSpec;
use crate::device::sound::{Buffers, MicrophoneSpec, SpeakerSpec};
use crate::limits;
use crate::protocol::roster::names;
use crate::wire::address::Scope;

/// The commented defaults, as shipped.
pub const DEFAULTS: &str = include_str!("../../config/roundtable.toml");

/// Variables of the environment that are no settings.
const OTHER_VARIABLES: [&str; 4] = ["ROUNDTABLE_HOME", "ROUNDTABLE_LOG", "ROUNDTABLE_PASSPHRASE", "ROUNDTABLE_CONFIG"];

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{origin} is not valid TOML: {message}")]
    Syntax {
        /// Where it stands.
        origin: String,
        /// The parser's words.
        message: String,
    },
    /// A key nobody knows.
    #[error("{origin}: unknown setting '{key}'{}", nearest.as_ref().map_or(String::new(), |n| format!("; did you mean '{n}'?")))]
    UnknownKey {
        /// Where it stands.
        origin: String,
        /// The key.
        key: String,
        /// The known key most like it.
        nearest: Option<String>,
    },
    /// A value that cannot be used.
    #[error("{origin}: {key} = '{value}': {message}")]
    Value {
        /// Where it stands.
        origin: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        message: String,
    },
}

/// One source of settings: texts by key.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    values: BTreeMap<String, (String, String)>,
}

impl Layer {
    /// Reads TOML text; `origin` is named in errors.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, Error> {
        let table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| Error::Syntax { origin: origin.into(), message: e.message().to_owned() })?;
        let mut layer = Layer::default();
        for (key, value) in table {
            let text = match value {
                toml::Value::String(s) => s,
                toml::Value::Integer(n) => n.to_string(),
                toml::Value::Float(n) => n.to_string(),
                toml::Value::Boolean(b) => b.to_string(),
                other => {
                    known(&key, origin)?;
                    let message = "a single text or number is expected".to_owned();
                    return Err(Error::Value { origin: origin.into(), key, value: other.to_string(), message });
                }
            };
            layer.set(&key, &text, origin)?;
        }
        Ok(layer)
    }

    /// Takes the settings among `variables` (name, value), those that begin with `ROUNDTABLE_`.
    pub fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Result<Self, Error> {
        let mut layer = Layer::default();
        for (name, value) in variables {
            let Some(key) = name.strip_prefix("ROUNDTABLE_") else { continue };
            if !OTHER_VARIABLES.contains(&name.as_str()) {
                layer.set(&key.to_lowercase(), &value, &format!("environment variable {name}"))?;
            }
        }
        Ok(layer)
    }

    /// Sets one key.
    pub fn set(&mut self, key: &str, value: &str, origin: &str) -> Result<(), Error> {
        known(key, origin)?;
        self.values.insert(key.to_owned(), (value.to_owned(), origin.to_owned()));
        Ok(())
    }

    fn over(mut self, lower: Layer) -> Layer {
        for (key, value) in lower.values {
            self.values.entry(key).or_insert(value);
        }
        self
    }

    fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", |(value, _)| value)
    }

    fn error(&self, key: &str, message: impl Into<String>) -> Error {
        let (value, origin) = self.values.get(key).cloned().unwrap_or_default();
        Error::Value { origin, key: key.into(), value, message: message.into() }
    }

    fn parse<T: FromStr>(&self, key: &str, expected: &str) -> Result<T, Error> {
        self.text(key).trim().parse().map_err(|_| self.error(key, format!("{expected} is expected")))
    }

    fn number<T>(&self, key: &str, least: T, most: T) -> Result<T, Error>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let n: T = self.parse(key, &format!("a number from {least} to {most}"))?;
        let inside = n >= least && n <= most;
        inside.then_some(n).ok_or_else(|| self.error(key, format!("a number from {least} to {most} is expected")))
    }

    fn one_of(&self, key: &str, allowed: &[&str]) -> Result<String, Error> {
        let text = self.text(key).trim().to_lowercase();
        if allowed.contains(&text.as_str()) {
            Ok(text)
        } else {
            Err(self.error(key, format!("{} is expected", allowed.join(" or "))))
        }
    }

    fn optional<T: FromStr>(&self, key: &str, expected: &str) -> Result<Option<T>, Error> {
        if self.text(key).trim().is_empty() { Ok(None) } else { self.parse(key, expected).map(Some) }
    }
}

fn known(key: &str, origin: &str) -> Result<(), Error> {
    let keys = known_keys();
    if keys.iter().any(|k| k == key) {
        return Ok(());
    }
    let nearest = keys.into_iter().max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
    Err(Error::UnknownKey { origin: origin.into(), key: key.into(), nearest })
}

/// The keys of the shipped file are the known ones.
fn known_keys() -> Vec<String> {
    DEFAULTS.parse::<toml::Table>().map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

/// Width and height in pixels, written `1280x720`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.trim().split_once(['x', 'X']);
        let size = parts.and_then(|(w, h)| Some(Size { width: w.parse().ok()?, height: h.parse().ok()? }));
        size.ok_or_else(|| "a size such as 1280x720 is expected".to_owned())
    }
}

/// The settings of one participant, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name shown to others, cleaned of control characters.
    pub name: String,
    /// Which camera.
    pub camera: CameraSpec,
    /// Size asked of it.
    pub camera_size: Size,
    /// Rate asked of it, frames per second.
    pub camera_fps: u32,
    /// Which microphone.
    pub microphone: MicrophoneSpec,
    /// Which speaker.
    pub speaker: SpeakerSpec,
    /// What voice messages are recorded with and heard on while the conference itself uses none.
    pub spare: (MicrophoneSpec, SpeakerSpec),
    /// Interface by name or address.
    pub interface: Option<String>,
    /// How far a conference started here reaches.
    pub scope: Scope,
    /// It has IPv6 addresses.
    pub ipv6: bool,
    /// Machines asked directly which conferences there are.
    pub peers: Vec<IpAddr>,
    /// Multicast TTL; `None` is the scope's.
    pub ttl: Option<u8>,
    /// Pinned base of the block of groups.
    pub group: Option<IpAddr>,
    /// Pinned base port.
    pub port: Option<u16>,
    /// JPEG quality.
    pub quality: u8,
    /// Milliseconds in an audio packet.
    pub audio_frame_ms: u32,
    /// Opus bit rate, bits per second.
    pub audio_bitrate: u32,
    /// Packets of 5 ms in which nothing is looked ahead for, and nothing done to the voice.
    pub low_delay: bool,
    /// How the own voice is taken up.
    pub taking: Taking,
    /// Voices heard at once, the loudest.
    pub talkers: usize,
    /// Begin with camera and microphone off; the command line's alone.
    pub hold: bool,
    /// Receive no pictures, and voices only if there is a speaker.
    pub text_only: bool,
    /// Whose streams go to other programs.
    pub tap: Option<Wish>,
    /// Which files are taken without asking.
    pub accept_files: AcceptRule,
    /// Where files go.
    pub download: PathBuf,
    /// Files are never sent faster than so many Mb/s of what is in them.
    pub file_rate_mbit: Option<u32>,
    /// Whose picture is kept wanted, in which layer, though it is not received here.
    pub keep: Option<(String, crate::wire::Layer)>,
    /// Whose picture is received in full whatever the size of its tile.
    pub focus: Option<String>,
    /// Video of all people together, megabits a second.
    pub conference_mbit: u32,
    /// Video that may be received, megabits a second.
    pub receive_mbit: u32,
    /// The same when the network is wireless, and what may be sent there.
    pub wifi_mbit: u32,
    /// Window size.
    pub size: Size,
    /// Interface scale; `None` follows the screen.
    pub scale: Option<f32>,
    /// Dark text on light ground.
    pub light: bool,
    /// Language of the window, "en" or "zh"; `None` follows the system.
    pub language: Option<String>,
    /// Pictures fill their tiles, whatever is cut.
    pub fill_tiles: bool,
    /// Tiles of the window jump to their places instead of moving there.
    pub reduce_motion: bool,
}

impl Config {
    /// How much sound waits in the devices' buffers.
    pub fn buffers(&self) -> Buffers {
        if self.low_delay { Buffers::Least } else { Buffers::Usual }
    }

    /// Lays `flags` over the environment, over the user's file, over the defaults, and checks the result.
    pub fn load(flags: Layer) -> Result<Self, Error> {
        let environment = Layer::from_environment(
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        )?;
        let file = match user_file() {
            Some(path) => read_layer(&path)?,
            None => Layer::default(),
        };
        let defaults = Layer::from_toml(DEFAULTS, "built-in defaults")?;
        Self::check(&flags.over(environment).over(file).over(defaults))
    }

    fn check(layer: &Layer) -> Result<Self, Error> {
        let size = |key: &str, least: usize, most: (usize, usize)| {
            let size: Size = layer.parse(key, "a size such as 1280x720")?;
            let fits = (least..=most.0).contains(&size.width) && (least..=most.1).contains(&size.height);
            let message = format!("between {least}x{least} and {}x{} is expected", most.0, most.1);
            fits.then_some(size).ok_or_else(|| layer.error(key, message))
        };
        let jpeg_max = (limits::JPEG_SIDE_PIXELS_MAX, limits::JPEG_SIDE_PIXELS_MAX);
        let frame_ms: u32 = layer.number("audio_frame_ms", 10, 20)?;
        if frame_ms != 10 && frame_ms != 20 {
            return Err(layer.error("audio_frame_ms", "10 or 20 is expected"));
        }
        let low_delay = layer.parse("low_delay", "true or false")?;
        let scale: f32 = layer.number("scale", 0.0, 4.0)?;
        let port: u16 = layer.number("port", 0, 63_488)?;
        if !port.is_multiple_of(2) {
            return Err(layer.error("port", "an even number is expected: RTP takes even ports, RTCP the odd above"));
        }
        let ipv6 = layer.parse("ipv6", "true or false")?;
        let group: Option<IpAddr> = layer.optional("group", "an address such as 239.255.4.0 or ff12::8000:8000")?;
        if ipv6 && group.is_some_and(|g| g.is_ipv4()) {
            return Err(layer.error("group", "an IPv6 address is expected, because ipv6 is asked for"));
        }
        Ok(Config {
            name: name_or_login(layer.text("name")).map_err(|m| layer.error("name", m))?,
            camera: layer.parse("camera", "auto, none, test, a number or a file")?,
            camera_size: size("camera_size", 16, jpeg_max)?,
            camera_fps: layer.number("camera_fps", 1, 120)?,
            microphone: layer.parse("microphone", "auto, none, test, a name or a WAV file")?,
            speaker: layer.parse("speaker", "auto, none, a name or a WAV file")?,
            spare: (MicrophoneSpec::None, SpeakerSpec::None),
            interface: layer.optional("interface", "an interface name or address")?,
            scope: layer.parse("scope", "lan or site")?,
            ipv6: ipv6 || group.is_some_and(|g| g.is_ipv6()),
            peers: addresses(layer.text("peer")).map_err(|m| layer.error("peer", m))?,
            ttl: layer.optional("ttl", "a number from 0 to 255")?,
            group,
            port: (port != 0).then_some(port),
            quality: layer.number("quality", 1, 100)?,
            audio_frame_ms: if low_delay { 5 } else { frame_ms },
            audio_bitrate: layer.number("audio_bitrate", 6_000, 256_000)?,
            low_delay,
            taking: Taking {
                talk: layer.parse("talk", "open, voice or push")?,
                threshold_dbfs: layer.number("talk_threshold", *THRESHOLDS_DBFS.start(), *THRESHOLDS_DBFS.end())?,
                echo: layer.parse(Improvement::Echo.key(), "true or false")?,
                noise: layer.parse(Improvement::Noise.key(), "true or false")?,
                gain: layer.parse(Improvement::Gain.key(), "true or false")?,
                headset: layer.parse(Improvement::Headset.key(), "true or false")?,
                low_delay,
            },
            talkers: layer.number("talkers", 1, limits::SLOTS_MAX)?,
            hold: false,
            text_only: !layer.parse::<bool>("pictures", "true or false")?,
            tap: None,
            accept_files: layer.parse("accept_files", "ask, all or none")?,
            download: download(layer.text("download")),
            file_rate_mbit: Some(layer.number("file_rate", 0, 10_000)?).filter(|rate| *rate > 0),
            keep: None,
            focus: Some(names::clean(layer.text("focus"), usize::MAX)).filter(|name| !name.is_empty()),
            conference_mbit: layer.number("conference_mbit", 1, 100_000)?,
            receive_mbit: layer.number("receive_mbit", 1, 100_000)?,
            wifi_mbit: layer.number("wifi_mbit", 1, 100_000)?,
            size: size("size", 160, (7_680, 4_320))?,
            scale: (scale >= 0.25).then_some(scale),
            light: layer.one_of("theme", &["dark", "light"])? == "light",
            language: Some(layer.one_of("language", &["auto", "en", "zh"])?).filter(|l| l != "auto"),
            fill_tiles: layer.one_of("fill_tiles", &["false", "true"])? == "true",
            reduce_motion: layer.one_of("reduce_motion", &["false", "true"])? == "true",
        })
    }
}

fn read_layer(path: &Path) -> Result<Layer, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Layer::from_toml(&text, &path.display().to_string()),
        // Only a file named on purpose must exist.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && std::env::var_os("ROUNDTABLE_CONFIG").is_none() => {
            Ok(Layer::default())
        }
        Err(source) => Err(Error::Read { path: path.into(), source }),
    }
}

/// Where the user's settings live; `ROUNDTABLE_CONFIG` names another file.
pub fn user_file() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ROUNDTABLE_CONFIG") {
        return Some(path.into());
    }
    directories::ProjectDirs::from("", "", "roundtable").map(|d| d.config_dir().join("roundtable.toml"))
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, &'static str> {
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    let all: Result<Vec<IpAddr>, _> = words.map(str::parse).collect();
    let all = all.map_err(|_| "addresses such as 10.77.0.1 are expected")?;
    if all.len() > limits::PEERS_MAX { Err("so many are not asked") } else { Ok(all) }
}

/// The folder asked for, or where users expect downloads.
fn download(text: &str) -> PathBuf {
    if !text.trim().is_empty() {
        return text.into();
    }
    let user = directories::UserDirs::new();
    let usual = user
        .and_then(|user| user.download_dir().map(Path::to_owned).or_else(|| Some(user.home_dir().join("Downloads"))));
    usual.unwrap_or_else(|| ".".into())
}

fn name_or_login(text: &str) -> Result<String, String> {
    let login = || ["USER", "LOGNAME", "USERNAME"].iter().find_map(|v| std::env::var(v).ok());
    let text = if text.trim().is_empty() { login().unwrap_or_else(|| "guest".into()) } else { text.to_owned() };
    let clean = names::clean(&text, usize::MAX);
    if names::fold(&clean).is_empty() {
        return Err("a name with something to see in it is expected".into());
    }
    if clean.len() > limits::NAME_BYTES_MAX {
        return Err(format!("at most {} bytes are expected, this is {}", limits::NAME_BYTES_MAX, clean.len()));
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Config, Error> {
        let mut flags = Layer::default();
        for (key, value) in pairs {
            flags.set(key, value, "command line")?;
        }
        Config::check(&flags.over(Layer::from_toml(DEFAULTS, "defaults")?))
    }

    #[test]
    fn the_shipped_file_is_complete_and_valid() {
        let config = with(&[("name", "Ada")]).unwrap();
        assert_eq!(config.name, "Ada");
        assert_eq!(config.camera_size, Size { width: 1280, height: 720 });
        assert_eq!((config.ttl, config.port, config.group), (None, None, None));
        assert_eq!((config.taking, config.audio_frame_ms), (Taking::default(), 20));
        assert_eq!(with(&[("name", "Ada"), ("low_delay", "true")]).unwrap().audio_frame_ms, 5);
    }

    #[test]
    fn later_sources_win() {
        let file = Layer::from_toml("name = \"File\"\nttl = 4\nquality = 50", "f").unwrap();
        let environment = Layer::from_environment(
            [("ROUNDTABLE_TTL", "7"), ("ROUNDTABLE_LOG", "debug"), ("HOME", "/")]
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        )
        .unwrap();
        let mut flags = Layer::default();
        flags.set("name", "Flag", "command line").unwrap();
        let all = flags.over(environment).over(file).over(Layer::from_toml(DEFAULTS, "d").unwrap());
        let config = Config::check(&all).unwrap();
        assert_eq!((config.name.as_str(), config.ttl, config.quality), ("Flag", Some(7), 50));
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        let e = Layer::from_toml("camara = \"test\"", "my.toml").unwrap_err();
        assert_eq!(e.to_string(), "my.toml: unknown setting 'camara'; did you mean 'camera'?");
        let e = Layer::from_environment([("ROUNDTABLE_SPEKER".to_owned(), "x".to_owned())].into_iter()).unwrap_err();
        assert!(e.to_string().contains("ROUNDTABLE_SPEKER") && e.to_string().contains("'speaker'"), "{e}");
    }

    #[test]
    fn bad_values_are_refused_with_their_source() {
        for (key, value) in [
            ("camera_size", "12x"),
            ("camera_size", "8x8"),
            ("camera_size", "2048x720"),
            ("camera_fps", "0"),
            ("quality", "101"),
            ("pictures", "maybe"),
            ("conference_mbit", "0"),
            ("receive_mbit", "lots"),
            ("wifi_mbit", "100001"),
            ("port", "20481"),
            ("port", "63490"),
            ("audio_frame_ms", "15"),
            ("audio_echo", "loud"),
            ("talk", "shout"),
            ("talk_threshold", "-91"),
            ("low_delay", "5"),
            ("talkers", "0"),
            ("talkers", "125"),
            ("ttl", "256"),
            ("group", "everyone"),
            ("scope", "world"),
            ("peer", "ada"),
            ("peer", "1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 1.1.1.6 1.1.1.7 1.1.1.8 1.1.1.9"),
            ("ipv6", "perhaps"),
            ("name", "\u{7}"),
            ("name", "\u{200b}\u{200d}"),
            ("name", &"x".repeat(65)),
            ("size", "0x0"),
            ("accept_files", "some"),
            ("file_rate", "-1"),
            ("theme", "pink"),
            ("language", "xx"),
            ("fill_tiles", "perhaps"),
            ("reduce_motion", "a bit"),
        ] {
            let text = with(&[("name", "Ada"), (key, value)]).expect_err(key).to_string();
            assert!(text.starts_with("command line: ") && text.contains(key), "{text}");
        }
    }

    #[test]
    fn so_many_machines_are_asked_and_no_more() {
        let peers = |n: usize| vec!["10.77.0.1"; n].join(",");
        assert_eq!(
            with(&[("name", "Ada"), ("peer", &peers(limits::PEERS_MAX))]).unwrap().peers.len(),
            limits::PEERS_MAX
        );
        assert!(with(&[("name", "Ada"), ("peer", &peers(limits::PEERS_MAX + 1))]).is_err());
    }

    #[test]
    fn a_table_or_list_is_no_value() {
        let e = Layer::from_toml("ttl = [1]", "f").unwrap_err().to_string();
        assert!(e.contains("ttl") && e.contains("single"), "{e}");
        assert!(matches!(Layer::from_toml("ttl = ", "f"), Err(Error::Syntax { .. })));
    }
}

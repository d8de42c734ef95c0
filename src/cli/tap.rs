//! `tap`: somebody's streams as plain RTP on this machine, for programs that cannot open a protected conference.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::failure::{Failure, code};
use super::passphrase::{self, Trial};
use super::{ParticipantOptions, meet, participate, report, sdp};
use crate::conference::tap::{self, PORTS, Tapped, TappedStream, Wish};
use crate::conference::{Conference, Entry, Role};
use crate::device::net::FreePorts;
use crate::wire::{Layer, StreamKind};

/// How long the person may take to be seen.
const SEARCH: Duration = Duration::from_secs(5);
/// How long the second of picture and voice may take once there is the first.
const SECOND_STREAM: Duration = Duration::from_secs(1);
/// Where ports are looked for: the RTP port that most examples have.
const FIRST_PORT: u16 = 5_004;

/// More than the keys of two streams take.
const KEYS_BYTES_MAX: usize = 8 * 1024;

/// At the end of the subcommand's help.
pub const EXAMPLES: &str = "\
Examples:
  roundtable tap Ada --sdp ada.sdp &
  ffplay -protocol_whitelist file,udp,rtp ada.sdp         VLC and OBS open the file, too
  gst-launch-1.0 filesrc location=ada.sdp ! sdpdemux ! rtpjpegdepay ! jpegdec ! autovideosink
  roundtable tap Ada --export-key ada.json                key, roll-over counter and caps for GStreamer's srtpdec

Whatever runs on this machine can play what is tapped: it is in clear there, and nowhere else.";

/// What to tap, and where it goes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Name of the person, as the conference shows it
    name: String,
    /// Conference, when more than one is on this network; - reads an invite from stdin
    #[arg(long, value_name = "TITLE")]
    conference: Option<String>,
    /// Which quality of the picture
    #[arg(long, value_name = "thumb|medium|full", value_parser = sdp::layer, default_value = "full")]
    layer: Layer,
    /// Write the SDP there, and again when it changes; otherwise it is printed once
    #[arg(long, value_name = "FILE")]
    sdp: Option<PathBuf>,
    /// Send the picture to this even port of 127.0.0.1 and the voice to the one two above; otherwise four free ones from
    /// 5004 on are taken
    #[arg(long, value_name = "PORT", value_parser = even_port)]
    port: Option<u16>,
    /// Write the SRTP keys of these streams there as JSON, readable by you alone
    #[arg(long, value_name = "FILE")]
    export_key: Option<PathBuf>,
    /// A file that holds the passphrase; ROUNDTABLE_PASSPHRASE is the other way
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Network interface, by name or address
    #[arg(long, value_name = "NAME|ADDR")]
    interface: Option<String>,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds, allow_negative_numbers = true)]
    duration: Option<f64>,
}

fn even_port(text: &str) -> Result<u16, String> {
    let port = text.parse::<u16>().ok().filter(|p| p.is_multiple_of(2) && (2..=u16::MAX - PORTS + 1).contains(p));
    port.ok_or_else(|| format!("an even number from 2 to {} is expected", u16::MAX - PORTS + 1))
}

/// Taps until interrupted.
pub fn run(options: &Options) -> Result<(), Failure> {
    let participant = ParticipantOptions {
        passphrase_file: options.passphrase_file.clone(),
        duration: options.duration,
        ..sdp::observer("tap", options.interface.as_ref())
    };
    let mut config = participant.config()?;
    [&options.sdp, &options.export_key]
        .into_iter()
        .flatten()
        .try_for_each(|path| report::writable(path).map_err(|e| participate::unwritable(path, e)))?;
    let mut trial = Trial::given(&participant)?;
    let found = match &options.conference {
        Some(title) => meet::resolve(title, &config, &mut trial)?,
        None => meet::only(&config)?,
    };
    if found.open && options.export_key.is_some() {
        return Err(Failure::usage(format!("\"{}\" is open: its streams have no key", found.title))
            .hint("other programs play them as they are: `roundtable sdp` describes them"));
    }
    let secret = passphrase::secret_for(&found, trial)?;
    let found_free = match options.port {
        Some(_) => None,
        None => Some(FreePorts::on_loopback(FIRST_PORT, PORTS).map_err(|e| {
            Failure::words(code::NETWORK, format!("no free ports on 127.0.0.1: {e}")).hint("--port names some")
        })?),
    };
    let port = options.port.or(found_free.as_ref().map(FreePorts::base)).unwrap_or(FIRST_PORT);
    config.tap = Some(Wish { name: options.name.clone(), layer: options.layer, port });
    let conference = participate::open(&config, Entry::Join { found, secret }, Role::Observer)?;
    if !conference.wait_until(SEARCH, |c| c.tapped().is_some()) {
        return Err(sdp::nothing_of(&options.name, options.layer, &conference));
    }
    conference.wait_until(SECOND_STREAM, |c| c.tapped().is_some_and(|t| t.streams.len() == 2));
    let mut written = Written::default();
    if let Some(tapped) = conference.tapped() {
        if options.sdp.is_none() {
            report::print(&tapped.sdp)?;
        }
        written.renew(options, &conference, &tapped)?;
    }
    eprintln!("{} is sent to 127.0.0.1: picture to port {port}, voice to port {}; Ctrl-C ends", options.name, port + 2);
    participate::stay_unseen(conference, &participant, |conference| match conference.tapped() {
        Some(tapped) => written.renew(options, conference, &tapped),
        None => Ok(()),
    })
}

/// What the files hold.
#[derive(Default)]
struct Written {
    sdp: String,
    keys: Zeroizing<String>,
}

impl Written {
    /// Writes what has changed.
    fn renew(&mut self, options: &Options, conference: &Conference, tapped: &Tapped) -> Result<(), Failure> {
        if let Some(path) = &options.sdp
            && self.sdp != tapped.sdp
        {
            replace(path, &tapped.sdp)?;
            self.sdp.clone_from(&tapped.sdp);
        }
        if let Some(path) = &options.export_key {
            let keys = exported(&conference.title(), &options.name, &tapped.streams);
            if self.keys != keys {
                replace(path, &keys)?;
                self.keys = keys;
            }
        }
        Ok(())
    }
}

/// Replaces the file in one step by one that its owner alone may read.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|e| e.error)
    });
    written.map(drop).map_err(|e| participate::unwritable(path, e))
}

/// What the file of keys holds, as it is documented for scripts.
#[derive(Serialize)]
struct Exported<'a> {
    conference: &'a str,
    name: &'a str,
    streams: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    kind: &'static str,
    group: IpAddr,
    port: u16,
    ssrc: u32,
    payload_type: u8,
    /// Master key and salt, in hexadecimal digits.
    #[serde(serialize_with = "plain")]
    key: Zeroizing<String>,
    roc: u32,
    /// What GStreamer's srtpdec takes at its sink.
    #[serde(serialize_with = "plain")]
    caps: Zeroizing<String>,
}

/// Without a copy that nobody would wipe.
fn plain<S: Serializer>(text: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// The keys as JSON; what is not protected has none.
fn exported(conference: &str, name: &str, streams: &[TappedStream]) -> Zeroizing<String> {
    let of = |stream: &TappedStream| {
        let (master, roc) = (stream.master.as_ref()?, stream.rollovers());
        Some(Key {
            kind: if stream.kind == StreamKind::Audio { "audio" } else { "video" },
            group: stream.group.ip(),
            port: stream.group.port(),
            ssrc: stream.ssrc,
            payload_type: tap::payload_type(stream.kind),
            key: tap::hex(&master[..]),
            roc,
            caps: tap::srtpdec_caps(stream.kind, stream.ssrc, roc, master),
        })
    };
    let all = Exported { conference, name, streams: streams.iter().filter_map(of).collect() };
    // As large as it may become: a text that grows leaves copies of what it held.
    let mut text = Zeroizing::new(Vec::with_capacity(KEYS_BYTES_MAX));
    // Strings and numbers in memory: nothing of this can fail.
    let _ = serde_json::to_writer_pretty(&mut *text, &all);
    text.push(b'\n');
    Zeroizing::new(String::from_utf8(std::mem::take(&mut *text)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_leave_room_for_four() {
        assert_eq!(even_port("5004"), Ok(5_004));
        assert_eq!(even_port("65532"), Ok(65_532));
        for bad in ["0", "5005", "65534", "65536", "-2", "x", ""] {
            assert!(even_port(bad).is_err(), "{bad}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_written_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        replace(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(replace(&folder.path().join("no/such/file"), "x").is_err());
    }
}

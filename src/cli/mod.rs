//! The command line: definitions, and what every subcommand shares (errors with hints, exit codes, logging).
//!
//! Data goes to stdout, everything else to stderr.

mod audio_stats;
mod begin;
pub mod chat;
pub mod demo;
pub mod devices;
pub mod doctor;
pub mod failure;
mod files;
pub mod history;
pub mod json;
pub mod list;
pub mod meet;
mod pace;
pub mod participate;
mod passphrase;
mod qr;
pub mod report;
mod room;
pub mod sdp;
pub mod send;
mod sound;
pub mod tap;
mod transcript;
mod typed;
mod voice;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::conference::config::{self, Config, Layer};
use failure::Failure;

const EXAMPLES: &str = "\
Examples:
  roundtable demo                          see it work on one machine
  roundtable start \"Standup\"               start a conference: prints its passphrase and an invite
  roundtable join Standup                  join by its title; asks for the passphrase
  roundtable join -                        join by the invite that is pasted or piped in
  roundtable                               list the conferences on this network and pick one
  roundtable join Standup --camera none    join without a camera
  roundtable doctor                        find out why it does not work
  roundtable chat Standup                  join in the terminal, to read and write
  roundtable send report.pdf Standup       send a file to everybody there
  roundtable tap Ada --sdp ada.sdp         play somebody's stream: ffplay -protocol_whitelist file,udp,rtp ada.sdp

Settings can be kept in a file and in the environment too; `roundtable devices` names devices and that file.
Exit codes: 0 done, 1 unexpected, 2 usage, 3 device, 4 network, 5 refused, 6 not found.";

const START_EXAMPLES: &str = "\
Examples:
  roundtable start \"Standup\" --name Ada           prints a passphrase, an invite and its QR code
  roundtable start \"Standup\" --passphrase-file f  with a passphrase of your own
  roundtable start \"Fair\" --open                  without: anyone on this network can watch";

const JOIN_EXAMPLES: &str = "\
Examples:
  roundtable join Standup --camera test --microphone none
  roundtable join -                         paste the invite
  roundtable join - --headless < invite.txt

Neither invite nor passphrase is an argument: every user of this machine can read those.";

/// Video conferencing on a local network with no server.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES, infer_subcommands = false)]
struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    options: ParticipantOptions,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Start a conference on this network and open it
    #[command(after_help = START_EXAMPLES)]
    Start {
        /// What the conference is called; others join it by this title
        title: Option<String>,
        /// Anyone on this network may watch; otherwise a passphrase is made up, unless you give one
        #[arg(long)]
        open: bool,
        /// In the terminal, as `roundtable chat`: no window, and no camera and microphone unless they are named
        #[arg(long)]
        text: bool,
        #[command(flatten)]
        options: ParticipantOptions,
    },
    /// Join a conference; without a title, pick one from those on this network
    #[command(after_help = JOIN_EXAMPLES)]
    Join {
        /// Title of the conference or the beginning of it, or its id as `roundtable list --json` has it; - reads an
        /// invite from stdin
        title: Option<String>,
        #[command(flatten)]
        options: ParticipantOptions,
    },
    /// Join a conference in the terminal: read and write what is said, without camera, microphone and window
    #[command(
        after_help = chat::EXAMPLES
    )]
    Chat {
        /// Title of the conference or the beginning of it, or its id as `roundtable list --json` has it
        title: Option<String>,
        /// One line after the other instead of the whole terminal, as for a screen reader
        #[arg(long)]
        plain: bool,
        #[command(flatten)]
        options: ParticipantOptions,
    },
    /// List the conferences on this network
    #[command(after_help = "Examples:\n  roundtable list\n  roundtable list --json | jq -r .conference")]
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// Network interface, by name or address
        #[arg(long, value_name = "NAME|ADDR")]
        interface: Option<String>,
    },
    /// List cameras, microphones, speakers and network interfaces
    #[command(after_help = "Example:\n  roundtable devices")]
    Devices {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Find out why a conference does not work here, and what mends it
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Options),
    /// Print the SDP of somebody's streams, for ffplay, GStreamer or VLC
    #[command(
        after_help = "Example:\n  roundtable sdp Ada > ada.sdp &\n  ffplay -protocol_whitelist file,udp,rtp ada.sdp"
    )]
    Sdp(sdp::Options),
    /// What was said and is kept on this machine
    #[command(after_help = history::EXAMPLES)]
    History(history::Options),
    /// Send files and folders to everybody in a conference, or to some
    #[command(after_help = send::EXAMPLES)]
    Send(send::Options),
    /// Send somebody's streams to programs on this machine, out of a protected conference, too
    #[command(after_help = tap::EXAMPLES)]
    Tap(tap::Options),
    /// See a conference of simulated people on this machine
    #[command(
        after_help = "Example:\n  roundtable demo --people 9\n  roundtable demo --headless --duration 10 --stats s.json --screenshot s.png"
    )]
    Demo {
        /// How many simulated people
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=49))]
        people: u16,
        #[command(flatten)]
        options: ParticipantOptions,
    },
}

/// What every participant may say of itself.
#[derive(Args, Clone, Debug, Default)]
pub struct ParticipantOptions {
    /// Your name as others see it
    #[arg(long)]
    pub name: Option<String>,
    /// Camera: auto, none, test, a number of `roundtable devices`, or a file (MJPEG, AVI, Y4M, folder of JPEGs)
    #[arg(long, value_name = "auto|none|test|INDEX|FILE")]
    pub camera: Option<String>,
    /// Microphone: auto, none, test, a name of `roundtable devices` (auto while it is not there), or a WAV file
    #[arg(long, value_name = "auto|none|test|NAME|FILE.wav")]
    pub microphone: Option<String>,
    /// Speaker: auto, none, a name of `roundtable devices` (auto while it is not there), or a WAV file to write
    #[arg(long, value_name = "auto|none|NAME|FILE.wav")]
    pub speaker: Option<String>,
    /// When your voice is sent: all the time, while you speak, or while you hold Space
    #[arg(long, value_name = "open|voice|push")]
    pub talk: Option<String>,
    /// Leave the speaker's echo in your voice
    #[arg(long)]
    pub no_echo: bool,
    /// Leave the noise around you in your voice
    #[arg(long)]
    pub no_noise: bool,
    /// Leave your voice as loud as it is
    #[arg(long)]
    pub no_gain: bool,
    /// You wear a headset: there is no echo to take out
    #[arg(long)]
    pub headset: bool,
    /// For musicians and intercoms, with headphones: the least delay, and nothing done to your voice
    #[arg(long)]
    pub low_delay: bool,
    /// Network interface, by name or address
    #[arg(long, value_name = "NAME|ADDR")]
    pub interface: Option<String>,
    /// How far a conference you start reaches: this network, or across the site's multicast routers
    #[arg(long, value_name = "lan|site")]
    pub scope: Option<String>,
    /// Start the conference over IPv6; those who join need not say so
    #[arg(long)]
    pub ipv6: bool,
    /// Ask this machine for conferences too, where neither multicast nor broadcasts get through
    #[arg(long, value_name = "ADDR,..")]
    pub peer: Option<String>,
    /// How many routers multicast may cross, if not what the scope needs (lan 1, site 16)
    #[arg(long, value_name = "N")]
    pub ttl: Option<String>,
    /// Pin the multicast groups: the base of a block of 512, such as 239.255.4.0 or ff12::8000:8000
    #[arg(long, value_name = "ADDR")]
    pub group: Option<String>,
    /// Pin the ports: an even base port up to 63488
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Files that are taken without asking: ask (only voice messages, pictures up to 2 MB, and from people you always accept
    /// from), all, none
    #[arg(long, value_name = "ask|all|none")]
    pub accept_files: Option<String>,
    /// Where files go
    #[arg(long, value_name = "FOLDER")]
    pub download: Option<String>,
    /// No window; everything is received, decoded and composed as with one
    #[arg(long)]
    pub headless: bool,
    /// Size of the window or of the picture composed without one
    #[arg(long, value_name = "WxH")]
    pub size: Option<String>,
    /// Write the composed window there once a second and at the end
    #[arg(long, value_name = "FILE.png")]
    pub screenshot: Option<PathBuf>,
    /// Leave after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub duration: Option<f64>,
    /// Write statistics as JSON there, each second and at the end
    #[arg(long, value_name = "FILE.json")]
    pub stats: Option<PathBuf>,
    /// Tell on stderr, each 10 seconds and at the end, how voices fare: delay by part, what was made up, drift, echo
    #[arg(long)]
    pub audio_stats: bool,
    /// A file that holds the passphrase; ROUNDTABLE_PASSPHRASE is the other way
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// With --headless, or chat: commands as JSON lines on stdin, events as JSON lines on stdout
    #[arg(long)]
    pub json: bool,
    /// Neither window nor pictures, only what is said
    #[arg(skip)]
    pub text: bool,
    /// Voice messages use the devices of the settings, though the conference itself uses none
    #[arg(skip)]
    pub spare_devices: bool,
    /// Lines on the terminal instead of all of it
    #[arg(skip)]
    pub plain: bool,
    /// Leave when stdin ends
    #[arg(long, hide = true)]
    pub until_eof: bool,
    /// Begin with camera and microphone off
    #[arg(long, hide = true)]
    pub hold: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if s.is_finite() && (0.0..=31_536_000.0).contains(&s) => Ok(s),
        _ => Err("a number of seconds is expected".into()),
    }
}

impl ParticipantOptions {
    /// The options as a layer of settings over file and environment.
    pub fn config(&self) -> Result<Config, Failure> {
        let mut flags = Layer::default();
        // Before anything is said on the command line.
        let usual = if self.spare_devices { Some(Config::load(flags.clone()).map_err(bad_setting)?) } else { None };
        let given = |on: bool, value: &str| on.then(|| value.to_owned());
        let texts = [
            ("talk", &self.talk),
            ("audio_echo", &given(self.no_echo, "false")),
            ("audio_noise", &given(self.no_noise, "false")),
            ("audio_gain", &given(self.no_gain, "false")),
            ("headset", &given(self.headset, "true")),
            ("low_delay", &given(self.low_delay, "true")),
            ("name", &self.name),
            ("camera", &self.camera),
            ("microphone", &self.microphone),
            ("speaker", &self.speaker),
            ("interface", &self.interface),
            ("scope", &self.scope),
            ("ipv6", &self.ipv6.then(|| "true".to_owned())),
            ("peer", &self.peer),
            ("ttl", &self.ttl),
            ("group", &self.group),
            ("port", &self.port),
            ("size", &self.size),
            ("accept_files", &self.accept_files),
            ("download", &self.download),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                flags.set(key, value, COMMAND_LINE).map_err(Failure::usage)?;
            }
        }
        let config = Config::load(flags).map_err(bad_setting)?;
        let spare = usual.map_or(config.spare.clone(), |usual| (usual.microphone, usual.speaker));
        Ok(Config { hold: self.hold, text_only: self.text || config.text_only, spare, ..config })
    }
}

/// Where a setting given as an option stands.
const COMMAND_LINE: &str = "command line";

fn bad_setting(error: config::Error) -> Failure {
    let hint = match &error {
        config::Error::Value { origin, .. } if origin == COMMAND_LINE => {
            "`roundtable start --help` lists the options and what they take"
        }
        _ => "`roundtable devices` names the file of settings; --help of a command lists what they take",
    };
    Failure::usage(error).hint(hint)
}

/// Parses, runs, reports.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log();
    let result = match cli.command {
        None if begin::possible(&cli.options) => begin::run(&cli.options),
        None => meet::join(None, &cli.options),
        Some(Subcommands::Start { title, open, text: false, options }) => meet::start(title, open, &options),
        Some(Subcommands::Start { title, open, text: true, options }) => {
            // The invite stays in sight.
            chat::text_alone(true, &options).and_then(|options| meet::start(title, open, &options))
        }
        Some(Subcommands::Join { title, options }) => meet::join(title.as_deref(), &options),
        Some(Subcommands::Chat { title, plain, options }) => chat::run(title.as_deref(), plain, &options),
        Some(Subcommands::List { json, interface }) => list::run(json, interface),
        Some(Subcommands::Devices { json }) => devices::run(json),
        Some(Subcommands::Doctor(options)) => doctor::run(&options),
        Some(Subcommands::Sdp(options)) => sdp::run(&options),
        Some(Subcommands::History(options)) => history::run(&options),
        Some(Subcommands::Send(options)) => send::run(&options),
        Some(Subcommands::Tap(options)) => tap::run(&options),
        Some(Subcommands::Demo { people, options }) => demo::run(people, &options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code)
        }
    }
}

/// `ROUNDTABLE_LOG` sets what is logged to stderr, in the syntax of `tracing_subscriber::EnvFilter`.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ROUNDTABLE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_checked() {
        assert_eq!(seconds("1.5"), Ok(1.5));
        for bad in ["", "-1", "inf", "NaN", "1e99", "ten"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bare_roundtable_takes_participant_options() {
        let cli = Cli::try_parse_from(["roundtable", "--name", "Ada", "--camera", "test"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.options.name.as_deref(), Some("Ada"));
        let json = |headless, text| ParticipantOptions { json: true, headless, text, ..ParticipantOptions::default() };
        assert!(participate::check(&json(false, false)).is_err_and(|e| e.code == failure::code::USAGE));
        assert!(participate::check(&json(true, false)).is_ok() && participate::check(&json(false, true)).is_ok());
    }
}

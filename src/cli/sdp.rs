//! `sdp`: somebody's streams for another program.

use std::time::Duration;

use clap::Args;

use super::failure::{Failure, code};
use super::passphrase::Trial;
use super::{ParticipantOptions, meet, participate, report};
use crate::conference::{Conference, Entry, Role};
use crate::protocol::keys::Secret;
use crate::wire::Layer;

/// How long the person may take to be seen.
const SEARCH: Duration = Duration::from_secs(5);

/// What to print.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Name of the person, as the conference shows it
    name: String,
    /// Conference, when more than one is on this network
    #[arg(long, value_name = "TITLE")]
    conference: Option<String>,
    /// Which quality of the picture
    #[arg(long, value_name = "thumb|medium|full", value_parser = layer, default_value = "full")]
    layer: Layer,
    /// Only print; otherwise stay, so that the stream keeps being sent, until interrupted
    #[arg(long)]
    once: bool,
    /// Network interface, by name or address
    #[arg(long, value_name = "NAME|ADDR")]
    interface: Option<String>,
}

/// The layer called `word`, of a camera.
pub fn layer(word: &str) -> Result<Layer, String> {
    let known = Layer::ALL.into_iter().find(|l| l.word() == word && *l != Layer::Screen);
    known.ok_or_else(|| "thumb, medium or full is expected".into())
}

/// What a tool takes part as: nobody sees it, and it receives nothing by itself.
pub fn observer(name: &str, interface: Option<&String>) -> ParticipantOptions {
    let none = || Some("none".to_owned());
    ParticipantOptions {
        name: Some(name.into()),
        camera: none(),
        microphone: none(),
        speaker: none(),
        interface: interface.cloned(),
        headless: true,
        text: true,
        ..ParticipantOptions::default()
    }
}

/// Why there is nothing of the person called `name`.
pub fn nothing_of(name: &str, layer: Layer, conference: &Conference) -> Failure {
    let seen: Vec<String> = conference.view().people.iter().map(|p| p.name.clone()).collect();
    if seen.iter().any(|n| n == name) {
        let text = format!("{name} sends no {} picture and no sound", layer.word());
        return Failure::words(code::NOT_FOUND, text)
            .hint("the camera or microphone has to be on; `--layer full` is the usual one");
    }
    let hint = format!("these are here: {}", if seen.is_empty() { "nobody".into() } else { seen.join(", ") });
    Failure::words(code::NOT_FOUND, format!("nobody is called \"{name}\" here")).hint(hint)
}

/// Prints the SDP on stdout; stays unless told otherwise.
pub fn run(options: &Options) -> Result<(), Failure> {
    let participant = observer("sdp", options.interface.as_ref());
    let mut config = participant.config()?;
    config.keep = (!options.once).then(|| (options.name.clone(), options.layer));
    let found = match &options.conference {
        Some(title) => meet::resolve(title, &config, &mut Trial::default())?,
        None => meet::only(&config)?,
    };
    if !found.open {
        let text = format!("\"{}\" is protected: other programs cannot open its streams", found.title);
        let hint =
            format!("`roundtable tap \"{}\"` opens them and sends them to this machine's programs", options.name);
        return Err(Failure::words(code::REFUSED, text).hint(hint));
    }
    let secret = Secret::open(&found.id);
    let conference = participate::open(&config, Entry::Join { found, secret }, Role::Observer)?;
    let printable = |c: &Conference| c.sdp(&options.name, options.layer).is_some();
    if !conference.wait_until(SEARCH, printable) {
        return Err(nothing_of(&options.name, options.layer, &conference));
    }
    let sdp = conference.sdp(&options.name, options.layer).unwrap_or_default();
    report::print(&sdp)?;
    if options.once {
        conference.leave();
        return Ok(());
    }
    eprintln!("keeping {}'s streams wanted; Ctrl-C ends", options.name);
    participate::stay_unseen(conference, &participant, |_| Ok(()))
}

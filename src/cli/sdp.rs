//! `sdp`: somebody's streams for another program.

use std::time::Duration;

use clap::Args;

use super::failure::{Failure, code};
use super::{ParticipantOptions, meet, participate, report};
use crate::conference::{Entry, Role};
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

fn layer(word: &str) -> Result<Layer, String> {
    let known = Layer::ALL.into_iter().find(|l| l.word() == word && *l != Layer::Screen);
    known.ok_or_else(|| "thumb, medium or full is expected".into())
}

/// Prints the SDP on stdout; stays unless told otherwise.
pub fn run(options: &Options) -> Result<(), Failure> {
    let none = || Some("none".to_owned());
    let participant = ParticipantOptions {
        name: Some("sdp".into()),
        camera: none(),
        microphone: none(),
        speaker: none(),
        interface: options.interface.clone(),
        headless: true,
        ..ParticipantOptions::default()
    };
    let config = participant.config()?;
    let found = match &options.conference {
        Some(title) => meet::find(title, &config)?,
        None => meet::only(&config)?,
    };
    if !found.open {
        let text = format!("\"{}\" is protected: other programs cannot open its streams", found.title);
        return Err(Failure::words(code::REFUSED, text).hint("only open conferences can be played by other programs"));
    }
    let secret = Secret::open(&found.id);
    let conference = participate::open(&config, Entry::Join { found, secret }, Role::Observer)?;
    let printable = |c: &crate::conference::Conference| c.sdp(&options.name, options.layer).is_some();
    if !conference.wait_until(SEARCH, printable) {
        let seen: Vec<String> = conference.view().people.iter().map(|p| p.name.clone()).collect();
        let failure = if seen.contains(&options.name) {
            let text = format!("{} sends no {} picture and no sound", options.name, options.layer.word());
            Failure::words(code::NOT_FOUND, text)
                .hint("the camera or microphone has to be on; `--layer full` is the usual one")
        } else {
            let hint = format!("these are here: {}", if seen.is_empty() { "nobody".into() } else { seen.join(", ") });
            Failure::words(code::NOT_FOUND, format!("nobody is called \"{}\" here", options.name)).hint(hint)
        };
        return Err(failure);
    }
    let sdp = conference.sdp(&options.name, options.layer).unwrap_or_default();
    report::print(&sdp)?;
    if options.once {
        conference.leave();
        return Ok(());
    }
    eprintln!("keeping {}'s streams wanted; Ctrl-C ends", options.name);
    participate::stay(conference, &config, &participant).map(drop)
}

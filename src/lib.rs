//! Roundtable: video conferencing on a local network with no server. This page is the map of the source.
//!
//! # Floors
//! A file imports only from lower floors or from its own folder; `tests/floors.rs` holds that and the rules below.
//! ```text
//! 7 main.rs       exit codes only
//! 6 cli           one file per subcommand; mod.rs = the definitions; participate.rs = being in a conference
//! 5 ui            the window: app.rs = the whole window as a value, start.rs = the one before a conference;
//!                 interface.rs = egui over the stage; chat/, people/, files/, settings.rs = the panels beside it; doctor.rs = what
//!                 the doctor found; theme.rs, words.rs = how it looks and speaks, reports.rs = what others of the
//!                 program say, in Chinese; motion.rs = tiles on their way; window.rs and headless.rs = its two loops
//! 4 conference    director.rs = the thread that runs it; state.rs, people.rs, own.rs = what is known;
//!                 view.rs = what a window sees, stats.rs = what is written, config.rs = the settings;
//!                 events.rs = what is told, chat.rs = lines as people see them, history.rs = lines on disk;
//!                 tap.rs = streams for other programs;
//!                 files/ = files as people see them; voice.rs = voice messages, made and heard;
//!                 network.rs = the network goes, comes back and forgets;
//!                 devices.rs = the own camera and microphone; sending.rs = the layers of the own picture, adjusting.rs =
//!                 how they are sent; watching.rs, follow.rs = which of others' streams are received;
//!                 taking.rs = how the own voice is taken up;
//!                 door.rs = who may be here, as people decide and see it; doctor.rs = why somebody is not seen;
//!                 talk.rs = what was said, as a window shows it; lobby.rs = before a conference; kept.rs = settings kept
//! 3 pipeline      one file = one thread role
//! 2 protocol      state machines without clock, socket, thread or chance; they take all of these as arguments
//!   device        the only place that touches the operating system
//! 1 wire          byte formats
//!   media         pictures, samples, codecs
//! 0 time, limits  time as values; every bound in one table
//! ```
//! `wire` and `media` never see each other, nor do `protocol` and `device`: they meet in `pipeline`. The same noun stands
//! on each floor: `wire::rtp` is bytes, `protocol::packetizer` the rules, `pipeline::video_send` the thread.
//!
//! # Flows
//! ```text
//! camera > (fit) > each layer wanted: (smaller) > jpeg bands > packetize > pace > [multicast]   pipeline::video_send
//! tiles, offers, losses > a layer for each tile > join the group, Interest > sender        conference::watching
//! reports, share of the rate, own load > quality, rate, size of `full`                     conference::adjusting
//! [multicast] > classify > reassemble > newest frame, band by band > decode > slot  pipeline::receive, video_receive
//! missing > request > [repair port] > parity, or a voice's packets again > rebuilt   protocol::repair, pipeline::repair
//! slot > stage (grid) > interface over it > window                                  ui
//! microphone callback > ring > resample > echo, noise, gain > Opus > packetize > [multicast]    pipeline::audio_send
//! mix, as the speaker gets it > what there is echo of                               pipeline::reference
//! [multicast] > jitter buffer > Opus > cuts, drift resample > mix > ring > speaker callback   pipeline::audio_receive
//! probes and answers in clear > protocol::doctor > findings, with what mends them    pipeline::doctor, cli::doctor
//! sealed datagrams: discovery, roster, slots, clock offsets, chat                   pipeline::control
//! decision > signed (protocol::door) > every member checks it > another epoch: new keys, sessions, sources of streams
//! interface, arrivals, what senders say > groups joined again, sockets renewed            conference::network
//! line said > signed > sealed > [multicast] > complete and in order > events; to disk  control, conference::history
//! microphone, muted or not > Opus > Ogg, a picture of it > a file   pipeline::voice_record, conference::voice
//! file, as far as it is here > Ogg > Opus > mix              pipeline::voice_play, audio_receive
//! file > hashes > offer (signed) > symbols (sealed) > [multicast] > blocks > verified > disk   pipeline::transfer
//! [multicast] > opened > numbered on > 127.0.0.1, for other programs                pipeline::tap
//! ```
//! Only values flow backwards: interest and reports to the senders, the tile's size to the decoder, clock offsets to the
//! receivers, commands to the director.
//! Every JPEG stands alone, so nobody ever asks for a key frame.
//!
//! # Threads of one participant
//! ```text
//! main           window, or headless loop      director      starts, stops and directs the others
//! control        discovery, roster, chat       receive       all media sockets, reassembly, repair both ways
//! decode-1..2    pictures into slots           audio-receive mix to the speaker
//! camera         opened, read and dropped there; newest frame wins
//! video-send     encodes and sends             audio-send    the microphone's counterpart
//! history        writes what was said          tap           one stream for other programs
//! doctor         for seconds: why somebody is not seen
//! record, play   a voice message, while one is made or heard
//! transfer       files, once there are any     hash, fetch, serve   for as long as one file takes
//! browse, preview, enter    start screen: conferences, the own devices, coming in
//! fonts, clipboard, devices, settings, browser, picture    what the window asks of the system, each when first needed
//! ```
//! audio-send, audio-receive and the callbacks of sound run in real time where the system permits it, and receive at least
//! soon (`device::priority`).
//!
//! Queues are bounded, each with its rule where it is made: pictures newest wins, sound drops the oldest, commands and
//! events drop the newest. No queue blocks its producer.
//!
//! # Invariants
//! 1. `protocol` owns no clock, socket, thread, lock, log or randomness.
//! 2. Only `device::clock` reads the operating system's time.
//! 3. Sound callbacks copy samples and nothing else.
//! 4. A device is opened, read and dropped on its own thread.
//! 5. Every length from outside is compared with `limits` before it is used; a hostile packet costs a counter.
//! 6. In the steady state nothing is allocated for a packet.
//! 7. The window's thread never waits for the network, a device or a decoder.
//! 8. Two adaptive buffers never stand in series. Pictures wait in none, but 100 ms at most for the words of the person they show,
//!    where those come so much later that it is seen (`protocol::lip_sync`).
//! 9. Demo people and the tests' participants are ordinary participants.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod cli;
pub mod conference;
pub mod device;
pub mod limits;
pub mod media;
pub mod pipeline;
pub mod protocol;
pub mod time;
pub mod ui;
pub mod wire;

//! Everything that must be there before a conference can be entered.

use std::net::SocketAddr;
use std::sync::Arc;

use super::config::Config;
use super::history::keeper::Past;
use super::invite::Invite;
use super::taking::{Taking, TalkMode};
use super::view::{DevicesView, NoticeKind};
use super::{Entry, Error};
use crate::device::camera::CameraSpec;
use crate::device::clock::Clock;
use crate::device::identity;
use crate::device::net::{self, Interface, UdpSocket};
use crate::device::sound::MicrophoneSpec;
use crate::pipeline::control::{self, Entrance};
use crate::protocol::discovery::Found;
use crate::protocol::keys::{self, EpochKeys, Identity, Random, Secret};
use crate::protocol::roster::{self, Role};
use crate::time::Timestamp;
use crate::wire::address::{Family, Plan, Scope};
use crate::wire::message::{ConferenceId, ParticipantId};

/// How long a new conference listens for others, to keep out of their groups.
const LISTEN_MS: u64 = 600;

/// What a conference is entered with.
pub struct Ready {
    /// Title.
    pub title: String,
    /// No passphrase.
    pub open: bool,
    /// Id of the conference.
    pub conference: ConferenceId,
    /// What its keys come from.
    pub secret: Secret,
    /// How it is entered.
    pub entrance: Entrance,
    /// Keys of the streams; `None` in an open conference, whose streams any program may play.
    pub keys: Option<EpochKeys>,
    /// What requests for repair and files are sealed with, in open conferences too.
    pub sealing: EpochKeys,
    /// Addresses.
    pub plan: Plan,
    /// Participants announced; 0 for a new conference.
    pub expected: u32,
    /// The interface in use.
    pub interface: Interface,
    /// The instance's own socket.
    pub socket: Arc<UdpSocket>,
    /// Who signs.
    pub identity: Identity,
    /// The own participant id.
    pub id: ParticipantId,
    /// Canonical name of this participant in RTCP and SDP.
    pub cname: String,
    /// Held while the identity is in use: another instance of the same name gets another one.
    pub kept: identity::Identity,
    /// Chance for everything.
    pub random: Random,
    /// Name, as typed.
    pub name: String,
    /// What to take part as.
    pub role: Role,
    /// There is a camera to switch on.
    pub has_camera: bool,
    /// There is a microphone to switch on.
    pub has_microphone: bool,
    /// Begin with both off.
    pub hold: bool,
    /// Begin with the microphone off.
    pub silent: bool,
    /// How the own voice is taken up.
    pub taking: Taking,
    /// What was said here before; an observer keeps nothing.
    pub past: Option<Past>,
    /// What others are invited with.
    pub invite: Invite,
    /// The devices asked for.
    pub devices: DevicesView,
    /// What the user should know from the start.
    pub notices: Vec<(NoticeKind, String)>,
    /// When this instance came in.
    pub joined_at: Timestamp,
}

/// The interface asked for, or the best one, with the address a conference started on it would have.
///
/// # Errors
/// Unknown name or address, no interface at all, or none of the family that is asked for.
pub fn choose_interface(config: &Config) -> Result<Interface, Error> {
    let chosen = Interface::choose(config.interface.as_deref())?;
    let v6 = config.group.map_or(config.ipv6 || chosen.addr.is_ipv6(), |group| group.is_ipv6());
    Ok(of_family(&chosen, v6, config.scope)?)
}

/// The interface with an address of a conference's family and scope.
fn of_family(interface: &Interface, v6: bool, scope: Scope) -> Result<Interface, net::Error> {
    let routed = scope == Scope::Site;
    if interface.addr.is_ipv6() == v6 { interface.for_scope(routed) } else { interface.in_family(v6, routed) }
}

/// Gathers everything. A new conference first listens for others.
pub fn prepare(config: &Config, entry: Entry, role: Role, clock: &Clock) -> Result<Ready, Error> {
    if let CameraSpec::File(path) = &config.camera {
        std::fs::metadata(path).map_err(|source| Error::Camera { path: path.clone(), source })?;
    }
    let mut interface = choose_interface(config)?;
    let mut notices = Vec::new();
    let mut random = Random::new(*identity::random_seed()?);
    // A tool keeps no identity: it is nobody whom others should know again.
    let kept = match role {
        Role::Participant => identity::Identity::open(&config.name).or_else(|e| unkept(&e, &mut notices))?,
        Role::Observer => identity::Identity::ephemeral()?,
    };
    notices.extend(kept.notice().map(|text| (NoticeKind::Info, text.to_owned())));
    let identity = Identity::from_seed(kept.seed());
    let (title, conference, plan, expected, open, secret, entrance, key) = match entry {
        Entry::Join { found, secret } => {
            let plan = Plan { ttl: config.ttl.unwrap_or(found.plan.ttl), ..found.plan };
            interface = of_family(&interface, plan.base.is_ipv6(), plan.scope)?;
            let entrance = Entrance { founding: None, epoch: found.epoch, locked: found.locked };
            (found.title, found.id, plan, found.participants, found.open, secret, entrance, None)
        }
        Entry::Start { title, passphrase } => {
            let mut salt = [0; 16];
            salt[..8].copy_from_slice(&random.next_u64().to_be_bytes());
            salt[8..].copy_from_slice(&random.next_u64().to_be_bytes());
            let conference = keys::conference_id(identity.public(), &salt);
            let heard = listen(config, &interface, clock)?;
            notices.extend(namesakes(&heard, &title).map(|text| (NoticeKind::Warning, text)));
            let plan = choose_plan(config, &interface, &heard, &conference)?;
            let secret = match &passphrase {
                Some(passphrase) => Secret::from_passphrase(passphrase, &conference)?,
                None => Secret::open(&conference),
            };
            let entrance = Entrance { founding: Some(salt), ..Entrance::default() };
            (title, conference, plan, 0, passphrase.is_none(), secret, entrance, passphrase)
        }
    };
    let mut past = (role == Role::Participant).then(|| Past::open(conference, &title, clock));
    let of_past = past.iter_mut().flat_map(|past| past.notices.drain(..));
    notices.extend(of_past.map(|text| (NoticeKind::Warning, text)));
    let cname = roster::person::cname(&identity.id(), interface.addr);
    let socket = Arc::new(UdpSocket::unicast(&interface, plan.ttl)?);
    let sealing = EpochKeys::of(conference, &secret, entrance.epoch, &[]);
    let pinned = config.group.is_some() || config.port.is_some();
    let at = pinned.then(|| SocketAddr::from((plan.base, plan.port)));
    Ok(Ready {
        invite: Invite { title: title.clone(), id: conference, at, key },
        devices: DevicesView {
            camera: config.camera.to_string(),
            microphone: config.microphone.to_string(),
            speaker: config.speaker.to_string(),
        },
        title,
        open,
        conference,
        keys: (!open).then(|| sealing.clone()),
        sealing,
        entrance,
        secret,
        plan,
        expected,
        interface,
        socket,
        cname,
        id: identity.id(),
        identity,
        kept,
        random,
        name: config.name.clone(),
        role,
        has_camera: config.camera != CameraSpec::None,
        has_microphone: config.microphone != MicrophoneSpec::None,
        hold: config.hold,
        silent: config.hold || config.taking.talk == TalkMode::Push,
        taking: config.taking,
        past,
        notices,
        joined_at: clock.now(),
    })
}

/// A folder that cannot be written keeps nobody out: others only do not know this one again next time.
fn unkept(
    error: &identity::Error,
    notices: &mut Vec<(NoticeKind, String)>,
) -> Result<identity::Identity, identity::Error> {
    let text = format!("your identity is not kept, so others will not know you again next time: {error}");
    notices.push((NoticeKind::Warning, text));
    identity::Identity::ephemeral()
}

/// The conferences there are already. Who pins group and port on a network of their own need not wait for them.
fn listen(config: &Config, interface: &Interface, clock: &Clock) -> Result<Vec<Found>, Error> {
    if config.group.is_some() && config.port.is_some() {
        return Ok(Vec::new());
    }
    let wait = std::time::Duration::from_millis(LISTEN_MS);
    Ok(control::browse_with(interface, &config.peers, clock, (wait, wait), |_| false)?)
}

/// A warning when there are conferences of this title already: who joins by title could mean either.
fn namesakes(heard: &[Found], title: &str) -> Option<String> {
    let others = heard.iter().filter(|f| f.title == title).map(|f| f.source.ip().to_string());
    let others = others.collect::<Vec<_>>().join(" and ");
    let text =
        format!("there is another conference \"{title}\", announced by {others}: people have to tell them apart");
    (!others.is_empty()).then_some(text)
}

/// Groups and ports nobody else is heard on, or those the user pinned.
fn choose_plan(config: &Config, interface: &Interface, heard: &[Found], id: &ConferenceId) -> Result<Plan, Error> {
    let heard: Vec<_> = heard.iter().map(|f| (f.plan.base, f.plan.port)).collect();
    let digest = |attempt: u32| keys::sha256(&[&id.0, &attempt.to_be_bytes()]);
    let chosen = Plan::choose(config.scope, Family::of(interface.addr), &heard, digest);
    let base = config.group.unwrap_or(chosen.base);
    let plan = Plan::new(config.scope, base, config.port.unwrap_or(chosen.port))?;
    Ok(Plan { ttl: config.ttl.unwrap_or(plan.ttl), ..plan })
}

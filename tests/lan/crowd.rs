//! Floods by somebody who follows the rules to the letter: an open conference is entered by crowds of fresh identities,
//! each properly signed and answering, that name the streams of others as their own, and leave again; meanwhile
//! conferences that do not exist are announced without end.

use crate::common::lan::{Lan, SWITCH};
use crate::common::peer::{CAMERA_FPS, PROGRAM, Peer, SOON, await_all_meet, windows};
use crate::common::poll;
use crate::common::random::Random;
use crate::common::sandbox::sandboxed;
use roundtable::device::clock::Clock;
use roundtable::device::net::{Dscp, Interface, ReceiveBuffer, UdpSocket};
use roundtable::limits::PARTICIPANTS_PER_SOURCE_MAX;
use roundtable::pipeline::control::browse;
use roundtable::protocol::discovery::Found;
use roundtable::protocol::keys::{Identity, Secret, participant_id};
use roundtable::protocol::roster::{RepairInfo, Role, StreamInfo};
use roundtable::protocol::session::{Arrival, Channel, Moment, Outputs, Session, Setup, To};
use roundtable::wire::discovery::{Announcement, write_announce};
use roundtable::wire::message::{ConferenceId, KIND_ANNOUNCE, SignatureContext};
use roundtable::wire::{Layer, StreamKind};
use std::time::{Duration, Instant};

/// More than are let in from one machine.
const GHOSTS: usize = PARTICIPANTS_PER_SOURCE_MAX + 50;
/// How often the whole crowd is exchanged, and how long each stays.
const CROWDS: u64 = 3;
const STAY: Duration = Duration::from_secs(3);
/// Announcements sent at each round of the crowd.
const ANNOUNCEMENTS: usize = 20;
/// A hundred decoders for streams that never come are no small thing, but a bounded one.
const MEMORY_GROWTH_MAX: u64 = 96 << 20;

struct Ghost {
    session: Session,
    socket: UdpSocket,
}

/// The attacker's machine.
struct Attacker {
    clock: Clock,
    interface: Interface,
    conference: Found,
    buffer: ReceiveBuffer,
    out: Outputs,
    random: Random,
    /// What is sent there is sent to everybody.
    loud: UdpSocket,
    announced: Vec<u8>,
    scratch: Vec<u8>,
}

#[test]
fn crowds_of_forged_people_and_announcements_change_little_and_leave_nothing() {
    sandboxed("crowd::crowds_of_forged_people_and_announcements_change_little_and_leave_nothing", || {
        let lan = Lan::up(2);
        let mut peers = [
            Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &[]),
            Peer::join(lan.command(2, PROGRAM), "Bob", "Standup", &[]),
        ];
        await_all_meet(&[&peers[0], &peers[1]]);
        let memory: Vec<u64> = peers.iter().map(|p| p.memory_bytes("VmRSS")).collect();
        let mut attacker = Attacker::new();
        let started = Instant::now();
        for crowd in 0..CROWDS {
            let ghosts = attacker.crowd(crowd);
            if crowd == 1 {
                assert!(listed(&lan), "the true conference is listed all the same");
            }
            println!("crowd {crowd} gone after {:?}", started.elapsed());
            drop(ghosts);
        }
        for (peer, before) in peers.iter_mut().zip(memory) {
            assert!(peer.runs(), "{} has ended", peer.name);
            let most = peer.memory_bytes("VmHWM");
            println!("{}: {} kB before, {} kB at most", peer.name, before >> 10, most >> 10);
            assert!(most < before + MEMORY_GROWTH_MAX, "{} grew from {before} to {most} bytes", peer.name);
        }
        recovers(&peers[0], &peers[1]);
    });
}

fn recovers(ada: &Peer, bob: &Peer) {
    let whole = poll(SOON, || {
        let window = windows(&[ada, bob], 3.0);
        let shares = [
            window[0].shown_share("Bob", &window[1], CAMERA_FPS),
            window[1].shown_share("Ada", &window[0], CAMERA_FPS),
        ];
        let present = |p: &Peer| p.stats().map_or(0, |s| s.present().len());
        println!("shown afterwards: {shares:.3?}; present {} {}", present(ada), present(bob));
        (shares.iter().all(|s| *s >= 0.97) && present(ada) == 1 && present(bob) == 1).then_some(())
    });
    assert!(whole.is_some(), "the conference does not recover");
}

fn listed(lan: &Lan) -> bool {
    let output = lan.command(1, PROGRAM).args(["list", "--json"]).output().expect("start the program");
    String::from_utf8_lossy(&output.stdout).contains("Standup")
}

impl Attacker {
    fn new() -> Self {
        let (clock, interface) = (Clock::system(), Interface::choose(Some(&SWITCH.to_string())).expect("the switch"));
        let found = browse(&interface, &clock, (Duration::ZERO, SOON), |all| !all.is_empty()).expect("sockets");
        let conference = found.into_iter().next().expect("the conference is announced");
        let loud = UdpSocket::unicast(&interface, 1).expect("a port");
        Self {
            clock,
            interface,
            conference,
            buffer: ReceiveBuffer::new(),
            out: Outputs::default(),
            random: Random::seeded(),
            loud,
            announced: Vec::new(),
            scratch: Vec::new(),
        }
    }

    fn seed(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.random.next() as u8)
    }

    /// A crowd comes, stays, answers whatever it is asked, changes its streams all the time, and leaves.
    fn crowd(&mut self, number: u64) -> Vec<Ghost> {
        let mut ghosts: Vec<Ghost> = (0..GHOSTS).map(|_| self.ghost()).collect();
        let (end, mut round) = (self.clock.now() + STAY, 0_u32);
        while self.clock.now() < end {
            round += 1;
            for ghost in &mut ghosts {
                self.act(ghost, round);
            }
            for _ in 0..ANNOUNCEMENTS {
                self.announce();
            }
        }
        // Every other crowd says goodbye; the others just fall silent.
        for ghost in ghosts.iter_mut().filter(|_| number.is_multiple_of(2)) {
            ghost.session.leave(moment(&self.clock), &mut self.out);
            self.send(ghost);
        }
        println!("{round} rounds of {GHOSTS} ghosts");
        ghosts
    }

    fn ghost(&mut self) -> Ghost {
        let socket = UdpSocket::unicast(&self.interface, 1).expect("a port");
        let (identity, seed) = (Identity::from_seed(&self.seed()), self.seed());
        let setup = Setup {
            conference: self.conference.id,
            title: "Standup".into(),
            open: true,
            secret: Secret::open(&self.conference.id),
            plan: self.conference.plan,
            identity,
            seed,
            // All the same name: somebody has to tell them apart.
            name: "Ada".into(),
            role: Role::Participant,
            address: socket.local_addr(),
            expected: None,
        };
        Ghost { session: Session::new(moment(&self.clock), setup), socket }
    }

    fn act(&mut self, ghost: &mut Ghost, round: u32) {
        let at = moment(&self.clock);
        let stream = |kind, ssrc| StreamInfo {
            kind,
            ssrc,
            width: 2_040,
            height: 2_040,
            fps_milli: 1,
            position: 0,
            active: true,
            repair: RepairInfo::default(),
        };
        let streams = [stream(StreamKind::Video(Layer::Full), round), stream(StreamKind::Audio, round + 1)];
        ghost.session.set_streams(at, &streams, &mut self.out);
        ghost.session.timeout(at, &mut self.out);
        self.send(ghost);
        while ghost.socket.receive(&mut self.buffer).is_ok_and(|n| n > 0) {
            for datagram in self.buffer.datagrams() {
                let from = Arrival { channel: Channel::Unicast, source: datagram.source, wall: self.clock.wall() };
                ghost.session.handle(at, from, datagram.bytes, &mut self.out);
            }
            self.send(ghost);
        }
    }

    fn send(&mut self, ghost: &Ghost) {
        for (to, bytes) in self.out.sends() {
            let to = match to {
                To::Control => self.conference.plan.control(),
                To::Discovery => self.conference.plan.discovery(),
                To::Unicast(address) => address,
            };
            // A full queue is no reason to stop.
            let _ = ghost.socket.send(to, bytes, Dscp::Default);
        }
        self.out.clear();
    }

    /// A conference that does not exist.
    fn announce(&mut self) {
        let identity = Identity::from_seed(&self.seed());
        let conference = ConferenceId(std::array::from_fn(|_| self.random.next() as u8));
        let (sid, nonce) = (self.random.next(), self.random.next());
        let announcement = Announcement {
            conference: conference.0.to_vec(),
            title: "Standin".into(),
            open: true,
            family: 4,
            base: self.conference.plan.base_to_wire().1,
            port: self.conference.plan.port.into(),
            epoch: 0,
            participants: 5,
            publishers: 5,
            nonce,
            key_check: Secret::open(&conference).key_check(&conference, nonce, 0),
            announcer: identity.public().to_vec(),
            sid,
            counter: 1,
            locked: false,
        };
        let signer = participant_id(identity.public());
        let context = SignatureContext { kind: KIND_ANNOUNCE, conference, epoch: 0, signer, sid, counter: 1 };
        let scratch = &mut self.scratch;
        write_announce(&announcement, &mut self.announced, |body| identity.sign(&context, body, scratch));
        let _ = self.loud.send(self.conference.plan.discovery(), &self.announced, Dscp::Default);
    }
}

fn moment(clock: &Clock) -> Moment {
    Moment { now: clock.now(), wall: clock.wall() }
}

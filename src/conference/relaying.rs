//! For those who hear no group, or not those of streams: copies, whoever repeats them, and the way back up.
//!
//! ```text
//! those who hear no group: the first four by id ──copies──< each who sends
//!                          the others ──copies──< the one elected, who receives for them what they ask for
//! streams share one group ─> the first group of each who sends carries a sign of life; whoever hears those again goes back
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::director::{Director, SECOND};
use super::follow::{stream_key, wanted};
use super::people::{Other, Received};
use super::state::State;
use super::view::NoticeKind;
use crate::device::net::Dscp;
use crate::limits::{DIRECT_COPIES_MAX, RELAYED_MAX, RELAYED_STREAMS_MAX};
use crate::pipeline::control;
use crate::pipeline::receive::{ClockOffset, Relaying, Sink};
use crate::protocol::roster::{Person, StreamInfo};
use crate::protocol::transport::{self, Able, Reach};
use crate::time::Timestamp;
use crate::wire::interest::{Place, Places};
use crate::wire::message::ParticipantId;
use crate::wire::{Layer, StreamKind, rtcp};

/// Part of the key of a stream that is received for others' sake.
pub(super) const PASSED: u64 = 1 << 62;
/// Part of the key of a group that is listened to for signs of life.
const SIGNS: u64 = 1 << 63;
/// The groups listened to: as many as have to be heard.
const SIGNS_MAX: usize = 2;
/// How long the groups are left alone after they failed: the first time, and at most.
const LEFT_ALONE: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(960)];

const TOO_MANY: &str = "multicast reaches neither you nor many others here, more than can be sent copies: you see and hear \
    nobody until it does. Run \"roundtable doctor\" on this machine";

/// What is known of copies.
#[derive(Default)]
pub(super) struct Relays {
    /// This instance as one who may be elected, as others see it.
    able: Option<Able>,
    /// What those who hear no group want.
    wanted: Places,
    told: Relaying,
    /// Streams received for others' sake.
    passing: BTreeMap<u64, Received>,
    too_many: bool,
    signs: Signs,
}

/// Signs of life of the groups of streams, while all streams share one.
#[derive(Default)]
struct Signs {
    /// Groups listened to, by key.
    heard: BTreeMap<u64, SocketAddr>,
    /// When they are listened to next, and how long they are left alone the next time.
    from: Option<Timestamp>,
    left_alone: Duration,
    sent: Timestamp,
}

/// Who gets copies, and who repeats.
struct Copies {
    direct: Vec<SocketAddr>,
    relayed: Vec<SocketAddr>,
    relay: Option<ParticipantId>,
    /// Own place among those who hear no group.
    place: Option<usize>,
}

impl Director {
    /// Oneself, as others know it.
    pub(super) fn is_known_as(&mut self, me: &Person) {
        self.network.relays.able = me.able_to_relay();
    }

    pub(super) fn wanted_by_deaf(&mut self, now: Timestamp, wanted: Places) {
        self.network.relays.wanted = wanted;
        self.mind_copies(now);
    }

    /// Copies of the own streams for those who hear no group; a relay's work, when this is the one elected.
    pub(super) fn mind_copies(&mut self, now: Timestamp) {
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        let copies = self.copies(&state);
        let hears = self.network.reach != Reach::Unicast;
        let mine = copies.relay == Some(self.me);
        let address =
            |o: &Other| (o.person.direct != 0).then(|| SocketAddr::new(o.person.address.ip(), o.person.direct));
        let relay = state.people.here().find(|o| Some(o.person.id) == copies.relay);
        let from = relay.filter(|_| !hears).and_then(address);
        let works = mine && !copies.relayed.is_empty();
        let (keys, passed) = if works { self.passed(&state) } else { Default::default() };
        drop(state);
        let to = if mine { copies.relayed } else { Vec::new() };
        // The relay's own streams do not pass through its receiver.
        let all: Vec<SocketAddr> = copies.direct.into_iter().chain(to.iter().copied()).collect();
        self.copy_own(&all);
        self.pass(now, passed);
        let relaying = Relaying { from, to, keys };
        if self.network.relays.told != relaying {
            self.network.relays.told = relaying.clone();
            self.receiver.relay(relaying);
        }
        let too_many = copies.place.is_some_and(|place| place >= DIRECT_COPIES_MAX + RELAYED_MAX);
        if too_many && !std::mem::replace(&mut self.network.relays.too_many, too_many) {
            self.say(NoticeKind::Warning, TOO_MANY);
        }
    }

    fn copies(&self, state: &State) -> Copies {
        let of_others = state.people.here().filter_map(|o| Some((o.person.id, o.person.direct()?)));
        // Where the list is cut must be the same for everybody: the own place counts.
        let mut deaf: Vec<(ParticipantId, Option<SocketAddr>)> = of_others.map(|(id, at)| (id, Some(at))).collect();
        let hears = self.network.reach != Reach::Unicast;
        deaf.extend((!hears).then_some((self.me, None)));
        let place = (!hears).then(|| deaf.iter().filter(|(id, _)| *id < self.me).count());
        let able = state.people.here().filter_map(|o| o.person.able_to_relay());
        let relay = transport::relay(able.chain(self.network.relays.able.filter(|_| hears)));
        let (direct, relayed) = transport::direct_and_relayed(deaf);
        let [direct, relayed] = [direct, relayed].map(|all| all.into_iter().flatten().collect());
        Copies { direct, relayed, relay, place }
    }

    /// Copies of the own streams: of the voice, and of the layers that those who get copies ask for.
    fn copy_own(&self, copies: &[SocketAddr]) {
        self.audio_to.set_copies(copies);
        for own in self.video.iter().flat_map(|video| &video.layers) {
            let place = self.slot.and_then(|slot| Place::new(slot, own.layer));
            let asked = place.is_some_and(|place| self.network.relays.wanted.contains(place));
            own.to.set_copies(if asked { copies } else { &[] });
        }
        self.repairs.set_copies(copies);
    }

    /// What is repeated: keys of subscriptions, and of these the ones that nobody here needs.
    fn passed(&self, state: &State) -> (Vec<u64>, BTreeMap<u64, Passed>) {
        let (mut keys, mut passed) = (Vec::new(), BTreeMap::new());
        for other in state.people.here() {
            let asked = |layer: &Layer| {
                let place = other.person.slot.and_then(|slot| Place::new(slot, *layer));
                place.is_some_and(|place| self.network.relays.wanted.contains(place))
            };
            let pictures = Layer::ALL.into_iter().filter(asked).map(StreamKind::Video);
            for kind in std::iter::once(StreamKind::Audio).chain(pictures) {
                let Some((received, stream)) = wanted(other, &state.plan, kind) else { continue };
                let key = stream_key(other.key, kind);
                if other.receives(kind) {
                    keys.push(key);
                } else if has_room(passed.len()) {
                    keys.push(key | PASSED);
                    let of = (other.person.id, other.person.sid);
                    passed.insert(key | PASSED, Passed { of, slot: other.person.slot, received, stream });
                }
            }
        }
        keys.sort_unstable();
        (keys, passed)
    }

    /// Receives these streams for others' sake, and no others.
    fn pass(&mut self, now: Timestamp, passed: BTreeMap<u64, Passed>) {
        let still = |key: &u64, received: &Received| passed.get(key).is_some_and(|new| new.received == *received);
        let before = std::mem::take(&mut self.network.relays.passing);
        let (kept, over): (BTreeMap<_, _>, BTreeMap<_, _>) = before.into_iter().partition(|(key, r)| still(key, r));
        over.keys().for_each(|key| self.receiver.unsubscribe(*key));
        self.network.relays.passing = kept;
        for (key, Passed { of, slot, received, stream }) in passed {
            if self.network.relays.passing.contains_key(&key) {
                continue;
            }
            let repair = self.repair_source(of, slot, &received, &stream);
            if self.subscribe(now, key, &received, &ClockOffset::unknown(), (None, repair), Sink::Pass) {
                self.network.relays.passing.insert(key, received);
            }
        }
    }

    /// While all streams share one group: signs of life to the own first group, for those who need that; and for others'
    /// signs, when it is this instance that does.
    pub(super) fn mind_single(&mut self, now: Timestamp) {
        if !self.network.single {
            return self.forget_signs();
        }
        self.send_sign(now);
        if self.network.reach != Reach::Single {
            return;
        }
        let signs = &mut self.network.relays.signs;
        let from = *signs.from.get_or_insert_with(|| {
            signs.left_alone = (2 * signs.left_alone).clamp(LEFT_ALONE[0], LEFT_ALONE[1]);
            now + signs.left_alone
        });
        if now < from {
            return;
        }
        self.listen_for_signs(now);
        let heard = &self.network.relays.signs.heard;
        let arrivals = self.receiver.arrivals();
        let alive = arrivals.iter().filter(|(key, _, arrived)| heard.contains_key(key) && *arrived > 0).count();
        if alive > 0 && alive == heard.len() {
            tracing::info!("groups of streams are heard again");
            self.network.failing = false;
            self.control.send(control::Command::StreamsWork);
            self.forget_signs();
        }
    }

    fn forget_signs(&mut self) {
        let signs = &mut self.network.relays.signs;
        signs.from = None;
        std::mem::take(&mut signs.heard).into_keys().for_each(|key| self.receiver.unsubscribe(key));
    }

    /// An empty report, at the port of the voice's reports.
    fn send_sign(&mut self, now: Timestamp) {
        let signs = &mut self.network.relays.signs;
        let Some(slot) = self.slot.filter(|_| now.since(signs.sent) >= SECOND) else { return };
        signs.sent = now;
        let group = self.shared.state().plan.stream(slot, StreamKind::Audio);
        let mut report = Vec::new();
        rtcp::write_empty_report(self.random.next_u64() as u32, &self.cname, &mut report);
        // Nothing depends on a single one.
        let _ = self.socket.send(SocketAddr::new(group.ip(), group.port() + 1), &report, Dscp::Default);
    }

    /// Joins the first groups of some who send, as far as there are any.
    fn listen_for_signs(&mut self, now: Timestamp) {
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        let sign = |o: &Other| Some((stream_key(o.key, StreamKind::Audio) | SIGNS, o.person.slot?, o.person.address));
        let senders = state.people.here().filter_map(sign).take(SIGNS_MAX);
        let groups: Vec<_> =
            senders.map(|(key, slot, from)| (key, state.plan.stream(slot, StreamKind::Audio), from)).collect();
        drop(state);
        let gone = |key: &u64, at: &SocketAddr| !groups.iter().any(|(k, group, _)| k == key && group == at);
        let mut heard = std::mem::take(&mut self.network.relays.signs.heard);
        heard.retain(|key, at| {
            let gone = gone(key, at);
            if gone {
                self.receiver.unsubscribe(*key);
            }
            !gone
        });
        for (key, address, source) in groups {
            if heard.contains_key(&key) {
                continue;
            }
            let received = Received { address, source, ssrc: 0, repair: 0, direct: None };
            if self.subscribe(now, key, &received, &ClockOffset::unknown(), (None, None), Sink::Pass) {
                heard.insert(key, address);
            }
        }
        self.network.relays.signs.heard = heard;
    }
}

/// Whether one more stream is received for others' sake, beside so many: what they ask for is their word only.
fn has_room(streams: usize) -> bool {
    streams < RELAYED_STREAMS_MAX
}

/// A stream to be received for others' sake.
struct Passed {
    of: (ParticipantId, u64),
    slot: Option<u8>,
    received: Received,
    stream: StreamInfo,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_hear_no_group_fill_nobodys_cable_by_asking() {
        assert_eq!((0..10_000).take_while(|&n| has_room(n)).count(), RELAYED_STREAMS_MAX);
    }
}

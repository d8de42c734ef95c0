//! Lists the conferences of a network.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::limits::{
    ANNOUNCERS_MAX, CONFERENCES_MAX, CONFERENCES_PER_SOURCE_MAX, DISCOVERY_WORK_PER_S_MAX,
    DISCOVERY_WORK_PER_SOURCE_MAX, TITLE_BYTES_MAX,
};
use crate::protocol::keys::{self, Random, Secret};
use crate::protocol::rate::SourceRate;
use crate::protocol::roster::names;
use crate::time::Timestamp;
use crate::wire::address::{Family, Plan, Scope};
use crate::wire::discovery::{self, Announcement, Datagram, Query, SignedAnnouncement};
use crate::wire::message::{ConferenceId, KIND_ANNOUNCE, SignatureContext};

/// When queries go out after the start.
const QUERIES_MS: [u64; 3] = [0, 150, 450];
/// How long an entry lives after its last ANNOUNCE.
const LIFE: Duration = Duration::from_secs(16);

/// A conference that was announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Conference.
    pub id: ConferenceId,
    /// Title, cleaned.
    pub title: String,
    /// Anyone on the network can watch.
    pub open: bool,
    /// Where it is.
    pub plan: Plan,
    /// Epoch.
    pub epoch: u32,
    /// Newcomers have to knock.
    pub locked: bool,
    /// Participants, as announced.
    pub participants: u32,
    /// Those of them who send.
    pub publishers: u32,
    /// Who announced it last.
    pub source: SocketAddr,
    /// When it was announced last.
    pub heard: Timestamp,
    check: (u64, u64),
}

impl Found {
    /// Whether `secret` is the conference's: says so before anything is joined.
    pub fn accepts(&self, secret: &Secret) -> bool {
        secret.key_check(&self.id, self.check.0, self.epoch) == self.check.1
    }
}

struct Entry {
    found: Found,
    /// Highest counter of each announcing session: an old ANNOUNCE sent again keeps nothing alive.
    counters: BTreeMap<u64, u64>,
}

/// Asks, collects and forgets. Entries are kept apart by id, base and port: whoever lies about the address of a
/// conference makes another entry and does not hide the true one.
pub struct Browser {
    started: Timestamp,
    asked: usize,
    random: Random,
    work: SourceRate,
    entries: BTreeMap<(ConferenceId, IpAddr, u16), Entry>,
    scratch: Vec<u8>,
    refused: u64,
}

impl Browser {
    /// Starts asking at `now`.
    pub fn new(now: Timestamp, seed: [u8; 32]) -> Self {
        Self {
            started: now,
            asked: 0,
            random: Random::new(seed),
            work: SourceRate::default(),
            entries: BTreeMap::new(),
            scratch: Vec::new(),
            refused: 0,
        }
    }

    /// A QUERY to send now by every channel there is; entries whose time is over go.
    pub fn timeout(&mut self, now: Timestamp) -> Option<Query> {
        self.entries.retain(|_, entry| now.since(entry.found.heard) < LIFE);
        let due = QUERIES_MS.get(self.asked).is_some_and(|&ms| self.started + Duration::from_millis(ms) <= now);
        if !due {
            return None;
        }
        self.asked += 1;
        Some(Query { unicast: true, nonce: self.random.next_u64() })
    }

    /// When [`timeout`](Self::timeout) has something to do.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let query = QUERIES_MS.get(self.asked).map(|&ms| self.started + Duration::from_millis(ms));
        let death = self.entries.values().map(|e| e.found.heard + LIFE).min();
        query.into_iter().chain(death).min()
    }

    /// A datagram that came to a discovery socket of `scope`. True when the list changed.
    pub fn handle(&mut self, now: Timestamp, scope: Scope, source: SocketAddr, datagram: &[u8]) -> bool {
        let Ok(Datagram::Announce(signed)) = discovery::parse(datagram) else {
            return false;
        };
        let taken = self.take(now, scope, source, &signed);
        self.refused += u64::from(taken.is_none());
        taken.unwrap_or(false)
    }

    /// The conferences there are, by title.
    pub fn found(&self) -> Vec<Found> {
        let mut all: Vec<Found> = self.entries.values().map(|e| e.found.clone()).collect();
        all.sort_by(|a, b| (&a.title, a.id).cmp(&(&b.title, b.id)));
        all
    }

    /// Announcements that were not authentic, not new, or did not fit.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn take(
        &mut self,
        now: Timestamp,
        scope: Scope,
        source: SocketAddr,
        signed: &SignedAnnouncement<'_>,
    ) -> Option<bool> {
        let a = &signed.announcement;
        let (found, sid, counter) = (found(now, scope, source, a)?, a.sid, a.counter);
        let key = (found.id, found.plan.base, found.plan.port);
        let known = self.entries.get(&key);
        if known.is_none() && !self.has_room_for(source.ip()) {
            return None;
        }
        if known.and_then(|e| e.counters.get(&sid)).is_some_and(|&seen| counter <= seen) {
            // The copy that came by broadcast, or a replay: nothing to do.
            return Some(false);
        }
        let allowed = self.work.take(now, source.ip(), DISCOVERY_WORK_PER_SOURCE_MAX, DISCOVERY_WORK_PER_S_MAX);
        if !allowed || !authentic(signed, found.id, &mut self.scratch) {
            return None;
        }
        if found.open && !found.accepts(&Secret::open(&found.id)) {
            return None;
        }
        if found.participants == 0 {
            // The last one left. The others' entries of the same conference die by themselves.
            return Some(self.entries.remove(&key).is_some());
        }
        match self.entries.get_mut(&key) {
            None => {
                self.entries.insert(key, Entry { found, counters: BTreeMap::from([(sid, counter)]) });
            }
            Some(entry) => {
                if entry.counters.len() >= ANNOUNCERS_MAX && !entry.counters.contains_key(&sid) {
                    entry.counters.pop_first();
                }
                entry.counters.insert(sid, counter);
                entry.found = found;
            }
        }
        Some(true)
    }
}

impl Browser {
    /// Whether one more conference of this machine may be listed, so that none hides those of the others.
    fn has_room_for(&self, source: IpAddr) -> bool {
        let of_source = self.entries.values().filter(|e| e.found.source.ip() == source).count();
        self.entries.len() < CONFERENCES_MAX && of_source < CONFERENCES_PER_SOURCE_MAX
    }
}

/// What an announcement says, when it makes sense.
fn found(now: Timestamp, scope: Scope, source: SocketAddr, a: &Announcement) -> Option<Found> {
    let id = ConferenceId(a.conference.as_slice().try_into().ok()?);
    let plan = Plan::from_wire(scope, a.family, a.base, a.port).filter(|p| p.family() == Family::of(source.ip()))?;
    Some(Found {
        id,
        title: names::clean_name(&a.title, TITLE_BYTES_MAX),
        open: a.open,
        plan,
        epoch: a.epoch,
        locked: a.locked,
        participants: a.participants,
        publishers: a.publishers,
        source,
        heard: now,
        check: (a.nonce, a.key_check),
    })
}

fn authentic(signed: &SignedAnnouncement<'_>, conference: ConferenceId, scratch: &mut Vec<u8>) -> bool {
    let a = &signed.announcement;
    let Ok(public) = <[u8; 32]>::try_from(a.announcer.as_slice()) else {
        return false;
    };
    let signer = keys::participant_id(&public);
    let context =
        SignatureContext { kind: KIND_ANNOUNCE, conference, epoch: a.epoch, signer, sid: a.sid, counter: a.counter };
    keys::verify(&public, &context, signed.body, signed.signature, scratch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::keys::Identity;

    fn ms(n: u64) -> Timestamp {
        Timestamp::from_millis(n)
    }

    fn source() -> SocketAddr {
        "10.0.0.1:4000".parse().unwrap()
    }

    fn announcement(conference: u8, counter: u64) -> Announcement {
        let id = ConferenceId([conference; 16]);
        Announcement {
            conference: id.0.to_vec(),
            title: "Standup\u{202e}".into(),
            open: true,
            family: 4,
            base: 0xefff_0400,
            port: 20_480,
            epoch: 0,
            participants: 3,
            publishers: 2,
            nonce: 5,
            key_check: Secret::open(&id).key_check(&id, 5, 0),
            announcer: Identity::from_seed(&[1; 32]).public().to_vec(),
            sid: 9,
            counter,
            locked: false,
        }
    }

    fn signed(a: &Announcement) -> Vec<u8> {
        let identity = Identity::from_seed(&[1; 32]);
        let conference = ConferenceId(a.conference.as_slice().try_into().unwrap());
        let (signer, epoch, sid, counter) = (identity.id(), a.epoch, a.sid, a.counter);
        let context = SignatureContext { kind: KIND_ANNOUNCE, conference, epoch, signer, sid, counter };
        let mut out = Vec::new();
        discovery::write_announce(a, &mut out, |body| identity.sign(&context, body, &mut Vec::new()));
        out
    }

    fn hear(browser: &mut Browser, at: u64, a: &Announcement) -> bool {
        hear_from(browser, at, 1, a)
    }

    fn hear_from(browser: &mut Browser, at: u64, machine: u32, a: &Announcement) -> bool {
        let source = SocketAddr::from(((0x0a00_0000_u32 + machine).to_be_bytes(), 4_000));
        browser.handle(ms(at), Scope::Link, source, &signed(a))
    }

    #[test]
    fn queries_go_out_three_times_with_new_nonces() {
        let mut browser = Browser::new(ms(1_000), [1; 32]);
        let mut asked = Vec::new();
        while let Some(at) = browser.next_timeout() {
            asked.push((at, browser.timeout(at).unwrap().nonce));
        }
        assert_eq!(asked.iter().map(|a| a.0).collect::<Vec<_>>(), [ms(1_000), ms(1_150), ms(1_450)]);
        assert!(asked[0].1 != asked[1].1 && asked[1].1 != asked[2].1);
    }

    #[test]
    fn what_is_announced_is_found_and_dies_after_sixteen_seconds() {
        let mut browser = Browser::new(ms(0), [1; 32]);
        assert!((0..500).step_by(150).filter_map(|at| browser.timeout(ms(at))).count() == 3);
        assert!(hear(&mut browser, 1_000, &announcement(1, 1)));
        let found = browser.found();
        assert_eq!((found.len(), found[0].title.as_str(), found[0].participants), (1, "Standup", 3));
        assert_eq!(found[0].plan, Plan::new(Scope::Link, [239, 255, 4, 0].into(), 20_480).unwrap());
        assert_eq!(browser.next_timeout(), Some(ms(17_000)));
        browser.timeout(Timestamp(ms(17_000).0 - 1));
        assert_eq!(browser.found().len(), 1);
        browser.timeout(ms(17_000));
        assert_eq!(browser.found(), []);
    }

    #[test]
    fn a_replayed_announcement_keeps_nothing_alive() {
        let mut browser = Browser::new(ms(0), [1; 32]);
        assert!(hear(&mut browser, 0, &announcement(1, 2)));
        assert!(!hear(&mut browser, 9_000, &announcement(1, 2)));
        assert!(!hear(&mut browser, 9_000, &announcement(1, 1)));
        browser.timeout(ms(16_000));
        assert_eq!(browser.found(), []);
    }

    #[test]
    fn forged_and_mistaken_announcements_are_refused() {
        let mut browser = Browser::new(ms(0), [1; 32]);
        let good = signed(&announcement(1, 1));
        for at in 4..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(!browser.handle(ms(1_000 * at as u64), Scope::Link, source(), &bad), "byte {at}");
        }
        assert!(!hear(&mut browser, 0, &Announcement { key_check: 0, ..announcement(1, 1) }), "wrong key");
        assert!(!hear(&mut browser, 0, &Announcement { base: 0x0a00_0000, ..announcement(1, 1) }), "no multicast");
        assert_eq!(browser.found(), []);
        assert!(browser.refused() > 100);
    }

    #[test]
    fn a_lie_about_the_address_does_not_hide_the_truth() {
        let mut browser = Browser::new(ms(0), [1; 32]);
        assert!(hear(&mut browser, 0, &announcement(1, 1)));
        assert!(hear(&mut browser, 0, &Announcement { port: 22_528, ..announcement(1, 2) }));
        assert_eq!(browser.found().len(), 2);
    }

    #[test]
    fn the_last_one_leaving_removes_the_entry() {
        let mut browser = Browser::new(ms(0), [1; 32]);
        hear(&mut browser, 0, &announcement(1, 1));
        assert!(hear(&mut browser, 0, &Announcement { participants: 0, ..announcement(1, 2) }));
        assert_eq!(browser.found(), []);
        assert!(!hear(&mut browser, 0, &Announcement { participants: 0, ..announcement(2, 1) }));
        assert_eq!(browser.found(), []);
    }

    #[test]
    fn conferences_announcers_and_work_are_bounded() {
        let mut browser = Browser::new(ms(0), [1; 32]);
        for n in 0..CONFERENCES_MAX as u64 + 5 {
            let id = [(n >> 8) as u8, n as u8].repeat(8);
            let conference = ConferenceId(id.clone().try_into().unwrap());
            let key_check = Secret::open(&conference).key_check(&conference, 5, 0);
            let a = Announcement { conference: id, key_check, ..announcement(0, 1) };
            hear_from(&mut browser, n * 20, n as u32 % 20, &a);
        }
        assert_eq!(browser.entries.len(), CONFERENCES_MAX);
        let mut browser = Browser::new(ms(0), [1; 32]);
        for sid in 0..2 * u64::from(DISCOVERY_WORK_PER_S_MAX) {
            hear_from(&mut browser, 0, sid as u32, &Announcement { sid, ..announcement(1, 1) });
        }
        assert_eq!(browser.refused(), u64::from(DISCOVERY_WORK_PER_S_MAX));
        assert!(browser.entries.values().all(|e| e.counters.len() == ANNOUNCERS_MAX));
    }

    #[test]
    fn so_many_announcements_of_one_machine_are_verified_a_second() {
        let mut browser = Browser::new(ms(0), [1; 32]);
        let most = u64::from(DISCOVERY_WORK_PER_SOURCE_MAX);
        let mut announce =
            |at, sid, machine| hear_from(&mut browser, at, machine, &Announcement { sid, ..announcement(1, 1) });
        assert!((0..most).all(|sid| announce(0, sid, 1)));
        assert!(!announce(999, most, 1));
        assert!(announce(999, most, 2), "another machine is heard");
        assert!(announce(1_000, most + 1, 1), "the next second");
        assert_eq!(browser.refused(), 1);
    }

    #[test]
    fn a_machine_that_announces_without_end_does_not_hide_what_others_announce() {
        let mut browser = Browser::new(ms(0), [1; 32]);
        for n in 0..10 * CONFERENCES_PER_SOURCE_MAX as u64 {
            let id = [1, (n >> 8) as u8, n as u8, 0].repeat(4);
            let conference = ConferenceId(id.clone().try_into().unwrap());
            let key_check = Secret::open(&conference).key_check(&conference, 5, 0);
            hear_from(&mut browser, n * 10, 1, &Announcement { conference: id, key_check, ..announcement(0, 1) });
        }
        assert_eq!(browser.found().len(), CONFERENCES_PER_SOURCE_MAX);
        assert!(hear_from(&mut browser, 6_399, 2, &announcement(1, 1)), "in the same second");
    }

    #[test]
    fn the_secret_is_tested_by_the_announcement_alone() {
        let mut browser = Browser::new(ms(0), [1; 32]);
        hear(&mut browser, 0, &announcement(1, 1));
        let found = browser.found().remove(0);
        assert!(found.accepts(&Secret::open(&found.id)));
        assert!(!found.accepts(&Secret::open(&ConferenceId([8; 16]))));
    }
}

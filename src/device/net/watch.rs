//! Watching the interface a conference is on: cables, addresses, and adapters that come and go.
//!
//! The system is asked now and then; what it says is compared with what is known. When the interface is gone for some
//! time and the user named none, another one takes its place.

use std::net::IpAddr;

use super::{Interface, interfaces};

/// Looks at a network that is away after which another interface is taken.
const PATIENCE: u32 = 6;

/// What is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing can be sent or received; the text says why.
    Down(String),
    /// It is back as it was.
    Back(Interface),
    /// It goes on with another address, number or interface: sockets are to be renewed.
    Moved(Interface),
}

/// Watches one interface.
#[derive(Debug)]
pub struct Watch {
    known: Interface,
    /// The user named it: no other may take its place.
    pinned: bool,
    down: u32,
    told: Option<String>,
}

impl Watch {
    /// Of an interface in use; `pinned` when no other may take its place.
    pub fn new(interface: Interface, pinned: bool) -> Self {
        Self { known: interface, pinned, down: 0, told: None }
    }

    /// The interface as it was last known.
    pub fn interface(&self) -> &Interface {
        &self.known
    }

    /// Asks the system.
    pub fn look(&mut self) -> Option<Change> {
        // A list that cannot be had says nothing; the next one may.
        self.compare(&interfaces().ok()?)
    }

    /// The change could not be followed: it is told again by the next look.
    pub fn undo(&mut self, before: Interface) {
        self.known = before;
        self.told.get_or_insert_with(String::new);
    }

    fn compare(&mut self, all: &[Interface]) -> Option<Change> {
        match self.present(all) {
            Ok(now) => {
                self.down = 0;
                let away = self.told.take().is_some();
                let moved = (now.addr, now.index) != (self.known.addr, self.known.index);
                self.known = now.clone();
                match (moved, away) {
                    (true, _) => Some(Change::Moved(now)),
                    (false, true) => Some(Change::Back(now)),
                    (false, false) => None,
                }
            }
            Err(why) => {
                self.down = self.down.saturating_add(1);
                if self.told.is_none() {
                    self.told = Some(why.clone());
                    return Some(Change::Down(why));
                }
                let other = self.substitute(all).filter(|_| !self.pinned && self.down >= PATIENCE)?;
                (self.down, self.told) = (0, None);
                self.known = other.clone();
                Some(Change::Moved(other))
            }
        }
    }

    /// The interface as it is now, or why it cannot be used.
    fn present(&self, all: &[Interface]) -> Result<Interface, String> {
        let name = &self.known.name;
        let mine: Vec<&Interface> = all.iter().filter(|i| i.name == *name).collect();
        if mine.is_empty() {
            // The system lists addresses only.
            return Err(format!("{name} is gone or has no address"));
        }
        if mine.iter().all(|i| !i.running) {
            return Err(format!("{name} has no link"));
        }
        let usable = |i: &&&Interface| i.running && same_kind(i.addr, self.known.addr);
        let same = mine.iter().filter(usable).find(|i| i.addr == self.known.addr);
        let found = same.or_else(|| mine.iter().find(usable));
        found.map(|i| (*i).clone()).ok_or_else(|| format!("{name} has no address"))
    }

    fn substitute(&self, all: &[Interface]) -> Option<Interface> {
        let fits = |i: &&Interface| i.running && !i.loopback && i.multicast && same_kind(i.addr, self.known.addr);
        all.iter().filter(fits).min_by_key(|i| i.preference()).cloned()
    }
}

/// Of one family, and both of a link or neither.
fn same_kind(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(_), IpAddr::V4(_)) => true,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.is_unicast_link_local() == b.is_unicast_link_local(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eth0(address: &str) -> Interface {
        Interface {
            name: "eth0".into(),
            index: 2,
            addr: address.parse().unwrap(),
            prefix: 24,
            loopback: false,
            wireless: false,
            software: false,
            running: true,
            multicast: true,
            mtu: 1_500,
        }
    }

    fn wlan0() -> Interface {
        Interface { name: "wlan0".into(), index: 3, wireless: true, ..eth0("10.77.0.9") }
    }

    fn watch(pinned: bool) -> Watch {
        Watch::new(eth0("10.77.0.1"), pinned)
    }

    #[test]
    fn a_cable_out_and_in_is_told_once_each() {
        let mut watch = watch(true);
        let unplugged = Interface { running: false, ..eth0("10.77.0.1") };
        assert_eq!(watch.compare(&[eth0("10.77.0.1")]), None);
        assert_eq!(watch.compare(std::slice::from_ref(&unplugged)), Some(Change::Down("eth0 has no link".into())));
        for _ in 0..2 * PATIENCE {
            assert_eq!(watch.compare(&[unplugged.clone(), wlan0()]), None, "the user named eth0");
        }
        assert_eq!(watch.compare(&[eth0("10.77.0.1")]), Some(Change::Back(eth0("10.77.0.1"))));
        assert_eq!(watch.compare(&[eth0("10.77.0.1")]), None);
    }

    #[test]
    fn another_address_or_number_is_a_move() {
        let mut watch = watch(true);
        assert_eq!(watch.compare(&[eth0("fe80::1")]), Some(Change::Down("eth0 has no address".into())));
        assert_eq!(watch.compare(&[eth0("10.77.0.7")]), Some(Change::Moved(eth0("10.77.0.7"))));
        let both = [eth0("10.77.0.8"), eth0("10.77.0.7")];
        assert_eq!(watch.compare(&both), None, "one more address changes nothing");
        assert_eq!(watch.compare(&both[..1]), Some(Change::Moved(eth0("10.77.0.8"))));
        assert_eq!(watch.compare(&[]), Some(Change::Down("eth0 is gone or has no address".into())));
        let again = Interface { index: 9, ..eth0("10.77.0.8") };
        assert_eq!(watch.compare(std::slice::from_ref(&again)), Some(Change::Moved(again)));
    }

    #[test]
    fn another_interface_takes_the_place_of_one_that_stays_away() {
        let mut watch = watch(false);
        assert!(matches!(watch.compare(&[wlan0()]), Some(Change::Down(_))));
        for _ in 2..PATIENCE {
            assert_eq!(watch.compare(&[wlan0()]), None);
        }
        assert_eq!(watch.compare(&[wlan0()]), Some(Change::Moved(wlan0())));
        assert_eq!(watch.compare(&[wlan0(), eth0("10.77.0.1")]), None, "and keeps it");
    }

    #[test]
    fn a_change_that_could_not_be_followed_is_told_again() {
        let mut watch = watch(true);
        let moved = Some(Change::Moved(eth0("10.77.0.7")));
        assert_eq!(watch.compare(&[eth0("10.77.0.7")]), moved);
        watch.undo(eth0("10.77.0.1"));
        assert_eq!(watch.compare(&[eth0("10.77.0.7")]), moved);
    }

    #[test]
    fn ipv6_addresses_of_the_link_stay_among_themselves() {
        let mut watch = Watch::new(eth0("fe80::1"), true);
        assert_eq!(watch.compare(&[eth0("fd00::1")]), Some(Change::Down("eth0 has no address".into())));
        assert_eq!(watch.compare(&[eth0("fd00::1"), eth0("fe80::2")]), Some(Change::Moved(eth0("fe80::2"))));
    }
}

//! Addressing: which multicast group and port a conference, a slot and a stream have.
//!
//! A conference owns one /23 of multicast groups and one window of 2,048 ports. Both are plain values in its
//! ANNOUNCE, so pinned ones (`--group`, `--port`) are expressed as well as chosen ones.
//!
//! ```text
//! site scope   block b = 0..510           239.(192 + b >> 7).((b & 127) * 2).0 /23      TTL 16
//! link scope   block b = 0..126, not 21   239.255.(2 b).0 /23                           TTL 1
//! window       w = 0..3                   P = 20480 + 2048 w
//!
//! groups:  base + 1                      control                      port P
//!          base + 2                      everybody's audio            a port for each talker
//!          base + 16 + 4 slot + layer    one layer of one publisher   slot 0..123, layer 0 thumb .. 3 screen
//! ports:   P + 64 + 16 slot + 0 audio, + 2 thumb, + 4 medium, + 6 full, + 8 screen; RTCP one above each
//! files:   base + 8 + f, f 0..7: data port P + 4 + 2 f, requests one above
//! discovery: 239.255.42.99 (link) 239.195.255.99 (site), port 20478
//! ```
//! Ports are unique for each stream: two SSRCs on one port confuse other programs' receivers. No block shares its
//! Ethernet address with 224.0.0.x, which switches always flood.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::limits::SLOTS_MAX;
use crate::wire::StreamKind;

/// Port of QUERY and ANNOUNCE; shared by all instances on a machine.
pub const DISCOVERY_PORT: u16 = 20_478;
/// The highest base port: the window of 2,048 ports must fit below 65,536.
pub const BASE_PORT_MAX: u16 = 63_488;
/// Lowest base port that may be pinned: those below need rights.
pub const BASE_PORT_MIN: u16 = 1_024;
/// Where SAP announcements go (RFC 2974 section 3): the global and the local-scope group.
pub const SAP: [SocketAddrV4; 2] = [
    SocketAddrV4::new(Ipv4Addr::new(224, 2, 127, 254), 9_875),
    SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 255), 9_875),
];

const BLOCK_MASK: u32 = !0x1ff;
const WINDOWS: u32 = 4;
const FIRST_WINDOW: u16 = 20_480;
const WINDOW_PORTS: u16 = 2_048;
/// Digests tried before giving up on finding something unheard; finds the last of 126 blocks nearly always.
const TRIES: u32 = 1_024;

/// How far a conference reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One link: packets pass no router.
    #[default]
    Link,
    /// The site's routers may forward it.
    Site,
}

impl Scope {
    /// TTL that goes with the scope.
    pub fn ttl(self) -> u8 {
        match self {
            Scope::Link => 1,
            Scope::Site => 16,
        }
    }

    /// Where QUERY and ANNOUNCE of this scope go.
    pub fn discovery(self) -> SocketAddrV4 {
        let group = match self {
            Scope::Link => Ipv4Addr::new(239, 255, 42, 99),
            Scope::Site => Ipv4Addr::new(239, 195, 255, 99),
        };
        SocketAddrV4::new(group, DISCOVERY_PORT)
    }

    /// Number of blocks to choose from.
    fn blocks(self) -> u32 {
        match self {
            Scope::Link => 126,
            Scope::Site => 511,
        }
    }

    /// Base address of the `index`th block, `index < blocks()`.
    fn block(self, index: u32) -> Ipv4Addr {
        match self {
            // Block 21 holds the discovery group.
            Scope::Link => Ipv4Addr::new(239, 255, (2 * (index + u32::from(index >= 21))) as u8, 0),
            Scope::Site => Ipv4Addr::new(239, (192 + (index >> 7)) as u8, ((index & 127) * 2) as u8, 0),
        }
    }
}

/// Why a pinned group or port cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Outside 224.0.0.0/4.
    #[error("{0} is not a multicast address (use one of 239.0.0.0 to 239.255.254.0)")]
    NotMulticast(Ipv4Addr),
    /// Not the first address of a /23.
    #[error("{0} is not the base of a block of 512 groups (its third number must be even and its fourth 0)")]
    NotBlock(Ipv4Addr),
    /// Switches flood these groups to every port.
    #[error("every switch floods groups near {0} to all ports: choose another block")]
    Flooded(Ipv4Addr),
    /// The block holds a group with a meaning of its own.
    #[error("the block of {0} holds a well-known group (discovery or SAP): choose another block")]
    Reserved(Ipv4Addr),
    /// An odd port: RTP has the even ones.
    #[error("port {0} is odd: RTP uses even ports")]
    OddPort(u16),
    /// No room for the window, or ports that need rights.
    #[error("port {0} is out of range: {BASE_PORT_MIN} to {BASE_PORT_MAX}, because 2,048 ports are used from there")]
    PortRange(u16),
}

/// The addresses of one conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// First address of the /23.
    pub base: Ipv4Addr,
    /// First port of the window.
    pub port: u16,
    /// How far it reaches; says where it is announced.
    pub scope: Scope,
    /// TTL of everything sent.
    pub ttl: u8,
}

impl Plan {
    /// A plan from a base address and port given by the user or by an ANNOUNCE.
    pub fn new(scope: Scope, base: Ipv4Addr, port: u16) -> Result<Self, Error> {
        check_base(base)?;
        check_port(port)?;
        Ok(Self { base, port, scope, ttl: scope.ttl() })
    }

    /// Chooses a block and window: the first unheard block with an unheard window, else the first unheard block, in
    /// the order given by `digest(try)` = SHA-256(conference id || try). `heard` = bases and ports of others.
    pub fn choose(scope: Scope, heard: &[(Ipv4Addr, u16)], mut digest: impl FnMut(u32) -> [u8; 32]) -> Self {
        let mut second_best = None;
        for attempt in 0..TRIES {
            let d = digest(attempt);
            let number = u32::from_be_bytes([d[0], d[1], d[2], d[3]]);
            let base = scope.block(number % scope.blocks());
            let port = FIRST_WINDOW + WINDOW_PORTS * (u32::from(d[4]) % WINDOWS) as u16;
            let plan = Self { base, port, scope, ttl: scope.ttl() };
            if heard.iter().any(|h| h.0 == base) {
                // Everything heard: share a block rather than refuse; the conference tag tells packets apart.
                second_best.get_or_insert((1, plan));
            } else if !heard.iter().any(|h| windows_overlap(h.1, port)) {
                return plan;
            } else if second_best.is_none_or(|(rank, _)| rank > 0) {
                second_best = Some((0, plan));
            }
        }
        second_best.map_or(Self { base: scope.block(0), port: FIRST_WINDOW, scope, ttl: scope.ttl() }, |(_, plan)| plan)
    }

    /// Group and port of everything sealed: roster, chat, interest.
    pub fn control(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.group(1), self.port)
    }

    /// RTP address of a stream of the publisher in `slot` (below [`SLOTS_MAX`]); its RTCP goes to the port above.
    pub fn stream(&self, slot: u8, kind: StreamKind) -> SocketAddrV4 {
        debug_assert!(usize::from(slot) < SLOTS_MAX);
        let first = self.port.wrapping_add(64).wrapping_add(16 * u16::from(slot));
        match kind {
            StreamKind::Audio => SocketAddrV4::new(self.group(2), first),
            StreamKind::Video(layer) => {
                let group = self.group(16 + 4 * u32::from(slot) + layer as u32);
                SocketAddrV4::new(group, first.wrapping_add(2 + 2 * layer as u16))
            }
        }
    }

    /// Where the symbols of file group `group` (0 to 7) go; requests for them go to the port above.
    pub fn files(&self, group: u8) -> SocketAddrV4 {
        let group = u16::from(group & 7);
        SocketAddrV4::new(self.group(8 + u32::from(group)), self.port.wrapping_add(4 + 2 * group))
    }

    fn group(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base).wrapping_add(offset))
    }
}

fn windows_overlap(a: u16, b: u16) -> bool {
    a.abs_diff(b) < WINDOW_PORTS
}

fn check_base(base: Ipv4Addr) -> Result<(), Error> {
    if !base.is_multicast() {
        return Err(Error::NotMulticast(base));
    }
    let number = u32::from(base);
    if number & !BLOCK_MASK != 0 {
        return Err(Error::NotBlock(base));
    }
    // Only 23 bits of a group reach its Ethernet address, so 32 groups share each, those of 224.0.0.x too.
    if number & 0x7f_ffff & BLOCK_MASK == 0 {
        return Err(Error::Flooded(base));
    }
    let well_known = [*Scope::Link.discovery().ip(), *Scope::Site.discovery().ip(), *SAP[0].ip(), *SAP[1].ip()];
    if well_known.iter().any(|&g| u32::from(g) & BLOCK_MASK == number) {
        return Err(Error::Reserved(base));
    }
    Ok(())
}

fn check_port(port: u16) -> Result<(), Error> {
    if port % 2 == 1 {
        return Err(Error::OddPort(port));
    }
    if !(BASE_PORT_MIN..=BASE_PORT_MAX).contains(&port) {
        return Err(Error::PortRange(port));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Layer;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn at(text: &str) -> SocketAddrV4 {
        text.parse().unwrap()
    }

    #[test]
    fn streams_have_the_groups_and_ports_of_the_table() {
        let plan = Plan::new(Scope::Link, ip("239.255.4.0"), 20_480).unwrap();
        assert_eq!(plan.control(), at("239.255.4.1:20480"));
        let rows = [
            (0, StreamKind::Audio, "239.255.4.2:20544"),
            (0, StreamKind::Video(Layer::Thumb), "239.255.4.16:20546"),
            (0, StreamKind::Video(Layer::Medium), "239.255.4.17:20548"),
            (0, StreamKind::Video(Layer::Full), "239.255.4.18:20550"),
            (0, StreamKind::Video(Layer::Screen), "239.255.4.19:20552"),
            (1, StreamKind::Audio, "239.255.4.2:20560"),
            (60, StreamKind::Video(Layer::Thumb), "239.255.5.0:21506"),
            (123, StreamKind::Audio, "239.255.4.2:22512"),
            (123, StreamKind::Video(Layer::Screen), "239.255.5.255:22520"),
        ];
        for (slot, kind, expected) in rows {
            assert_eq!(plan.stream(slot, kind), at(expected), "slot {slot} {kind:?}");
        }
    }

    #[test]
    fn the_last_port_of_the_highest_window_is_65535() {
        let plan = Plan::new(Scope::Link, ip("239.255.4.0"), BASE_PORT_MAX).unwrap();
        let first_of_last_slot = plan.stream(123, StreamKind::Audio).port();
        assert_eq!(u32::from(first_of_last_slot) + 15, 65_535);
    }

    #[test]
    fn no_two_streams_share_a_port_or_collide_with_control() {
        let plan = Plan::new(Scope::Site, ip("239.192.0.0"), 20_480).unwrap();
        let mut ports = vec![plan.control().port(), plan.control().port() + 1];
        for group in 0..8 {
            let data = plan.files(group);
            ports.extend([data.port(), data.port() + 1]);
            assert_eq!(u32::from(*data.ip()) - u32::from(plan.base), 8 + u32::from(group));
        }
        for slot in 0..SLOTS_MAX as u8 {
            for number in 0..5 {
                let rtp = plan.stream(slot, StreamKind::from_wire(number).unwrap());
                ports.extend([rtp.port(), rtp.port() + 1]);
                assert_eq!(u32::from(*rtp.ip()) & BLOCK_MASK, u32::from(plan.base));
            }
        }
        let count = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), count);
    }

    #[test]
    fn pinned_groups_and_ports_are_checked_at_the_edges() {
        let a = ip("239.255.4.0");
        let rows = [
            ("223.255.254.0", 20_480, Err(Error::NotMulticast(ip("223.255.254.0")))),
            ("240.0.0.0", 20_480, Err(Error::NotMulticast(ip("240.0.0.0")))),
            ("239.255.5.0", 20_480, Err(Error::NotBlock(ip("239.255.5.0")))),
            ("239.255.4.1", 20_480, Err(Error::NotBlock(ip("239.255.4.1")))),
            ("224.0.0.0", 20_480, Err(Error::Flooded(ip("224.0.0.0")))),
            ("239.128.0.0", 20_480, Err(Error::Flooded(ip("239.128.0.0")))),
            ("239.128.2.0", 20_480, Ok(())),
            ("239.255.42.0", 20_480, Err(Error::Reserved(ip("239.255.42.0")))),
            ("239.195.254.0", 20_480, Err(Error::Reserved(ip("239.195.254.0")))),
            ("239.255.254.0", 20_480, Err(Error::Reserved(ip("239.255.254.0")))),
            ("224.2.126.0", 20_480, Err(Error::Reserved(ip("224.2.126.0")))),
            ("239.255.4.0", 20_481, Err(Error::OddPort(20_481))),
            ("239.255.4.0", 1_022, Err(Error::PortRange(1_022))),
            ("239.255.4.0", 1_024, Ok(())),
            ("239.255.4.0", 63_488, Ok(())),
            ("239.255.4.0", 63_490, Err(Error::PortRange(63_490))),
        ];
        for (base, port, expected) in rows {
            assert_eq!(Plan::new(Scope::Link, ip(base), port).map(|_| ()), expected, "{base} {port}");
        }
        assert_eq!(Plan::new(Scope::Site, a, 20_480).unwrap().ttl, 16);
        assert_eq!(Plan::new(Scope::Link, a, 20_480).unwrap().ttl, 1);
    }

    #[test]
    fn blocks_are_those_of_the_scopes_edges() {
        let rows = [
            (Scope::Link, 0, "239.255.0.0"),
            (Scope::Link, 20, "239.255.40.0"),
            (Scope::Link, 21, "239.255.44.0"),
            (Scope::Link, 125, "239.255.252.0"),
            (Scope::Site, 0, "239.192.0.0"),
            (Scope::Site, 127, "239.192.254.0"),
            (Scope::Site, 128, "239.193.0.0"),
            (Scope::Site, 510, "239.195.252.0"),
        ];
        for (scope, index, expected) in rows {
            assert_eq!(scope.block(index), ip(expected));
        }
        for scope in [Scope::Link, Scope::Site] {
            for index in 0..scope.blocks() {
                assert_eq!(check_base(scope.block(index)), Ok(()), "every block may also be pinned");
            }
        }
    }

    /// A digest that proposes block `attempt` and window `attempt / blocks`, so that tests see the order.
    fn in_order(scope: Scope) -> impl FnMut(u32) -> [u8; 32] {
        move |attempt| {
            let mut d = [0; 32];
            d[..4].copy_from_slice(&(attempt % scope.blocks()).to_be_bytes());
            d[4] = (attempt / scope.blocks()) as u8;
            d
        }
    }

    #[test]
    fn an_unheard_block_with_an_unheard_window_is_preferred() {
        let s = Scope::Link;
        let pick = |heard: &[(Ipv4Addr, u16)]| {
            let p = Plan::choose(s, heard, in_order(s));
            (p.base, p.port)
        };
        assert_eq!(pick(&[]), (ip("239.255.0.0"), 20_480));
        // Window 0 is heard: nothing before block 0 comes round again in window 1, which is free.
        assert_eq!(pick(&[(ip("239.255.8.0"), 20_480)]), (ip("239.255.0.0"), 22_528));
        // All windows heard: the first unheard block.
        let all = [(s.block(0), 20_480), (s.block(1), 22_528), (s.block(2), 24_576), (s.block(3), 26_624)];
        assert_eq!(pick(&all), (s.block(4), 20_480));
        // A pinned window that straddles two of ours makes both of them heard.
        assert_eq!(pick(&[(ip("239.1.2.0"), 21_000)]), (ip("239.255.0.0"), 24_576));
        let every: Vec<_> = (0..s.blocks()).map(|i| (s.block(i), 20_480)).collect();
        assert_eq!(pick(&every).0, s.block(0), "everything heard: share");
    }
}

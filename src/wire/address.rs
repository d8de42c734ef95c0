//! Addressing: which multicast group and port a conference, a slot and a stream have.
//!
//! A conference owns one block of 512 multicast groups and one window of 2,048 ports. Both are plain values in its
//! ANNOUNCE, so pinned ones (`--group`, `--port`) are expressed as well as chosen ones. It has one family of addresses.
//!
//! ```text
//! site scope   block b = 0..510           239.(192 + b >> 7).((b & 127) * 2).0 /23      TTL 16
//! link scope   block b = 0..126, not 21   239.255.(2 b).0 /23                           TTL 1
//! IPv6         h = 64..4,194,303          group id 0x80000000 | h << 9 | offset, under ff15:: (site), ff12:: (link)
//! window       w = 0..3                   P = 20480 + 2048 w
//!
//! groups:  base + 1                      control                      port P
//!          base + 2                      everybody's audio            a port for each talker
//!          base + 16 + 4 slot + layer    one layer of one publisher   slot 0..123, layer 0 thumb .. 3 screen
//! ports:   P + 64 + 16 slot + 0 audio, + 2 thumb, + 4 medium, + 6 full, + 8 screen; RTCP one above each;
//!          + 10 redundancy of the audio, + 11 repair of thumb, + 12 of medium, + 13 of full, + 14 of screen
//! discovery: 239.255.42.99, ff12::8000:2a63 (link), 239.195.255.99, ff15::8000:2a63 (site), port 20478
//! ```
//! Ports are unique for each stream: two SSRCs on one port confuse other programs' receivers. No block shares its
//! Ethernet address with 224.0.0.x, which switches always flood; group ids are from the range for whoever wants one
//! (RFC 3307 section 4.3), and no two of them share an Ethernet address.
//!
//! Addresses in the program carry no IPv6 scope id: everything happens on one interface, whose sockets add it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits::SLOTS_MAX;
use crate::wire::StreamKind;

/// Port of QUERY and ANNOUNCE; shared by all instances on a machine.
pub const DISCOVERY_PORT: u16 = 20_478;
/// The highest base port: the window of 2,048 ports must fit below 65,536.
pub const BASE_PORT_MAX: u16 = 63_488;
/// Lowest base port that may be pinned: those below need rights.
pub const BASE_PORT_MIN: u16 = 1_024;
/// Where SAP announcements go over IPv4 (RFC 2974 section 3): the global and the local-scope group.
const SAP_V4: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 2, 127, 254)), SAP_PORT),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 255, 255, 255)), SAP_PORT),
];
/// And over IPv6: ff0X::2:7ffe in the conference's own scope.
const SAP_V6: [[SocketAddr; 1]; 2] = [sap_v6(LINK_V6), sap_v6(SITE_V6)];
const SAP_PORT: u16 = 9_875;

const BLOCK_MASK: u32 = !0x1ff;
const WINDOWS: u32 = 4;
const FIRST_WINDOW: u16 = 20_480;
const WINDOW_PORTS: u16 = 2_048;
/// Digests tried before giving up on finding something unheard; finds the last of 126 blocks nearly always.
const TRIES: u32 = 1_024;

/// First 16 bits of IPv6 groups: transient, of the scope of one link or of a site (RFC 4291 section 2.7).
const LINK_V6: u16 = 0xff12;
const SITE_V6: u16 = 0xff15;
/// Group ids at will have this bit.
const DYNAMIC_V6: u32 = 0x8000_0000;
/// Numbers of IPv6 blocks; those below the first are kept for groups with a meaning of their own, as discovery's.
const BLOCKS_V6: std::ops::Range<u32> = 64..1 << 22;
const DISCOVERY_V6: u32 = 0x8000_2a63;

const fn group_v6(prefix: u16, id: u32) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(prefix, 0, 0, 0, 0, 0, (id >> 16) as u16, id as u16))
}

const fn sap_v6(prefix: u16) -> [SocketAddr; 1] {
    // Without the flag of transient groups: SAP's is a permanent one.
    [SocketAddr::new(group_v6(prefix & 0xff0f, 0x2_7ffe), SAP_PORT)]
}

/// Which kind of addresses a conference has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, the usual one first.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// How far a conference reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One link: packets pass no router.
    #[default]
    Link,
    /// The site's routers may forward it.
    Site,
}

impl std::str::FromStr for Scope {
    type Err = UnknownScope;

    /// From the word users write.
    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        match word {
            "lan" => Ok(Scope::Link),
            "site" => Ok(Scope::Site),
            _ => Err(UnknownScope),
        }
    }
}

/// Neither "lan" nor "site".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lan or site is expected")]
pub struct UnknownScope;

impl Scope {
    /// TTL that goes with the scope.
    pub fn ttl(self) -> u8 {
        match self {
            Scope::Link => 1,
            Scope::Site => 16,
        }
    }

    /// Where QUERY and ANNOUNCE of this scope go.
    pub fn discovery(self, family: Family) -> SocketAddr {
        let group = match (family, self) {
            (Family::V4, Scope::Link) => Ipv4Addr::new(239, 255, 42, 99).into(),
            (Family::V4, Scope::Site) => Ipv4Addr::new(239, 195, 255, 99).into(),
            (Family::V6, _) => group_v6(self.prefix_v6(), DISCOVERY_V6),
        };
        SocketAddr::new(group, DISCOVERY_PORT)
    }

    fn prefix_v6(self) -> u16 {
        match self {
            Scope::Link => LINK_V6,
            Scope::Site => SITE_V6,
        }
    }

    /// Number of blocks to choose from.
    fn blocks(self, family: Family) -> u32 {
        match (family, self) {
            (Family::V4, Scope::Link) => 126,
            (Family::V4, Scope::Site) => 511,
            (Family::V6, _) => BLOCKS_V6.end - BLOCKS_V6.start,
        }
    }

    /// Base address of the `index`th block, `index < blocks(family)`.
    fn block(self, family: Family, index: u32) -> IpAddr {
        match (family, self) {
            // Block 21 holds the discovery group.
            (Family::V4, Scope::Link) => {
                Ipv4Addr::new(239, 255, (2 * (index + u32::from(index >= 21))) as u8, 0).into()
            }
            (Family::V4, Scope::Site) => {
                Ipv4Addr::new(239, (192 + (index >> 7)) as u8, ((index & 127) * 2) as u8, 0).into()
            }
            (Family::V6, _) => group_v6(self.prefix_v6(), DYNAMIC_V6 | (BLOCKS_V6.start + index) << 9),
        }
    }
}

/// Why a pinned group or port cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Outside 224.0.0.0/4.
    #[error("{0} is not a multicast address (use one of 239.0.0.0 to 239.255.254.0)")]
    NotMulticast(IpAddr),
    /// Not the first address of a /23.
    #[error("{0} is not the base of a block of 512 groups (its third number must be even and its fourth 0)")]
    NotBlock(IpAddr),
    /// Not a block of the conference's scope over IPv6.
    #[error("{given} is not the base of a block of 512 groups ({} to {}, in steps of 200 hexadecimal)", .scope.block(Family::V6, 0), .scope.block(Family::V6, BLOCKS_V6.end - BLOCKS_V6.start - 1))]
    NotBlockV6 {
        /// What was given.
        given: IpAddr,
        /// The conference's.
        scope: Scope,
    },
    /// Switches flood these groups to every port.
    #[error("every switch floods groups near {0} to all ports: choose another block")]
    Flooded(IpAddr),
    /// The block holds a group with a meaning of its own.
    #[error("the block of {0} holds a well-known group (discovery or SAP): choose another block")]
    Reserved(IpAddr),
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
    /// First address of the block.
    pub base: IpAddr,
    /// First port of the window.
    pub port: u16,
    /// How far it reaches; says where it is announced.
    pub scope: Scope,
    /// TTL of everything sent.
    pub ttl: u8,
}

impl Plan {
    /// A plan from a base address and port given by the user.
    pub fn new(scope: Scope, base: IpAddr, port: u16) -> Result<Self, Error> {
        match base {
            IpAddr::V4(v4) => check_base(v4)?,
            IpAddr::V6(_) => check_base_v6(scope, base)?,
        }
        check_port(port)?;
        Ok(Self { base, port, scope, ttl: scope.ttl() })
    }

    /// A plan from the numbers of an ANNOUNCE, as [`base_to_wire`](Self::base_to_wire) has them; `None` when there is no
    /// such plan.
    pub fn from_wire(scope: Scope, family: u32, base: u32, port: u32) -> Option<Self> {
        let base = match family {
            4 => Ipv4Addr::from(base).into(),
            6 => group_v6(scope.prefix_v6(), base),
            _ => return None,
        };
        Self::new(scope, base, u16::try_from(port).ok()?).ok()
    }

    /// Family (4 or 6) and base in an ANNOUNCE: the address, or the group id under the scope's prefix.
    pub fn base_to_wire(&self) -> (u32, u32) {
        match self.base {
            IpAddr::V4(base) => (4, base.into()),
            IpAddr::V6(base) => (6, u128::from(base) as u32),
        }
    }

    /// Chooses a block and window: the first unheard block with an unheard window, else the first unheard block, in
    /// the order given by `digest(try)` = SHA-256(conference id || try). `heard` = bases and ports of others.
    pub fn choose(
        scope: Scope,
        family: Family,
        heard: &[(IpAddr, u16)],
        mut digest: impl FnMut(u32) -> [u8; 32],
    ) -> Self {
        let mut second_best = None;
        for attempt in 0..TRIES {
            let d = digest(attempt);
            let number = u32::from_be_bytes([d[0], d[1], d[2], d[3]]);
            let base = scope.block(family, number % scope.blocks(family));
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
        let first = Self { base: scope.block(family, 0), port: FIRST_WINDOW, scope, ttl: scope.ttl() };
        second_best.map_or(first, |(_, plan)| plan)
    }

    /// The kind of its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.base)
    }

    /// The block as networks are written: 239.255.4.0/23, ff12::8000:8000/119.
    pub fn block_text(&self) -> String {
        format!("{}/{}", self.base, if self.base.is_ipv4() { 23 } else { 119 })
    }

    /// Where it is asked for and announced.
    pub fn discovery(&self) -> SocketAddr {
        self.scope.discovery(self.family())
    }

    /// Where its streams are announced to other programs.
    pub fn sap(&self) -> &'static [SocketAddr] {
        match (self.family(), self.scope) {
            (Family::V4, _) => &SAP_V4,
            (Family::V6, Scope::Link) => &SAP_V6[0],
            (Family::V6, Scope::Site) => &SAP_V6[1],
        }
    }

    /// Group and port of everything sealed: roster, chat, interest.
    pub fn control(&self) -> SocketAddr {
        SocketAddr::new(self.group(1), self.port)
    }

    /// RTP address of a stream of the publisher in `slot` (below [`SLOTS_MAX`]); its RTCP goes to the port above.
    pub fn stream(&self, slot: u8, kind: StreamKind) -> SocketAddr {
        debug_assert!(usize::from(slot) < SLOTS_MAX);
        let first = self.port.wrapping_add(64).wrapping_add(16 * u16::from(slot));
        match kind {
            StreamKind::Audio => SocketAddr::new(self.group(2), first),
            StreamKind::Video(layer) => {
                let group = self.group(16 + 4 * u32::from(slot) + layer as u32);
                SocketAddr::new(group, first.wrapping_add(2 + 2 * layer as u16))
            }
        }
    }

    /// Where the parity of a stream goes, and the requests for it; of a voice, its redundancy. In the stream's own group,
    /// so that only those who receive it hear of it.
    pub fn repair(&self, slot: u8, kind: StreamKind) -> SocketAddr {
        let media = self.stream(slot, kind);
        let first = self.port.wrapping_add(64).wrapping_add(16 * u16::from(slot));
        SocketAddr::new(media.ip(), first.wrapping_add(10 + kind.to_wire() as u16))
    }

    fn group(&self, offset: u32) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => Ipv4Addr::from(u32::from(base).wrapping_add(offset)).into(),
            IpAddr::V6(base) => Ipv6Addr::from(u128::from(base).wrapping_add(offset.into())).into(),
        }
    }
}

/// A host's address as Beacon and Knock carry it: four bytes as a number, or sixteen bytes.
pub fn host_to_wire(host: IpAddr) -> (u32, Vec<u8>) {
    match host {
        IpAddr::V4(v4) => (v4.into(), Vec::new()),
        IpAddr::V6(v6) => (0, v6.octets().to_vec()),
    }
}

/// The address of [`host_to_wire`]; `None` when the bytes are no IPv6 address, or one that stands for an IPv4 address.
pub fn host_from_wire(v4: u32, v6: &[u8]) -> Option<IpAddr> {
    if v6.is_empty() {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(v6).ok()?);
    v6.to_ipv4_mapped().is_none().then_some(v6.into())
}

fn windows_overlap(a: u16, b: u16) -> bool {
    a.abs_diff(b) < WINDOW_PORTS
}

fn check_base(base: Ipv4Addr) -> Result<(), Error> {
    if !base.is_multicast() {
        return Err(Error::NotMulticast(base.into()));
    }
    let number = u32::from(base);
    if number & !BLOCK_MASK != 0 {
        return Err(Error::NotBlock(base.into()));
    }
    // Only 23 bits of a group reach its Ethernet address, so 32 groups share each, those of 224.0.0.x too.
    if number & 0x7f_ffff & BLOCK_MASK == 0 {
        return Err(Error::Flooded(base.into()));
    }
    let discovery = [Scope::Link, Scope::Site].map(|scope| scope.discovery(Family::V4));
    let mut well_known = discovery.iter().chain(&SAP_V4).map(SocketAddr::ip);
    if well_known.any(|group| matches!(group, IpAddr::V4(v4) if u32::from(v4) & BLOCK_MASK == number)) {
        return Err(Error::Reserved(base.into()));
    }
    Ok(())
}

fn check_base_v6(scope: Scope, base: IpAddr) -> Result<(), Error> {
    let IpAddr::V6(v6) = base else {
        return Err(Error::NotBlockV6 { given: base, scope });
    };
    let id = u128::from(v6) as u32;
    let block = (id & !DYNAMIC_V6) >> 9;
    if group_v6(scope.prefix_v6(), id) != base || id & DYNAMIC_V6 == 0 || id & !BLOCK_MASK != 0 {
        return Err(Error::NotBlockV6 { given: base, scope });
    }
    if !BLOCKS_V6.contains(&block) {
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

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(text: &str) -> SocketAddr {
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
        for slot in 0..SLOTS_MAX as u8 {
            for number in 0..5 {
                let rtp = plan.stream(slot, StreamKind::from_wire(number).unwrap());
                let repair = plan.repair(slot, StreamKind::from_wire(number).unwrap());
                assert_eq!(repair.ip(), rtp.ip());
                ports.extend([rtp.port(), rtp.port() + 1, repair.port()]);
                assert_eq!(Plan { base: rtp.ip(), ..plan }.base_to_wire().1 & BLOCK_MASK, plan.base_to_wire().1);
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
            assert_eq!(scope.block(Family::V4, index), ip(expected));
        }
        for scope in [Scope::Link, Scope::Site] {
            for index in 0..scope.blocks(Family::V4) {
                assert!(
                    Plan::new(scope, scope.block(Family::V4, index), 20_480).is_ok(),
                    "every block may also be pinned"
                );
            }
        }
    }

    #[test]
    fn blocks_of_ipv6_lie_under_the_prefix_of_their_scope() {
        let plan = Plan::new(Scope::Link, ip("ff12::8000:8000"), 20_480).unwrap();
        assert_eq!(plan.control(), at("[ff12::8000:8001]:20480"));
        assert_eq!(plan.stream(123, StreamKind::Video(Layer::Screen)), at("[ff12::8000:81ff]:22520"));
        assert_eq!(plan.discovery(), at("[ff12::8000:2a63]:20478"));
        assert_eq!(plan.sap(), [at("[ff02::2:7ffe]:9875")]);
        for (scope, first, last) in
            [(Scope::Link, "ff12::8000:8000", "ff12::ffff:fe00"), (Scope::Site, "ff15::8000:8000", "ff15::ffff:fe00")]
        {
            let count = scope.blocks(Family::V6);
            assert_eq!((scope.block(Family::V6, 0), scope.block(Family::V6, count - 1)), (ip(first), ip(last)));
            for base in [first, last] {
                let plan = Plan::new(scope, ip(base), 20_480).expect("every block may also be pinned");
                let (family, number) = plan.base_to_wire();
                assert_eq!(Plan::from_wire(scope, family, number, 20_480), Some(plan));
            }
            let chosen = Plan::choose(scope, Family::V6, &[], |_| [0xff; 32]);
            assert!(Plan::new(scope, chosen.base, chosen.port).is_ok(), "{chosen:?}");
        }
        let refused = |base: &str| Plan::new(Scope::Link, ip(base), 20_480).unwrap_err();
        for base in ["ff15::8000:8000", "ff12::8000:8001", "ff12::0:8000", "ff12:1::8000:8000", "fe80::8000:8000"] {
            assert_eq!(refused(base), Error::NotBlockV6 { given: ip(base), scope: Scope::Link });
        }
        assert!(refused("ff15::8000:8000").to_string().contains("(ff12::8000:8000 to ff12::ffff:fe00"));
        assert_eq!(refused("ff12::8000:2a00"), Error::Reserved(ip("ff12::8000:2a00")));
        assert_eq!(Plan::from_wire(Scope::Link, 5, 0x8000_8000, 20_480), None);
        assert_eq!(Plan::from_wire(Scope::Link, 6, 0x8000_8000, 70_000), None);
    }

    #[test]
    fn hosts_of_both_families_travel() {
        for host in ["10.0.0.1", "fe80::1", "fd00::2"].map(ip) {
            let (v4, v6) = host_to_wire(host);
            assert_eq!(host_from_wire(v4, &v6), Some(host));
        }
        assert_eq!(host_from_wire(0, &[0; 15]), None);
        assert_eq!(host_from_wire(0, &"::ffff:10.0.0.1".parse::<Ipv6Addr>().unwrap().octets()), None);
    }

    /// A digest that proposes block `attempt` and window `attempt / blocks`, so that tests see the order.
    fn in_order(scope: Scope) -> impl FnMut(u32) -> [u8; 32] {
        move |attempt| {
            let mut d = [0; 32];
            d[..4].copy_from_slice(&(attempt % scope.blocks(Family::V4)).to_be_bytes());
            d[4] = (attempt / scope.blocks(Family::V4)) as u8;
            d
        }
    }

    #[test]
    fn an_unheard_block_with_an_unheard_window_is_preferred() {
        let s = Scope::Link;
        let pick = |heard: &[(IpAddr, u16)]| {
            let p = Plan::choose(s, Family::V4, heard, in_order(s));
            (p.base, p.port)
        };
        assert_eq!(pick(&[]), (ip("239.255.0.0"), 20_480));
        // Window 0 is heard: nothing before block 0 comes round again in window 1, which is free.
        assert_eq!(pick(&[(ip("239.255.8.0"), 20_480)]), (ip("239.255.0.0"), 22_528));
        // All windows heard: the first unheard block.
        let all = [
            (s.block(Family::V4, 0), 20_480),
            (s.block(Family::V4, 1), 22_528),
            (s.block(Family::V4, 2), 24_576),
            (s.block(Family::V4, 3), 26_624),
        ];
        assert_eq!(pick(&all), (s.block(Family::V4, 4), 20_480));
        // A pinned window that straddles two of ours makes both of them heard.
        assert_eq!(pick(&[(ip("239.1.2.0"), 21_000)]), (ip("239.255.0.0"), 24_576));
        let every: Vec<_> = (0..s.blocks(Family::V4)).map(|i| (s.block(Family::V4, i), 20_480)).collect();
        assert_eq!(pick(&every).0, s.block(Family::V4, 0), "everything heard: share");
    }
}

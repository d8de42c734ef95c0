//! Everything that passes the interfaces of this network namespace, as a stranger at the switch would record it.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Read};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// `ETH_P_ALL` of Linux: frames of every protocol.
const ALL_PROTOCOLS: u16 = 3;
/// An interface may pass on many packets as one frame of this length at most.
const FRAME_BYTES_MAX: usize = 128 << 10;
/// How long is still read once the recording is over.
const LAST_FRAMES: Duration = Duration::from_millis(500);
/// What the network card adds in front.
const ETHERNET_BYTES: usize = 14;
const IPV4: [u8; 2] = [8, 0];
const UDP: u8 = 17;

/// A recording that is under way.
pub struct Sniffer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Frame>>,
}

/// A frame and when it was read.
pub struct Frame {
    pub at: Instant,
    pub bytes: Vec<u8>,
}

impl Sniffer {
    /// Records from now on.
    pub fn start() -> Sniffer {
        let all = Protocol::from(i32::from(ALL_PROTOCOLS.to_be()));
        let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).expect("root of this namespace may listen");
        let _ = socket.set_recv_buffer_size(8 << 20);
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("time-out of a socket");
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut frames, mut buffer) = (Vec::new(), vec![0; FRAME_BYTES_MAX]);
            let mut end = None;
            // What was sent before the end is read after it; where sending goes on, that takes no longer than this.
            while end.is_none_or(|end| Instant::now() < end) {
                if end.is_none() && stopped.load(Ordering::Relaxed) {
                    end = Some(Instant::now() + LAST_FRAMES);
                }
                match socket.read(&mut buffer) {
                    Ok(length) => frames.push(Frame { at: Instant::now(), bytes: buffer[..length].to_vec() }),
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                    Err(e) => panic!("cannot listen: {e}"),
                }
                assert!(frames.len() < 1_000_000, "more is recorded than a test sends");
            }
            frames
        });
        Sniffer { stop, thread }
    }

    /// Ends the recording.
    pub fn finish(self) -> Vec<Frame> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the recording")
    }
}

impl Frame {
    /// Whether the bytes of `needle` stand somewhere in it.
    pub fn holds(&self, needle: &[u8]) -> bool {
        self.bytes.windows(needle.len()).any(|window| window == needle)
    }

    /// The sender of an IPv4 packet.
    pub fn source(&self) -> Option<Ipv4Addr> {
        let header = self.ipv4()?;
        Some(Ipv4Addr::new(header[12], header[13], header[14], header[15]))
    }

    /// Ports of an unfragmented UDP packet, the sender's first.
    pub fn ports(&self) -> Option<[u16; 2]> {
        let packet = self.ipv4().filter(|packet| packet[9] == UDP)?;
        let udp = packet.get(usize::from(packet[0] & 15) * 4..)?.get(..4)?;
        Some([u16::from_be_bytes([udp[0], udp[1]]), u16::from_be_bytes([udp[2], udp[3]])])
    }

    fn ipv4(&self) -> Option<&[u8]> {
        let packet = self.bytes.get(ETHERNET_BYTES..).filter(|packet| packet.len() >= 20)?;
        (self.bytes[12..14] == IPV4).then_some(packet)
    }
}

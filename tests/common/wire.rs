//! A cable that damages what passes: delay, jitter, loss alone and in bursts, packets twice or out of order. The kernels
//! this runs on have no netem; a thread of the test forwards the frames itself.
//!
//! ```text
//! host eth0 ── pN   (thread)   qN ── xN  switch
//! ```

use super::random::Random;
use super::sandbox::sh;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What happens to each frame, in either direction. Probabilities are 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Damage {
    /// Time each frame takes.
    pub delay: Duration,
    /// Up to so much more; the order stays.
    pub jitter: Duration,
    /// Lost alone.
    pub loss: f64,
    /// A burst of losses begins; its mean length, frames.
    pub burst: Option<(f64, f64)>,
    /// Arrives twice.
    pub twice: f64,
    /// Is overtaken by those of the next 8 ms.
    pub late: f64,
}

const LATE: Duration = Duration::from_millis(8);
/// Bytes the kernel puts before a frame, so that unfinished checksums survive (struct virtio_net_hdr).
const HEADER_BYTES: usize = 10;
const FRAME_BYTES_MAX: usize = 70_000;

/// One damaged cable. Dropping it cuts it.
pub struct Wire {
    damage: Arc<Mutex<Damage>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Replaces the cable of host `h` by one that damages nothing yet.
    pub fn into(h: usize) -> Wire {
        sh(&format!(
            "ip link set p{h} nomaster && ip link add q{h} type veth peer name x{h} && \
             for i in q{h} x{h}; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done; \
             ip link set q{h} gso_max_segs 1; ip -n h{h} link set eth0 gso_max_segs 1; \
             ip link set x{h} master br0 up && ip link set q{h} up"
        ));
        let ends = [open(&format!("p{h}")), open(&format!("q{h}"))].map(|end| end.expect("socket on a cable's end"));
        let (damage, over) = (Arc::new(Mutex::new(Damage::default())), Arc::new(AtomicBool::new(false)));
        let (shared, stop) = (Arc::clone(&damage), Arc::clone(&over));
        let thread = std::thread::spawn(move || forward(&ends, &shared, &stop, h as u64));
        Wire { damage, over, thread: Some(thread) }
    }

    /// Damages what passes from now on in this way.
    pub fn set(&self, damage: Damage) {
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = damage;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn forward(ends: &[OwnedFd; 2], damage: &Mutex<Damage>, over: &AtomicBool, seed: u64) {
    let mut dice = Random::of(seed.wrapping_mul(0x9e37_79b9));
    let mut queue: BTreeMap<(Instant, u64), (usize, Vec<u8>)> = BTreeMap::new();
    let (mut serial, mut in_burst, mut not_before) = (0, [false; 2], [Instant::now(); 2]);
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    while !over.load(Ordering::Relaxed) {
        let now = Instant::now();
        while let Some(entry) = queue.first_entry().filter(|e| e.key().0 <= now) {
            let (to, frame) = entry.remove();
            send(&ends[to], &frame);
        }
        let wait = queue.first_key_value().map_or(Duration::from_millis(50), |((at, _), _)| at.duration_since(now));
        wait_for(ends, wait);
        let damage = *damage.lock().unwrap_or_else(PoisonError::into_inner);
        for from in 0..2 {
            while let Some(bytes) = receive(&ends[from], &mut buffer) {
                in_burst[from] = match damage.burst {
                    Some((_, length)) if in_burst[from] => dice.unit() >= 1.0 / length,
                    Some((start, _)) => dice.unit() < start,
                    None => false,
                };
                if in_burst[from] || dice.unit() < damage.loss {
                    continue;
                }
                let ordered = Instant::now() + damage.delay + damage.jitter.mul_f64(dice.unit());
                not_before[from] = not_before[from].max(ordered);
                let late = dice.unit() < damage.late;
                let due = not_before[from] + if late { LATE } else { Duration::ZERO };
                let copies = if dice.unit() < damage.twice { 2 } else { 1 };
                for _ in 0..copies {
                    serial += 1;
                    queue.insert((due, serial), (1 - from, buffer[..bytes].to_vec()));
                }
            }
        }
    }
}

/// A socket that sees the frames which come to the interface, and sends some.
fn open(name: &str) -> io::Result<OwnedFd> {
    let index = std::ffi::CString::new(name)?;
    let all = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: plain calls with valid arguments; the descriptor is owned at once.
    unsafe {
        let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(fd);
        set(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 4 << 20)?;
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all;
        address.sll_ifindex = libc::if_nametoindex(index.as_ptr()) as i32;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        if libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) != 0 {
            return Err(io::Error::last_os_error());
        }
        let everything = libc::packet_mreq {
            mr_ifindex: address.sll_ifindex,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        let length = size_of::<libc::packet_mreq>() as libc::socklen_t;
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const everything).cast(),
            length,
        );
        Ok(socket)
    }
}

fn set(socket: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value lives through the call and its exact size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: the buffer lives through the call and its exact size is given.
    let bytes = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(bytes).ok().filter(|bytes| *bytes > HEADER_BYTES)
}

fn send(socket: &OwnedFd, frame: &[u8]) {
    // A frame that does not get through is lost, as on a cable.
    // SAFETY: the frame lives through the call and its exact size is given.
    unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), libc::MSG_NOSIGNAL) };
}

fn wait_for(ends: &[OwnedFd; 2], at_most: Duration) {
    let mut waited = [0, 1].map(|i| libc::pollfd { fd: ends[i].as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let nanos = at_most.min(Duration::from_millis(50));
    let time = libc::timespec { tv_sec: 0, tv_nsec: i64::from(nanos.subsec_nanos()) };
    // SAFETY: both live through the call; the number of entries is exact.
    unsafe { libc::ppoll(waited.as_mut_ptr(), 2, &raw const time, std::ptr::null()) };
}

//! The few socket options and interface queries that neither socket2 nor quinn-udp offers, each a small safe function.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use socket2::Socket;

/// Whether a failed call may succeed later without anything being changed here.
pub(super) fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EAGAIN
                | libc::EINTR
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ECONNREFUSED
                // The interface or its address is gone, as while a cable is out or DHCP renews.
                | libc::ENODEV
                | libc::ENXIO
                | libc::EADDRNOTAVAIL
                | libc::EINVAL
                // A firewall drops what is sent.
                | libc::EPERM
        )
    )
}

/// Asks for a receive buffer of `bytes`, above the system's limit where that is permitted. The system may grant less.
pub(super) fn ask_receive_buffer(socket: &Socket, bytes: usize) {
    #[cfg(target_os = "linux")]
    if set_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes as libc::c_int).is_ok() {
        return;
    }
    // Refusal is no fault: `UdpSocket::receive_buffer_bytes` tells what was granted.
    let _ = socket.set_recv_buffer_size(bytes);
}

/// As [`ask_receive_buffer`], for sending.
pub(super) fn ask_send_buffer(socket: &Socket, bytes: usize) {
    #[cfg(target_os = "linux")]
    if set_int(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes as libc::c_int).is_ok() {
        return;
    }
    let _ = socket.set_send_buffer_size(bytes);
}

/// Lets datagrams above the interface's MTU be fragmented rather than refused. They are not sent where the MTU is the
/// usual one; on a narrower network a fragmented picture is better than none.
pub(super) fn allow_fragments(socket: &Socket, v6: bool) {
    #[cfg(target_os = "linux")]
    let _ = if v6 {
        set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_WANT)
    } else {
        set_int(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_WANT)
    };
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, v6);
}

/// Lets other programs bind the same port, and keeps the groups they joined out.
pub(super) fn share_port(socket: &Socket, v6: bool) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(target_os = "linux")))]
    socket.set_reuse_port(true)?;
    // Otherwise the groups other programs joined on this machine leak in.
    #[cfg(target_os = "linux")]
    if v6 {
        socket.set_multicast_all_v6(false)?;
    } else {
        socket.set_multicast_all_v4(false)?;
    }
    Ok(())
}

/// Makes `socket` stand for what `by` is, under the number it has: whoever uses it uses the other from then on.
pub(super) fn replace(socket: &Socket, by: &Socket) -> io::Result<()> {
    // SAFETY: both numbers are those of open sockets that outlive the call; the old socket is closed by it, and its number
    // at once that of the other, so that no other file can come by it in between.
    let result = unsafe { libc::dup2(by.as_raw_fd(), socket.as_raw_fd()) };
    // Nothing this process starts inherits it.
    let close_on_exec = || socket.set_cloexec(true);
    if result < 0 { Err(io::Error::last_os_error()) } else { close_on_exec() }
}

/// Datagrams the kernel dropped because the receive buffer was full, since the socket was opened.
#[cfg(target_os = "linux")]
pub(super) fn receive_drops(socket: &Socket) -> Option<u32> {
    /// Place of the count in the array (linux/sock_diag.h).
    const SK_MEMINFO_DROPS: usize = 8;
    let mut info = [0u32; SK_MEMINFO_DROPS + 1];
    let mut bytes = size_of_val(&info) as libc::socklen_t;
    // SAFETY: `info` lives through the call and `bytes` is its exact size; the kernel writes at most that much.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    (result == 0 && bytes as usize == size_of_val(&info)).then_some(info[SK_MEMINFO_DROPS])
}

#[cfg(not(target_os = "linux"))]
pub(super) fn receive_drops(_socket: &Socket) -> Option<u32> {
    None
}

#[cfg(target_os = "linux")]
pub(super) fn set_int(socket: &Socket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set(socket, level, name, &value)
}

/// Sets an option whose value is a `T`, as the kernel has it.
#[cfg(target_os = "linux")]
pub(super) fn set<T>(socket: &Socket, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the option's value lives through the call and its exact size is given; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A question about the interface called `name`; `None` when no interface can be called so.
#[cfg(target_os = "linux")]
pub(super) fn request_about(name: &str) -> Option<libc::ifreq> {
    // SAFETY: all zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The name ends with a zero.
    if name.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Some(request)
}

/// Flags (`IFF_*`) and MTU of the interface called `name`, seen from this process's network namespace.
#[cfg(target_os = "linux")]
pub(super) fn interface_flags_and_mtu(name: &str) -> Option<(i32, u32)> {
    let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).ok()?;
    let mut request = request_about(name)?;
    // SAFETY: both requests take an `ifreq`, which lives through the call; the kernel fills the union's member that is
    // read after a success.
    let flags = unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) != 0 {
            return None;
        }
        i32::from(request.ifr_ifru.ifru_flags)
    };
    // SAFETY: as above.
    let mtu = unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) != 0 {
            return None;
        }
        request.ifr_ifru.ifru_mtu
    };
    Some((flags, u32::try_from(mtu).ok()?))
}

/// Receives one datagram and its TOS byte, which the socket must have been told to report: its size, and the byte.
#[cfg(all(test, target_os = "linux"))]
pub(super) fn receive_with_tos(socket: &Socket) -> io::Result<(usize, u8)> {
    use std::mem::MaybeUninit;
    let (mut bytes, mut control) = ([MaybeUninit::new(0); 2_048], [MaybeUninit::new(0); 64]);
    let mut buffers = [socket2::MaybeUninitSlice::new(&mut bytes)];
    let mut message = socket2::MsgHdrMut::new().with_buffers(&mut buffers).with_control(&mut control);
    let size = socket.recvmsg(&mut message, 0)?;
    // One control message: its header, then the byte.
    // SAFETY: every byte of the array was initialised when it was made.
    Ok((size, unsafe { control[size_of::<libc::cmsghdr>()].assume_init() }))
}

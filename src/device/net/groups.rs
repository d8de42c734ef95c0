//! Joining groups again, so that switches hear of it.
//!
//! The kernel tells the network of a group when its first socket joins and its last one leaves. The sockets of this
//! process that share a group therefore leave together and join together; those of other programs on this machine
//! keep it joined, and then nothing is told.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use socket2::{InterfaceIndexOrAddress, Socket};

struct Member {
    group: IpAddr,
    interface: u32,
    socket: Weak<Socket>,
}

static MEMBERS: Mutex<Vec<Member>> = Mutex::new(Vec::new());

/// Joins `group` on the interface, and remembers that `socket` did.
pub(super) fn join(socket: &Arc<Socket>, group: IpAddr, interface: u32) -> io::Result<()> {
    let mut members = MEMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    members.retain(|m| m.socket.strong_count() > 0 && !std::ptr::eq(m.socket.as_ptr(), Arc::as_ptr(socket)));
    let joined = change(socket, group, interface, true);
    // A renewed socket is a member already.
    if joined.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::AddrInUse) {
        return joined;
    }
    members.push(Member { group, interface, socket: Arc::downgrade(socket) });
    Ok(())
}

/// All sockets that joined `group` on the interface leave it and join it. An error is that of `socket`, which is not a
/// member then.
pub(super) fn rejoin(socket: &Arc<Socket>, group: IpAddr, interface: u32) -> io::Result<()> {
    let members = MEMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    let same = members.iter().filter(|m| m.group == group && m.interface == interface);
    let all: Vec<Arc<Socket>> = same.filter_map(|m| m.socket.upgrade()).collect();
    for one in &all {
        // It fails when the membership is gone already, and then there is nothing to leave.
        let _ = change(one, group, interface, false);
    }
    let mut result = Ok(());
    for one in &all {
        let joined = change(one, group, interface, true);
        if Arc::ptr_eq(one, socket) {
            result = joined;
        }
    }
    result
}

fn change(socket: &Socket, group: IpAddr, interface: u32, join: bool) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            let on = InterfaceIndexOrAddress::Index(interface);
            if join { socket.join_multicast_v4_n(&group, &on) } else { socket.leave_multicast_v4_n(&group, &on) }
        }
        IpAddr::V6(group) if join => socket.join_multicast_v6(&group, interface),
        IpAddr::V6(group) => socket.leave_multicast_v6(&group, interface),
    }
}

//! Those who fetch over TCP.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mio::Interest;
use mio::net::TcpListener;

use super::super::fetch;
use super::{LISTENER, Role};
use crate::device::net::scoped;
use crate::limits::{OBJECT_FETCHES_MAX, OBJECT_FETCHES_PER_PEER_MAX};
use crate::protocol::transfer::rate::{WIRE, fastest};
use crate::wire::object::ObjectId;

/// Of what files may take: to those who fetch while others get something new, and when nobody does.
const FETCHED_SHARES: [f64; 2] = [0.5, 1.0 / 16.0];

impl Role {
    /// Divides what files may take among all that are sent, and those who fetch.
    pub(super) fn share_out(&mut self) {
        let active = self.giving.values().filter(|giving| giving.out.is_active()).count();
        let serving = self.serving.load(Ordering::Relaxed) > 0;
        let new = self.giving.values().any(|giving| giving.out.has_new());
        let fetched = if active == 0 { 1.0 } else { FETCHED_SHARES[usize::from(new)] };
        let sent = if serving { 1.0 - fetched } else { 1.0 };
        for giving in self.giving.values_mut() {
            giving.out.set_share(sent / active.max(1) as f64);
        }
        let learned: f64 = self.giving.values().filter(|g| g.out.is_active()).map(|g| g.out.bits_per_s()).sum();
        let fastest = fastest(self.media, self.config.limit_mbit) / WIRE;
        let all = if active == 0 { fastest } else { learned / sent.max(0.5) };
        self.pace.set(all * fetched);
    }

    pub(super) fn listen(&mut self) {
        let interface = &self.config.interface;
        let address = scoped(SocketAddr::from((interface.addr, 0)), interface.index);
        let opened = TcpListener::bind(address).and_then(|mut listener| {
            self.registry.register(&mut listener, LISTENER, Interest::READABLE)?;
            Ok(listener)
        });
        match opened {
            Ok(listener) => self.listener = Some(listener),
            Err(error) => tracing::warn!(%error, "nobody can fetch files from here over TCP"),
        }
        // With the port in it.
        let now = self.clock.now();
        self.giving.values_mut().for_each(|giving| giving.out.tell(now));
    }

    pub(super) fn accept_connections(&mut self) {
        while let Some(Ok((stream, from))) = self.listener.as_ref().map(TcpListener::accept) {
            let stream = std::net::TcpStream::from(stream);
            let from = from.ip();
            let member = self.people.values().any(|(_, address)| *address == from);
            if !member || !self.may_serve(from) || stream.set_nonblocking(false).is_err() {
                continue;
            }
            let (keys, clock, sid) = (self.config.keys.clone(), self.clock.clone(), self.random.next_u64());
            let (served, pace, over) = (Arc::clone(&self.served), Arc::clone(&self.pace), self.over(from));
            let work = move || {
                let find = |id: &ObjectId| served.lock().unwrap_or_else(|e| e.into_inner()).get(id).cloned();
                if let Err(error) = fetch::serve(stream, &keys, sid, (&clock, &pace), find) {
                    tracing::debug!(%error, "somebody who fetched is gone");
                }
                drop(over);
            };
            // Without a thread the connection closes, and is tried again.
            let _ = std::thread::Builder::new().name("serve".into()).spawn(work);
        }
    }

    pub(super) fn may_serve(&self, from: IpAddr) -> bool {
        let mut to = self.serving_to.lock().unwrap_or_else(|e| e.into_inner());
        let one = to.entry(from).or_default();
        if *one >= OBJECT_FETCHES_PER_PEER_MAX || self.serving.load(Ordering::Relaxed) >= OBJECT_FETCHES_MAX {
            return false;
        }
        *one += 1;
        self.serving.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Counts a connection off when it is dropped.
    pub(super) fn over(&self, from: IpAddr) -> impl Drop + Send + use<> {
        struct Over(Arc<AtomicUsize>, Arc<Mutex<BTreeMap<IpAddr, usize>>>, IpAddr);
        impl Drop for Over {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
                let mut to = self.1.lock().unwrap_or_else(|e| e.into_inner());
                if let Some(one) = to.get_mut(&self.2) {
                    *one = one.saturating_sub(1);
                }
            }
        }
        Over(Arc::clone(&self.serving), Arc::clone(&self.serving_to), from)
    }
}

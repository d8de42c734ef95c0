//! What is said about files: signed like a Beacon, and sealed to those it is for when that is not everybody.

use prost::Message as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Event, Moment, Outputs, Session, Stage, To};
use crate::limits::{OBJECT_AUDIENCE_MAX, OBJECT_CHOSEN_MAX, SEALED_BODY_BYTES_MAX};
use crate::protocol::chat::private;
use crate::wire::message::ParticipantId;
use crate::wire::object::{Offer, Packet};

/// Bytes of an offer to some that may hold a picture: what is around it in a datagram has room.
const PICTURED_BYTES_MAX: usize = SEALED_BODY_BYTES_MAX - 200;

impl Session {
    /// Says something about a file. An offer to some is sealed to them; its key, name, size and kind are for nobody else.
    /// Nothing is said before one has joined, nor when somebody it is for is not here: it will be said again.
    pub fn say_of_object(&mut self, at: Moment, packet: Packet, audience: &[ParticipantId], out: &mut Outputs) {
        if self.stage != Stage::Joined {
            return;
        }
        let packets = match packet {
            Packet::Offer(offer) if !audience.is_empty() => {
                self.sealed_offers(&offer, audience).into_iter().map(Packet::Offer).collect()
            }
            other => vec![other],
        };
        for packet in packets {
            let signed = self.signed(packet.kind(), packet.to_bytes());
            if let Some(kind) = Packet::signed(packet.kind(), signed) {
                self.post(To::Control, kind, out);
            }
        }
        self.pump(at, out);
    }

    /// The same offer for each dozen of the audience.
    fn sealed_offers(&mut self, offer: &Offer, audience: &[ParticipantId]) -> Vec<Offer> {
        // Who left needs no box; who comes back is offered it again.
        let me = self.identity.id();
        let here = audience.iter().filter(|id| **id != me).filter_map(|id| self.roster.key(id).copied());
        let keys: Vec<[u8; 32]> = here.take(OBJECT_CHOSEN_MAX).collect();
        let sealed = keys.chunks(OBJECT_AUDIENCE_MAX).filter_map(|keys| {
            let whole = self.sealed_offer(offer.clone(), keys)?;
            if whole.encoded_len() <= PICTURED_BYTES_MAX {
                return Some(whole);
            }
            // Beside many keys there is no room for a picture.
            self.sealed_offer(Offer { thumbnail: Vec::new(), ..offer.clone() }, keys)
        });
        sealed.collect()
    }

    fn sealed_offer(&mut self, offer: Offer, keys: &[[u8; 32]]) -> Option<Offer> {
        let conference = self.opener.keys().conference();
        let mut inner = Offer {
            name: offer.name,
            size: offer.size,
            kind: offer.kind,
            voice: offer.voice,
            key: offer.key,
            thumbnail: offer.thumbnail,
            ..Offer::default()
        };
        let words = Zeroizing::new(inner.encode_to_vec());
        inner.key.zeroize();
        let (ids, sealed) = private::seal_words(conference, &self.identity, keys, words, &mut self.random)?;
        let audience = ids.iter().flat_map(|id| id.0).collect();
        Some(Offer {
            audience,
            sealed,
            name: String::new(),
            size: 0,
            kind: String::new(),
            voice: None,
            key: Vec::new(),
            thumbnail: Vec::new(),
            ..offer
        })
    }

    /// A signed message of somebody who is here. Whether it could be understood.
    pub(super) fn hear_object(&mut self, sid: u64, counter: u64, kind: u8, payload: &[u8], out: &mut Outputs) -> bool {
        let Some(from) = self.roster.member(sid).map(|person| person.id) else {
            self.counters.strangers += 1;
            return true;
        };
        self.roster.spoke(sid, counter);
        match Packet::parse(kind, payload) {
            Ok(Packet::Offer(offer)) if !offer.sealed.is_empty() => {
                let opened = self.opened_offer(&from, offer);
                out.events.extend(opened.map(|offer| Event::Object(from, Packet::Offer(offer))));
                true
            }
            // A key that everybody can read is none.
            Ok(Packet::Offer(offer)) if !offer.key.is_empty() => false,
            Ok(packet) => {
                out.events.push(Event::Object(from, packet));
                true
            }
            Err(_) => false,
        }
    }

    /// An offer sealed to some, if oneself is one of them.
    fn opened_offer(&self, from: &ParticipantId, offer: Offer) -> Option<Offer> {
        let conference = self.opener.keys().conference();
        let words = private::open_words(conference, &self.identity, from, &offer.audience(), &offer.sealed)?;
        let inner = Offer::decode(words.as_slice()).ok()?;
        let open = Offer {
            name: inner.name,
            size: inner.size,
            kind: inner.kind,
            voice: inner.voice,
            key: inner.key,
            thumbnail: inner.thumbnail,
            sealed: Vec::new(),
            ..offer
        };
        // Bounds once more, of what was sealed.
        let bounds = Packet::Offer(Offer { audience: Vec::new(), ..open.clone() });
        Packet::parse(bounds.kind(), &bounds.to_bytes()).is_ok().then_some(open)
    }
}

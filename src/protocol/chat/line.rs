//! What goes in and out of the chat: lines as people see them, and what happened to them.

use std::time::Duration;

use prost::Message as _;

use crate::limits::{CHAT_PIECE_BYTES_MAX, NAME_BYTES_MAX};
use crate::protocol::chat::order::{LineId, OrderKey};
use crate::time::NtpTime;
use crate::wire::chat::{self as wire, Chat, Original, Packet};
use crate::wire::message::ParticipantId;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Said: at most 4,096 bytes.
    Text(String),
    /// Done, told in the third person ("/me"): at most 4,096 bytes.
    Action(String),
    /// An emoji under the line replied to.
    Reaction(String),
    /// For some only; opaque here. Opened by a recipient, it is an encoded `wire::chat::Content` again. It is for all
    /// `recipients`; its author reads it again only when it is among them.
    Sealed {
        /// Whom it is for, 1 to 32.
        recipients: Vec<ParticipantId>,
        /// At most 7,168 bytes.
        sealed: Vec<u8>,
    },
}

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The words.
    pub body: Body,
    /// The line that is replied to; needed by a reaction.
    pub to: Option<LineId>,
}

impl Content {
    /// Plain words to everybody.
    pub fn text(text: impl Into<String>) -> Self {
        Self { body: Body::Text(text.into()), to: None }
    }

    pub(super) fn to_wire(&self, name: &str) -> wire::Content {
        let to = self.to.map(|id| wire::Reference { member: id.member.0.to_vec(), run: id.run, number: id.number });
        let body = match &self.body {
            Body::Text(text) => wire::Body::Text(text.clone()),
            Body::Action(text) => wire::Body::Action(text.clone()),
            Body::Reaction(emoji) => wire::Body::Reaction(emoji.clone()),
            Body::Sealed { recipients, sealed } => wire::Body::Sealed(wire::Sealed {
                recipients: recipients.iter().flat_map(|id| id.0).collect(),
                sealed: sealed.clone(),
            }),
        };
        wire::Content { name: name.into(), to, body: Some(body) }
    }

    /// From checked wire content: the author's name, and what is said. `None`: a body of the future.
    pub fn from_wire(content: wire::Content) -> Option<(String, Self)> {
        let to = content
            .to
            .and_then(|to| Some(LineId { member: wire::member(&to.member)?, run: to.run, number: to.number }));
        let body = match content.body? {
            wire::Body::Text(text) => Body::Text(text),
            wire::Body::Action(text) => Body::Action(text),
            wire::Body::Reaction(emoji) => Body::Reaction(emoji),
            wire::Body::Sealed(sealed) => {
                Body::Sealed { recipients: sealed.recipients().collect(), sealed: sealed.sealed }
            }
        };
        Some((content.name, Self { body, to }))
    }
}

/// Encodes what is to be said, within the bounds, and cuts it into pieces.
pub(super) fn cut(content: &Content, name: &str) -> Result<Vec<Vec<u8>>, wire::Error> {
    let content = content.to_wire(fitting(name));
    content.check()?;
    let bytes = content.encode_to_vec();
    Ok(bytes.chunks(CHAT_PIECE_BYTES_MAX).map(<[u8]>::to_vec).collect())
}

/// As much of a name as may be sent.
fn fitting(name: &str) -> &str {
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// A line to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Names it, and is its place in the order.
    pub key: OrderKey,
    /// Its author's name when it was said; as sent, so shown like a beacon's name is.
    pub name: String,
    /// When it was said, by its author's clock.
    pub wall: NtpTime,
    /// What it says.
    pub content: Content,
    /// Whom it is for, its author among them; empty when that is everybody.
    pub audience: Vec<ParticipantId>,
    /// It stands before a line shown already: it came late, by repair or from history.
    pub late: bool,
}

/// A signed piece to be kept on disk, so that it can be restored, shown and passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its author.
    pub member: ParticipantId,
    /// The author's run.
    pub run: u32,
    /// Its number.
    pub number: u32,
    /// Its author's hybrid logical clock.
    pub time: u64,
    /// As signed.
    pub original: Original,
}

/// How many have a line of mine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Of those it is for and who are present, so many have told that they have it; in a large conference fewer than
    /// do, because reports take turns.
    pub have: usize,
    /// Of those it is for, so many are present.
    pub present: usize,
    /// Somebody has had it, present or not.
    pub reached: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A line is to be shown, one's own included. Each comes once.
    Line(Line),
    /// A piece of a line shown here is to be kept on disk.
    Keep(Kept),
    /// More or fewer people have a line of mine.
    Delivered(LineId, Delivery),
    /// Nobody has received a line of mine, and it is time that they had.
    Unheard(LineId),
    /// So many pieces of somebody's lines could not be had from anybody.
    Missed(ParticipantId, u32),
    /// What was said before is complete, from this member; so many pieces were new.
    History(ParticipantId, usize),
    /// Nobody could tell what was said before.
    HistoryUnavailable,
}

/// What the caller is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Seal and send to everybody.
    Multicast(Packet),
    /// Send to one member: sealed by unicast or, where it is long, over TCP.
    Unicast(ParticipantId, Packet),
    /// Show, keep or tell.
    Event(Event),
}

/// Why a line cannot be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SayError {
    /// Empty, too long, or a reaction to nothing.
    #[error("{0}")]
    Content(#[from] wire::Error),
    /// Faster than others accept.
    #[error("too many lines a second; the next in {0:?}")]
    TooFast(Duration),
    /// All numbers of this run are used.
    #[error("no more lines can be said before joining again")]
    Exhausted,
}

/// Signs in the name of the member whose chat this is.
pub trait Signer {
    /// The payload with the signature and all it binds.
    fn sign(&mut self, payload: Vec<u8>) -> Original;
}

/// Checks signatures.
pub trait Verifier {
    /// Whether the key in `signer` signed all of it in this conference.
    fn authentic(&self, original: &Original) -> bool;
}

/// What was done and refused; every refusal is counted somewhere here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pieces taken in, one's own not included.
    pub accepted: u64,
    /// Copies of pieces had already.
    pub duplicates: u64,
    /// Signatures that are wrong.
    pub forged: u64,
    /// Packets and lines that break a rule of their format.
    pub malformed: u64,
    /// Pieces, checks and requests beyond a member's rate.
    pub too_fast: u64,
    /// Pieces of a member shut out, or of a sequence there is no room for.
    pub refused: u64,
    /// Requests sent.
    pub nacks_sent: u64,
    /// Requests not sent because somebody else's asked for the same.
    pub nacks_spared: u64,
    /// Pieces sent again because somebody asked.
    pub repairs_sent: u64,
    /// Pieces not sent because somebody else was first.
    pub repairs_spared: u64,
    /// Pieces repeated unasked.
    pub repeats_sent: u64,
    /// Heartbeats sent.
    pub heartbeats_sent: u64,
    /// Pieces given up.
    pub missed: u64,
}

impl Counters {
    /// Everything refused, whatever the reason.
    pub fn refusals(&self) -> u64 {
        self.forged + self.malformed + self.too_fast + self.refused
    }
}

/// Joins the payloads of a line's pieces; `None` when they break a bound or are of the future.
pub(super) fn join<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Option<(String, Content)> {
    let mut bytes = Vec::new();
    for payload in payloads {
        bytes.extend(Chat::parse(payload).ok()?.bytes);
    }
    Content::from_wire(wire::Content::parse(&bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CHAT_PIECES_MAX, CHAT_RECIPIENTS_MAX, CHAT_SEALED_BYTES_MAX, CHAT_TEXT_BYTES_MAX};

    const LINE: LineId = LineId { member: ParticipantId([3; 16]), run: 4, number: 5 };

    fn round_trip(content: &Content) -> (usize, (String, Content)) {
        let pieces = cut(content, "Ada").unwrap();
        let payload = |bytes| Chat { bytes, number: 1, pieces: 1, ..Chat::default() }.encode_to_vec();
        let payloads: Vec<_> = pieces.into_iter().map(payload).collect();
        (payloads.len(), join(payloads.iter().map(Vec::as_slice)).unwrap())
    }

    #[test]
    fn every_kind_of_line_comes_back_as_it_was_said() {
        for (content, pieces) in [
            (Content::text("hi"), 1),
            (Content::text("é".repeat(CHAT_TEXT_BYTES_MAX / 2)), 5),
            (Content { body: Body::Action("waves".into()), to: None }, 1),
            (Content { body: Body::Text("yes".into()), to: Some(LINE) }, 1),
            (Content { body: Body::Reaction("👍🏽".into()), to: Some(LINE) }, 1),
            (Content { body: Body::Sealed { recipients: vec![LINE.member], sealed: vec![9; 50] }, to: None }, 1),
        ] {
            assert_eq!(round_trip(&content), (pieces, ("Ada".into(), content)));
        }
        let largest =
            Body::Sealed { recipients: vec![LINE.member; CHAT_RECIPIENTS_MAX], sealed: vec![9; CHAT_SEALED_BYTES_MAX] };
        assert_eq!(round_trip(&Content { body: largest, to: Some(LINE) }).0, CHAT_PIECES_MAX);
    }

    #[test]
    fn what_breaks_a_bound_is_not_cut() {
        assert!(cut(&Content::text(""), "Ada").is_err());
        assert!(cut(&Content::text("x".repeat(CHAT_TEXT_BYTES_MAX + 1)), "Ada").is_err());
        assert!(cut(&Content { body: Body::Reaction("x".into()), to: None }, "Ada").is_err());
        assert!(cut(&Content { body: Body::Sealed { recipients: vec![], sealed: vec![1] }, to: None }, "Ada").is_err());
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(fitting("Ada"), "Ada");
        assert_eq!(fitting(&"é".repeat(40)).len(), NAME_BYTES_MAX);
        assert_eq!(fitting(&format!("x{}", "é".repeat(40))).len(), NAME_BYTES_MAX - 1);
    }
}

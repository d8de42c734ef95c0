//! Discovery: members answer for their conference, newcomers list what there is.
//!
//! ```text
//! Browser    QUERY at 0, 150 and 450 ms, a new nonce each; an entry lives 16 s after its last ANNOUNCE
//! Announcer  the members order themselves by SHA-256(nonce || id): the first answers at once, the second after 60 to
//!            80 ms unless somebody did, the third after 120 to 140 ms, any other after 200 to 400 ms; unasked, whoever stands first by
//!            SHA-256("announce" || id) announces 5 s after the last ANNOUNCE, each next one 0.3 s later, so one that
//!            is gone is replaced
//! ```

mod announcer;
mod browser;

pub(crate) use announcer::rank as announcer_rank;

pub use announcer::Announcer;
pub use browser::{Browser, Found};

use std::net::IpAddr;

use crate::protocol::keys::sha256;
use crate::wire::address::{Family, Plan, Scope};
use crate::wire::message::ConferenceId;

/// The block and window of a new conference, away from those heard; see [`Plan::choose`].
pub fn choose_plan(scope: Scope, family: Family, id: &ConferenceId, heard: &[(IpAddr, u16)]) -> Plan {
    Plan::choose(scope, family, heard, |attempt| sha256(&[&id.0, &attempt.to_be_bytes()]))
}

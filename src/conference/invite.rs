//! The invite: what one person hands another so that they meet in a conference, as one line of text.
//!
//! ```text
//! roundtable:Standup?id=0f3c..9a&at=239.255.4.0:20480&key=crane-oxygen-vivid-lunar-ticket
//!            title    id, 32 digits  groups and port,     passphrase, in protected conferences
//!                                    when pinned          started without one of their own
//! ```
//! Title and passphrase are percent-encoded UTF-8 (RFC 3986). Fields that are not known are passed over, so that later
//! versions may add some. Whoever sees an invite with a key can take part: it is read from stdin and never from the
//! command line, which every user of the machine can read.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::limits::{INVITE_BYTES_MAX, TITLE_BYTES_MAX};
use crate::protocol::passphrase::{self, Passphrase};
use crate::wire::message::ConferenceId;

/// How every invite begins.
pub const SCHEME: &str = "roundtable:";

/// The unreserved characters of RFC 3986 stay as they are.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What an invite says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Title of the conference, for people to read.
    pub title: String,
    /// The conference.
    pub id: ConferenceId,
    /// Groups and port it was pinned to.
    pub at: Option<SocketAddr>,
    /// What opens it.
    pub key: Option<Passphrase>,
}

/// Why a text is no invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something else.
    #[error("that is no invite: one begins with \"{SCHEME}\"")]
    Foreign,
    /// Too long to be one.
    #[error("the invite is longer than {INVITE_BYTES_MAX} bytes")]
    TooLong,
    /// A field that every invite has is not there.
    #[error("the invite is not whole: its {0} is missing")]
    Missing(&'static str),
    /// A field does not hold what it must.
    #[error("the invite is damaged: its {0} cannot be read")]
    Damaged(&'static str),
    /// A field stands there twice.
    #[error("the invite is damaged: its {0} stands there twice")]
    Twice(&'static str),
    /// The passphrase is none.
    #[error("the invite's key: {0}")]
    Key(#[from] passphrase::Error),
}

impl Invite {
    /// The line, without its end.
    pub fn to_line(&self) -> Zeroizing<String> {
        // As large as it may become: a string that grows leaves copies of what it held.
        let mut line = Zeroizing::new(String::with_capacity(INVITE_BYTES_MAX));
        let escaped = |text| utf8_percent_encode(text, ESCAPED);
        let mut push = |part: fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = fmt::Write::write_fmt(&mut *line, part);
        };
        push(format_args!("{SCHEME}{}?id={}", escaped(&self.title), self.id));
        if let Some(at) = self.at {
            push(format_args!("&at={at}"));
        }
        if let Some(key) = &self.key {
            push(format_args!("&key={}", escaped(key)));
        }
        line
    }
}

impl FromStr for Invite {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        if line.len() > INVITE_BYTES_MAX {
            return Err(Error::TooLong);
        }
        let rest = line.trim().strip_prefix(SCHEME).ok_or(Error::Foreign)?;
        let (title, fields) = rest.split_once('?').ok_or(Error::Missing("id"))?;
        let (mut id, mut at, mut key) = (None, None, None);
        for (name, value) in fields.split('&').filter_map(|field| field.split_once('=')) {
            match name {
                "id" => once("id", &mut id, identity(value).ok_or(Error::Damaged("id"))?)?,
                "at" => once("at", &mut at, value.parse().map_err(|_| Error::Damaged("at"))?)?,
                "key" => once("key", &mut key, plain("key", value)?.parse()?)?,
                _ => {}
            }
        }
        let title = plain("title", title)?.trim().to_owned();
        if title.is_empty() || title.len() > TITLE_BYTES_MAX || title.chars().any(char::is_control) {
            return Err(Error::Damaged("title"));
        }
        Ok(Self { title, id: id.ok_or(Error::Missing("id"))?, at, key })
    }
}

fn once<T>(name: &'static str, field: &mut Option<T>, value: T) -> Result<(), Error> {
    field.replace(value).map_or(Ok(()), |_| Err(Error::Twice(name)))
}

fn plain(name: &'static str, value: &str) -> Result<Zeroizing<String>, Error> {
    // A sign of per cent that stands for itself is not written by anything that writes invites.
    let mut digits = value.split('%').skip(1).map(|after| after.as_bytes().get(..2));
    if !digits.all(|two| two.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))) {
        return Err(Error::Damaged(name));
    }
    let decoded = percent_decode_str(value).decode_utf8().map_err(|_| Error::Damaged(name))?;
    Ok(Zeroizing::new(decoded.into_owned()))
}

fn identity(digits: &str) -> Option<ConferenceId> {
    let mut id = [0; 16];
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in id.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(ConferenceId(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "000102030405060708090a0b0c0d0e0f";

    fn standup() -> Invite {
        Invite {
            title: "Standup".into(),
            id: ConferenceId(std::array::from_fn(|i| i as u8)),
            at: None,
            key: Some(Passphrase::generate(0)),
        }
    }

    #[test]
    fn the_line_is_that_of_the_module_description() {
        let key = "abandon-abandon-abandon-abandon-abandon";
        assert_eq!(*standup().to_line(), format!("roundtable:Standup?id={ID}&key={key}"));
        let at = Some("239.255.4.0:20480".parse().unwrap());
        let pinned = Invite { title: "Physik & Übung?".into(), at, key: None, ..standup() };
        let line = "roundtable:Physik%20%26%20%C3%9Cbung%3F?id=000102030405060708090a0b0c0d0e0f&at=239.255.4.0:20480";
        assert_eq!(*pinned.to_line(), line);
    }

    #[test]
    fn hostile_lines_are_explained() {
        let cases = [
            ("", Error::Foreign),
            ("Standup", Error::Foreign),
            ("https://example.org/?id=1", Error::Foreign),
            ("roundtable:Standup", Error::Missing("id")),
            ("roundtable:Standup?", Error::Missing("id")),
            ("roundtable:Standup?key=a", Error::Missing("id")),
            ("roundtable:S?id=12", Error::Damaged("id")),
            ("roundtable:S?id=+00102030405060708090a0b0c0d0e0f", Error::Damaged("id")),
            ("roundtable:S?id=é00102030405060708090a0b0c0d0e", Error::Damaged("id")),
            ("roundtable:?id=000102030405060708090a0b0c0d0e0f", Error::Damaged("title")),
            ("roundtable:a%00b?id=000102030405060708090a0b0c0d0e0f", Error::Damaged("title")),
            ("roundtable:a%1b[2J?id=000102030405060708090a0b0c0d0e0f", Error::Damaged("title")),
            ("roundtable:%ff?id=000102030405060708090a0b0c0d0e0f", Error::Damaged("title")),
            ("roundtable:50%?id=000102030405060708090a0b0c0d0e0f", Error::Damaged("title")),
            ("roundtable:S?id=000102030405060708090a0b0c0d0e0f&key=%zz", Error::Damaged("key")),
            ("roundtable:S?id=000102030405060708090a0b0c0d0e0f&key=", Error::Key(passphrase::Error::Empty)),
            ("roundtable:S?id=000102030405060708090a0b0c0d0e0f&at=example.org:1", Error::Damaged("at")),
            ("roundtable:S?id=000102030405060708090a0b0c0d0e0f&at=1.2.3.4:70000", Error::Damaged("at")),
            (
                "roundtable:S?id=000102030405060708090a0b0c0d0e0f&id=000102030405060708090a0b0c0d0e0f",
                Error::Twice("id"),
            ),
        ];
        for (line, error) in cases {
            assert_eq!(line.parse::<Invite>(), Err(error), "{line}");
        }
        let long = format!("roundtable:S?id={ID}&key={}", "a".repeat(INVITE_BYTES_MAX));
        assert_eq!(long.parse::<Invite>(), Err(Error::TooLong));
        let wide = format!("roundtable:{}?id={ID}", "a".repeat(TITLE_BYTES_MAX + 1));
        assert_eq!(wide.parse::<Invite>(), Err(Error::Damaged("title")));
    }

    #[test]
    fn unknown_fields_and_white_space_around_are_passed_over() {
        let line = format!(" {}&colour=red&x\r\n", *standup().to_line());
        assert_eq!(line.parse::<Invite>(), Ok(standup()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(title in "[^\\p{C}\\s]{1,24}", key in "\\S{1,80}", base: [u8; 4], port: u16) {
            let at = Some(SocketAddr::from((base, port)));
            let invite = Invite { title, key: key.parse().ok(), at, ..standup() };
            prop_assert_eq!(invite.to_line().parse::<Invite>(), Ok(invite));
        }

        #[test]
        fn no_line_is_a_panic(tail in ".{0,200}") {
            let _ = format!("roundtable:{tail}").parse::<Invite>();
        }
    }
}

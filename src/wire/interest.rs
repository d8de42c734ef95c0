//! What receivers tell the senders of pictures: which layers they want, and how the layers arrive.
//!
//! ```proto
//! message Interest { bytes layers = 1; }   // bit 4 slot + layer of a little-endian bit field, at most 62 bytes
//! message Report   { bytes rows   = 1; }   // 4 bytes for each layer received, at most 128 of them:
//!                                          //   uint16 4 slot + layer, uint8 lost on the way, uint8 lost after repair
//! ```
//! Loss is in steps of a quarter of a percent of the packets, at most 255 of them; numbers are in network order.
//! Trailing bytes of zero may be left out of the bit field.

use crate::limits::{INTEREST_BYTES_MAX, REPORT_ROWS_MAX, SLOTS_MAX};
use crate::wire::Layer;

/// Number of an Interest among the kinds of message.
pub const KIND_INTEREST: u32 = 9;
/// Number of a Report among the kinds of message.
pub const KIND_REPORT: u32 = 27;

/// Layers of all slots together.
pub const PLACES: usize = SLOTS_MAX * Layer::ALL.len();
const WORDS: usize = PLACES.div_ceil(64);
const ROW_BYTES: usize = 4;

/// A layer of whoever holds a slot: `4 slot + layer`, less than [`PLACES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u16);

impl Place {
    /// `None`: there is no such slot.
    pub fn new(slot: u8, layer: Layer) -> Option<Self> {
        (usize::from(slot) < SLOTS_MAX).then(|| Self(4 * u16::from(slot) + layer as u16))
    }

    /// From its number.
    pub fn from_index(index: usize) -> Option<Self> {
        (index < PLACES).then_some(Self(index as u16))
    }

    /// Its number.
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// The slot.
    pub fn slot(self) -> u8 {
        (self.0 / 4) as u8
    }

    /// The layer.
    pub fn layer(self) -> Layer {
        Layer::ALL[usize::from(self.0 % 4)]
    }
}

/// Something of these messages that nobody sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More bytes than all layers take.
    #[error("{0} bytes are more than there can be")]
    Length(usize),
    /// A slot that does not exist.
    #[error("layer {0} of no slot")]
    Place(usize),
    /// Part of a row.
    #[error("{0} bytes are no whole rows")]
    Rows(usize),
}

/// A set of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places([u64; WORDS]);

impl Places {
    /// Puts one in.
    pub fn insert(&mut self, place: Place) {
        self.0[place.index() / 64] |= 1 << (place.index() % 64);
    }

    /// Whether it is in.
    pub fn contains(&self, place: Place) -> bool {
        self.0[place.index() / 64] >> (place.index() % 64) & 1 == 1
    }

    /// Whether none is in.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// Those in it, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = Place> + '_ {
        (0..PLACES as u16).map(Place).filter(|&place| self.contains(place))
    }

    /// As in an Interest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
        bytes
    }

    /// From an Interest.
    ///
    /// # Errors
    /// Too long, or with layers of slots that do not exist.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > INTEREST_BYTES_MAX {
            return Err(Error::Length(bytes.len()));
        }
        let mut places = Self::default();
        for (at, &byte) in bytes.iter().enumerate() {
            places.0[at / 8] |= u64::from(byte) << (at % 8 * 8);
        }
        Ok(places)
    }
}

/// Layers somebody wants.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Interest {
    /// See [`Places::to_bytes`].
    #[prost(bytes = "vec", tag = "1")]
    pub layers: Vec<u8>,
}

/// How layers arrive at somebody.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Report {
    /// See [`Row`].
    #[prost(bytes = "vec", tag = "1")]
    pub rows: Vec<u8>,
}

/// How one layer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub place: Place,
    /// Packets lost on the way, in quarters of a percent.
    pub lost: u8,
    /// Packets lost that were not repaired in time, in quarters of a percent.
    pub left: u8,
}

/// Loss as a row has it.
pub fn quarters(lost: u64, of: u64) -> u8 {
    (400 * lost).checked_div(of).map_or(0, |quarters| quarters.min(255) as u8)
}

impl Row {
    /// Appends it to the rows of a Report.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.place.0.to_be_bytes());
        out.extend_from_slice(&[self.lost, self.left]);
    }

    /// The rows of a Report.
    ///
    /// # Errors
    /// Too many or broken ones, or of slots that do not exist; nothing is to be believed of them then.
    pub fn read(bytes: &[u8]) -> Result<impl Iterator<Item = Row> + '_, Error> {
        if bytes.len() > ROW_BYTES * REPORT_ROWS_MAX {
            return Err(Error::Length(bytes.len()));
        }
        let (rows, rest) = bytes.as_chunks::<ROW_BYTES>();
        if !rest.is_empty() {
            return Err(Error::Rows(bytes.len()));
        }
        let index = |row: &[u8; ROW_BYTES]| usize::from(u16::from_be_bytes([row[0], row[1]]));
        if let Some(bad) = rows.iter().map(index).find(|&index| index >= PLACES) {
            return Err(Error::Place(bad));
        }
        Ok(rows.iter().map(move |row| Row { place: Place(index(row) as u16), lost: row[2], left: row[3] }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_124_slots() {
        assert_eq!(Place::new(0, Layer::Thumb).map(Place::index), Some(0));
        let last = Place::new(123, Layer::Screen).unwrap();
        assert_eq!((last.index(), last.slot(), last.layer()), (PLACES - 1, 123, Layer::Screen));
        assert_eq!((Place::new(124, Layer::Thumb), Place::from_index(PLACES)), (None, None));
    }

    #[test]
    fn sets_round_trip_and_are_as_short_as_they_can_be() {
        let mut places = Places::default();
        assert!(places.is_empty() && places.to_bytes().is_empty());
        let all = [0, 7, 8, 63, 64, 200, PLACES - 1].map(|n| Place::from_index(n).unwrap());
        all.iter().for_each(|&place| places.insert(place));
        assert_eq!(places.iter().collect::<Vec<_>>(), all);
        assert_eq!(places.to_bytes().len(), INTEREST_BYTES_MAX);
        assert_eq!(Places::from_bytes(&places.to_bytes()), Ok(places));
        let mut one = Places::default();
        one.insert(all[1]);
        assert_eq!(one.to_bytes(), [0x80]);
        assert_eq!(Places::from_bytes(&[0x80, 0, 0]), Ok(one));
        assert_eq!(Places::from_bytes(&[0; INTEREST_BYTES_MAX + 1]), Err(Error::Length(INTEREST_BYTES_MAX + 1)));
        assert!(Places::from_bytes(&[0xff; INTEREST_BYTES_MAX]).unwrap().iter().count() == PLACES);
    }

    #[test]
    fn rows_round_trip_and_are_checked() {
        let row = |n, lost, left| Row { place: Place::from_index(n).unwrap(), lost, left };
        let rows: Vec<Row> = (0..REPORT_ROWS_MAX).map(|n| row(n, 9, 255)).collect();
        let mut bytes = Vec::new();
        rows.iter().for_each(|row| row.write(&mut bytes));
        assert_eq!(Row::read(&bytes).unwrap().collect::<Vec<_>>(), rows);
        row(0, 0, 0).write(&mut bytes);
        assert_eq!(Row::read(&bytes).map(|_| ()), Err(Error::Length(bytes.len())));
        assert_eq!(Row::read(&bytes[..5]).map(|_| ()), Err(Error::Rows(5)));
        assert_eq!(Row::read(&[1, 0xf0, 0, 0]).map(|_| ()), Err(Error::Place(PLACES)));
        assert_eq!(Row::read(&[1, 0xef, 0, 0]).unwrap().count(), 1);
    }

    #[test]
    fn loss_is_told_in_quarters_of_a_percent() {
        for (lost, of, expected) in [(0, 0, 0), (5, 0, 0), (1, 400, 1), (1, 20, 20), (9, 10, 255)] {
            assert_eq!(quarters(lost, of), expected, "{lost} of {of}");
        }
    }
}

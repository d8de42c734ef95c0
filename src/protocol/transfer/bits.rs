//! Which blocks of an object there are: one bit each.

/// A set of block numbers below a fixed count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
    len: u32,
    ones: u32,
}

impl Bits {
    /// None of `len` blocks.
    pub fn none(len: u32) -> Self {
        Self { words: vec![0; (len as usize).div_ceil(64)], len, ones: 0 }
    }

    /// All of `len` blocks.
    pub fn all(len: u32) -> Self {
        let mut bits = Self::none(len);
        for n in 0..len {
            bits.insert(n);
        }
        bits
    }

    /// From a message: lowest bit of the first byte first; bits beyond `len` count nothing.
    pub fn from_bytes(len: u32, bytes: &[u8]) -> Self {
        let mut bits = Self::none(len);
        for n in 0..len.min(8 * bytes.len() as u32) {
            if bytes[n as usize / 8] >> (n % 8) & 1 == 1 {
                bits.insert(n);
            }
        }
        bits
    }

    /// As [`from_bytes`](Self::from_bytes) reads it; empty when nothing is in it.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.ones == 0 {
            return Vec::new();
        }
        let all = self.words.iter().flat_map(|word| word.to_le_bytes());
        all.take((self.len as usize).div_ceil(8)).collect()
    }

    /// Number of blocks there could be.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Whether all are there.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether block `n` is there.
    pub fn has(&self, n: u32) -> bool {
        n < self.len && self.words[n as usize / 64] >> (n % 64) & 1 == 1
    }

    /// Adds block `n`; whether it is new.
    pub fn insert(&mut self, n: u32) -> bool {
        let new = n < self.len && !self.has(n);
        if new {
            self.words[n as usize / 64] |= 1 << (n % 64);
            self.ones += 1;
        }
        new
    }

    /// Takes block `n` out; whether it was there.
    pub fn remove(&mut self, n: u32) -> bool {
        let was = self.has(n);
        if was {
            self.words[n as usize / 64] &= !(1 << (n % 64));
            self.ones -= 1;
        }
        was
    }

    /// The first block at or after `from` that is there.
    pub fn next(&self, from: u32) -> Option<u32> {
        let mut n = from;
        while n < self.len {
            let word = self.words[n as usize / 64] >> (n % 64);
            if word != 0 {
                return Some(n + word.trailing_zeros());
            }
            n = (n / 64 + 1) * 64;
        }
        None
    }

    /// Those that are not there, in order.
    pub fn missing(&self) -> impl Iterator<Item = u32> {
        (0..self.len).filter(|&n| !self.has(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inserted_is_there_until_removed() {
        for len in [0, 1, 63, 64, 65, 200] {
            let mut bits = Bits::none(len);
            for n in (0..len).step_by(3) {
                assert!(bits.insert(n) && !bits.insert(n));
            }
            assert!(!bits.insert(len), "there is no such block");
            assert_eq!(bits.count(), len.div_ceil(3));
            assert_eq!(Bits::from_bytes(len, &bits.to_bytes()), bits);
            assert_eq!(bits.missing().count() as u32, len - bits.count());
            let mut found = Vec::new();
            let mut from = 0;
            while let Some(n) = bits.next(from) {
                found.push(n);
                from = n + 1;
            }
            assert_eq!(found, (0..len).step_by(3).collect::<Vec<_>>());
            assert_eq!(bits.remove(0), len > 0);
            assert!(Bits::all(len).is_full());
        }
        assert_eq!(Bits::from_bytes(3, &[0xff, 0xff]).count(), 3, "bits beyond the end count nothing");
    }
}

//! The parity of a block, and blocks from whatever arrived of them (`protocol::parity`).
//!
//! A block of k source symbols has 1,024 parity symbols, whatever k is; any k of all of them make the block. The code is not
//! rateless: each parity symbol is good once.

use crate::limits::{OBJECT_PARITY_SYMBOLS, OBJECT_SYMBOL_BYTES};
use crate::protocol::parity::{Decoder, Encoder};

/// All parity symbols of a block, one after the other. Nothing for an empty block.
pub fn parity(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(OBJECT_PARITY_SYMBOLS * OBJECT_SYMBOL_BYTES);
    let sizes = (block.len().div_ceil(OBJECT_SYMBOL_BYTES), OBJECT_PARITY_SYMBOLS);
    // Sizes are those of the table of limits, which the code takes; an empty block has nothing to encode.
    Encoder::default().encode(sizes, OBJECT_SYMBOL_BYTES, block.chunks(OBJECT_SYMBOL_BYTES).map(whole), &mut out);
    out
}

/// A symbol, filled with zeros when it is the end of its object.
pub fn whole(bytes: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if bytes.len() == OBJECT_SYMBOL_BYTES {
        return bytes.into();
    }
    let mut symbol = bytes.to_vec();
    symbol.resize(OBJECT_SYMBOL_BYTES, 0);
    symbol.into()
}

/// A block that comes in.
#[derive(Default)]
pub struct Assembly {
    /// Source symbols in their places, and then parity in order of arrival.
    bytes: Vec<u8>,
    /// Which source symbols have come.
    sources: Vec<bool>,
    /// Which parity symbols have come, in order of arrival.
    parity: Vec<u16>,
    have: usize,
}

impl Assembly {
    /// Begins a block of `symbols` source symbols; memory is kept.
    pub fn begin(&mut self, symbols: usize) {
        self.bytes.clear();
        self.bytes.resize(symbols * OBJECT_SYMBOL_BYTES, 0);
        self.sources.clear();
        self.sources.resize(symbols, false);
        self.parity.clear();
        self.have = 0;
    }

    /// Takes a symbol in; whether it brings anything new. Only whole symbols, please.
    pub fn add(&mut self, index: u16, symbol: &[u8]) -> bool {
        let n = usize::from(index);
        if symbol.len() != OBJECT_SYMBOL_BYTES || self.is_enough() {
            return false;
        }
        let symbols = self.sources.len();
        if n < symbols {
            if std::mem::replace(&mut self.sources[n], true) {
                return false;
            }
            self.bytes[n * OBJECT_SYMBOL_BYTES..][..OBJECT_SYMBOL_BYTES].copy_from_slice(symbol);
        } else {
            let parity = n - symbols;
            if parity >= OBJECT_PARITY_SYMBOLS || self.parity.contains(&(parity as u16)) {
                return false;
            }
            self.parity.push(parity as u16);
            self.bytes.extend_from_slice(symbol);
        }
        self.have += 1;
        true
    }

    /// Bytes from the block's beginning that are there already.
    pub fn beginning(&self) -> &[u8] {
        let symbols = self.sources.iter().take_while(|has| **has).count();
        &self.bytes[..symbols * OBJECT_SYMBOL_BYTES]
    }

    /// Symbols that have come.
    pub fn have(&self) -> usize {
        self.have
    }

    /// Symbols that are missing.
    pub fn deficit(&self) -> usize {
        self.sources.len().saturating_sub(self.have)
    }

    /// Whether the block can be made.
    pub fn is_enough(&self) -> bool {
        self.deficit() == 0
    }

    /// Makes the block, of `length` bytes. `None` while symbols are missing.
    pub fn block(&mut self, length: usize) -> Option<&[u8]> {
        if !self.is_enough() {
            return None;
        }
        if !self.parity.is_empty() {
            self.restore().then_some(())?;
        }
        self.bytes.get(..length)
    }

    fn restore(&mut self) -> bool {
        let symbols = self.sources.len();
        let mut decoder = Decoder::default();
        let (sources, parity) = self.bytes.split_at_mut(symbols * OBJECT_SYMBOL_BYTES);
        let had = sources.chunks_exact(OBJECT_SYMBOL_BYTES).enumerate().filter(|(n, _)| self.sources[*n]);
        let parity = self.parity.iter().map(|&n| n.into()).zip(parity.chunks_exact(OBJECT_SYMBOL_BYTES));
        if !decoder.take((symbols, OBJECT_PARITY_SYMBOLS), OBJECT_SYMBOL_BYTES, had, parity)
            || !decoder
                .restore(|n, symbol| sources[n * OBJECT_SYMBOL_BYTES..][..OBJECT_SYMBOL_BYTES].copy_from_slice(symbol))
        {
            return false;
        }
        self.parity.clear();
        self.sources.fill(true);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::OBJECT_BLOCK_SYMBOLS;

    fn block(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * n / 7 + n) as u8).collect()
    }

    #[test]
    fn any_symbols_make_the_block_when_they_are_enough() {
        for length in [1, 1_280, 1_281, 5_000, OBJECT_BLOCK_SYMBOLS * OBJECT_SYMBOL_BYTES - 3] {
            let block = block(length);
            let symbols = length.div_ceil(OBJECT_SYMBOL_BYTES);
            let parity = parity(&block);
            assert_eq!(parity.len(), OBJECT_PARITY_SYMBOLS * OBJECT_SYMBOL_BYTES);
            // Every third source symbol lost, and in another case all.
            for lost in [3, 1] {
                let mut assembly = Assembly::default();
                assembly.begin(symbols);
                for (n, symbol) in block.chunks(OBJECT_SYMBOL_BYTES).enumerate() {
                    if n % lost != 0 {
                        assert!(assembly.add(n as u16, &whole(symbol)));
                        assert!(!assembly.add(n as u16, &whole(symbol)), "twice");
                    }
                }
                let mut next = OBJECT_PARITY_SYMBOLS;
                while !assembly.is_enough() {
                    assert_eq!(assembly.block(length), None);
                    next -= 1;
                    let symbol = &parity[next * OBJECT_SYMBOL_BYTES..][..OBJECT_SYMBOL_BYTES];
                    assert!(assembly.add((symbols + next) as u16, symbol));
                }
                assert!(!assembly.add(symbols as u16, &[0; OBJECT_SYMBOL_BYTES]), "enough is enough");
                assert_eq!(assembly.block(length), Some(&block[..]), "{length} bytes, every {lost}th lost");
            }
        }
    }

    #[test]
    fn symbols_that_cannot_be_are_refused() {
        let mut assembly = Assembly::default();
        assembly.begin(2);
        assert!(!assembly.add(0, &[0; OBJECT_SYMBOL_BYTES - 1]));
        assert!(!assembly.add((2 + OBJECT_PARITY_SYMBOLS) as u16, &[0; OBJECT_SYMBOL_BYTES]));
        assert_eq!((assembly.have(), assembly.deficit()), (0, 2));
        assert!(parity(&[]).is_empty());
    }
}

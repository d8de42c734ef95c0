//! Repeatable disorder: xorshift64* from a printed seed.

/// The generator's state; never zero.
pub struct Random(u64);

impl Random {
    /// From `TEST_SEED`, or else a fixed seed; printed, so that a run can be repeated.
    pub fn seeded() -> Random {
        let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(7);
        println!("TEST_SEED={seed}");
        Random(u64::max(seed, 1))
    }

    /// From this seed.
    pub fn of(seed: u64) -> Random {
        Random(u64::max(seed, 1))
    }

    /// A number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound` (which is above zero).
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    /// Fills `out` anew with `length` random bytes.
    pub fn fill(&mut self, out: &mut Vec<u8>, length: usize) {
        out.clear();
        while out.len() < length {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(length);
    }

    /// So many random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }
}

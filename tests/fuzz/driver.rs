//! The pool of inputs, what is done to them, and what becomes of those that break something.

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::hash::{DefaultHasher, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::memory::most_during;

/// How long each target runs unless `FUZZ_SECONDS` says otherwise.
const SECONDS: f64 = 0.5;
/// Inputs kept because of what they led to.
const POOL_MAX: usize = 2_000;
/// Numbers at which lengths and counters turn over.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff];

/// Repeatable disorder (splitmix64).
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 8) as usize % bound.max(1)
    }
}

/// Reads an input as a script for a state machine; zeros after its end.
pub struct Feed<'a>(pub &'a [u8]);

impl<'a> Feed<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn u8(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub fn u64(&mut self) -> u64 {
        self.bytes(8).iter().fold(0, |n, &b| n << 8 | u64::from(b))
    }

    pub fn u16(&mut self) -> u16 {
        u16::from(self.u8()) << 8 | u16::from(self.u8())
    }

    /// The next bytes, as many as there are.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A text of up to 255 bytes.
    pub fn text(&mut self) -> String {
        let length = self.u8();
        String::from_utf8_lossy(self.bytes(length.into())).into_owned()
    }
}

/// Stands for what something turned out to be, numbers left out: which error, which kind of packet.
pub fn outcome(of: &impl Debug) -> u64 {
    struct Letters(DefaultHasher);
    impl std::fmt::Write for Letters {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            text.bytes().filter(|b| !b.is_ascii_digit()).for_each(|b| self.0.write_u8(b));
            Ok(())
        }
    }
    let mut letters = Letters(DefaultHasher::new());
    let _ = write!(letters, "{of:?}");
    letters.0.finish()
}

/// The name of the variant it is.
pub fn variant(of: &impl Debug) -> String {
    let mut text = format!("{of:?}");
    text.truncate(text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len()));
    text
}

/// Runs `target` on the seeds, on what is in `corpus/NAME`, and on what becomes of them, for as long as is set.
///
/// `memory_max`: bytes that may be allocated at once while one input is worked on.
pub fn fuzz(name: &str, memory_max: usize, seeds: Vec<Vec<u8>>, mut target: impl FnMut(&[u8]) -> u64) {
    let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(SECONDS);
    let time = Duration::from_secs_f64(seconds);
    let mut dice = Dice(seed);
    let mut pool = seeds;
    pool.extend(corpus(name));
    let mut seen = BTreeSet::new();
    let mut most = 0;
    let start = Instant::now();
    let mut try_one = |input: &[u8], number: u64| {
        let mut result = 0;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let used = most_during(|| result = target(input));
            assert!(used <= memory_max, "{used} bytes allocated at once, {memory_max} are allowed");
            most = most.max(used);
        }));
        if let Err(panic) = ran {
            let path = keep(name, input);
            println!("{name}: input {number} of seed {seed} breaks it: {}", path.display());
            resume_unwind(panic);
        }
        seen.insert(result)
    };
    let mut tried = 0;
    for input in &pool {
        try_one(input, tried);
        tried += 1;
    }
    // What was there first stays: it is what real senders send.
    let fixed = pool.len();
    let mut input = Vec::new();
    while start.elapsed() < time {
        for _ in 0..16 {
            alter(&pool, &mut dice, &mut input);
            if try_one(&input, tried) {
                match pool.len() {
                    POOL_MAX.. => {
                        let at = fixed + dice.below(POOL_MAX - fixed);
                        pool[at].clone_from(&input);
                    }
                    _ => pool.push(input.clone()),
                }
            }
            tried += 1;
        }
    }
    println!("{name}: {tried} inputs, {} outcomes, {most} bytes at most", seen.len());
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("readable corpus").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("readable corpus")).collect()
}

fn keep(name: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(name);
    let path = folder.join(format!("{:016x}", outcome(&input)));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input));
    written.expect("the input that breaks it can be kept");
    path
}

/// One of the pool, altered in one place to four.
fn alter(pool: &[Vec<u8>], dice: &mut Dice, out: &mut Vec<u8>) {
    out.clear();
    if let Some(from) = pool.get(dice.below(pool.len())) {
        out.extend_from_slice(from);
    }
    for _ in 0..=dice.below(4) {
        let at = place(out.len(), dice);
        match dice.below(10) {
            0 | 1 => out.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << dice.below(8)),
            2 => out.iter_mut().skip(at).take(1).for_each(|b| *b = dice.next() as u8),
            3 => {
                let edge = EDGES[dice.below(EDGES.len())].wrapping_add(dice.below(3) as u64).wrapping_sub(1);
                let width = 1 << dice.below(4);
                let (little, big) = (edge.to_le_bytes(), edge.to_be_bytes());
                let number = if dice.below(2) == 0 { &little[..width] } else { &big[8 - width..] };
                out.iter_mut().skip(at).zip(number).for_each(|(b, n)| *b = *n);
            }
            4 => out.truncate(at),
            5 => {
                let count = dice.below(17);
                out.splice(at..at, (0..count).map(|_| dice.next() as u8)).for_each(drop);
            }
            6 => {
                let end = (at + 1 + dice.below(32)).min(out.len());
                out.drain(at..end);
            }
            7 => {
                let end = (at + 1 + dice.below(64)).min(out.len());
                let copy = out[at..end].to_vec();
                let to = place(out.len(), dice);
                out.splice(to..to, copy).for_each(drop);
            }
            8 => {
                let end = (at + 1 + dice.below(16)).min(out.len());
                out[at..end].fill([0, 0xff][dice.below(2)]);
            }
            // The end of another one.
            _ => {
                let other = &pool[dice.below(pool.len())];
                let from = place(other.len(), dice);
                out.truncate(at);
                out.extend_from_slice(&other[from..]);
            }
        }
    }
}

/// A place in an input; headers are where it matters.
fn place(length: usize, dice: &mut Dice) -> usize {
    let length = if dice.below(2) == 0 { length.min(48) } else { length };
    dice.below(length + 1).min(length)
}

//! What an object is: size, name, and the hash of each block and of the whole.
//!
//! ```text
//! offset size
//!      0    4  "RTO1"
//!      4    8  size of the object in bytes
//!     12   32  BLAKE3 of the whole
//!     44    2  length of the name, and the name (UTF-8)
//!     ..    2  length of the media type, and the media type
//!     ..   32  BLAKE3 of each block, to the end
//! ```
//! Numbers are in network order. The signed offer holds the manifest's BLAKE3, the manifest the blocks': nothing that is stored
//! has come from anybody else. The same file under the same name is the same object, whoever sends it and whenever.

use crate::limits::{
    OBJECT_BLOCK_SYMBOLS, OBJECT_BYTES_MAX, OBJECT_KIND_BYTES_MAX, OBJECT_MANIFEST_BYTES_MAX, OBJECT_NAME_BYTES_MAX,
    OBJECT_SYMBOL_BYTES,
};
use crate::wire::object::{MANIFEST, ObjectId};

/// Bytes of a block, but for the last.
pub const BLOCK_BYTES: usize = OBJECT_BLOCK_SYMBOLS * OBJECT_SYMBOL_BYTES;
const MAGIC: [u8; 4] = *b"RTO1";

/// BLAKE3, piece by piece.
#[derive(Clone, Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Takes in more.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything taken in.
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// BLAKE3 of `bytes`.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// How many blocks and symbols an object of a size has, manifest included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes.
    pub size: u64,
    /// Bytes of the manifest.
    pub manifest_bytes: u32,
}

impl Layout {
    /// Number of blocks; an empty object has none.
    pub fn blocks(&self) -> u32 {
        self.size.div_ceil(BLOCK_BYTES as u64) as u32
    }

    /// Bytes of a block.
    pub fn bytes(&self, block: u32) -> usize {
        if block == MANIFEST {
            return self.manifest_bytes as usize;
        }
        let start = u64::from(block) * BLOCK_BYTES as u64;
        self.size.saturating_sub(start).min(BLOCK_BYTES as u64) as usize
    }

    /// Source symbols of a block.
    pub fn symbols(&self, block: u32) -> usize {
        self.bytes(block).div_ceil(OBJECT_SYMBOL_BYTES)
    }

    /// Source symbols of everything.
    pub fn all_symbols(&self) -> u64 {
        self.size.div_ceil(OBJECT_SYMBOL_BYTES as u64) + self.symbols(MANIFEST) as u64
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Bytes of the object.
    pub size: u64,
    /// BLAKE3 of the whole.
    pub root: [u8; 32],
    /// File name, as its sender calls it.
    pub name: String,
    /// Media type.
    pub kind: String,
    /// BLAKE3 of each block.
    pub hashes: Vec<[u8; 32]>,
}

/// Why bytes are no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another beginning.
    #[error("not a manifest")]
    Magic,
    /// Ends too soon, or too late.
    #[error("a manifest of another length than it says")]
    Length,
    /// A field outside its bounds.
    #[error("{0} is out of bounds")]
    Bounds(&'static str),
}

impl Manifest {
    /// As it travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.name.len() + self.kind.len() + 32 * self.hashes.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&self.root);
        for text in [&self.name, &self.kind] {
            out.extend_from_slice(&(text.len() as u16).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        self.hashes.iter().for_each(|hash| out.extend_from_slice(hash));
        out
    }

    /// Reads it, and compares it with the bounds.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > OBJECT_MANIFEST_BYTES_MAX {
            return Err(Error::Bounds("manifest"));
        }
        let rest = bytes.strip_prefix(&MAGIC).ok_or(Error::Magic)?;
        let (size, rest) = rest.split_first_chunk::<8>().ok_or(Error::Length)?;
        let size = u64::from_be_bytes(*size);
        if size > OBJECT_BYTES_MAX {
            return Err(Error::Bounds("size"));
        }
        let (root, rest) = rest.split_first_chunk::<32>().ok_or(Error::Length)?;
        let (name, rest) = text(rest, OBJECT_NAME_BYTES_MAX, "name")?;
        let (kind, rest) = text(rest, OBJECT_KIND_BYTES_MAX, "kind")?;
        let (hashes, left) = rest.as_chunks::<32>();
        let blocks = Layout { size, manifest_bytes: 0 }.blocks() as usize;
        if !left.is_empty() || hashes.len() != blocks {
            return Err(Error::Length);
        }
        Ok(Self { size, root: *root, name, kind, hashes: hashes.to_vec() })
    }
}

fn text<'a>(bytes: &'a [u8], most: usize, what: &'static str) -> Result<(String, &'a [u8]), Error> {
    let (length, rest) = bytes.split_first_chunk::<2>().ok_or(Error::Length)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length > most {
        return Err(Error::Bounds(what));
    }
    let (text, rest) = rest.split_at_checked(length).ok_or(Error::Length)?;
    let text = std::str::from_utf8(text).map_err(|_| Error::Bounds(what))?;
    Ok((text.to_owned(), rest))
}

/// The id of the object whose manifest has this hash.
pub fn object_id(manifest: &[u8; 32]) -> ObjectId {
    let mut id = [0; 16];
    id.copy_from_slice(&manifest[..16]);
    ObjectId(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{OBJECT_BLOCKS_MAX, OBJECT_PARITY_SYMBOLS};

    fn manifest(size: u64) -> Manifest {
        let blocks = Layout { size, manifest_bytes: 0 }.blocks();
        Manifest {
            size,
            root: [9; 32],
            name: "ä.txt".into(),
            kind: "text/plain".into(),
            hashes: (0..blocks).map(|n| [n as u8; 32]).collect(),
        }
    }

    #[test]
    fn layouts_at_the_edges() {
        let block = BLOCK_BYTES as u64;
        for (size, blocks, last_bytes, last_symbols) in [
            (0, 0, 0, 0),
            (1, 1, 1, 1),
            (1_280, 1, 1_280, 1),
            (1_281, 1, 1_281, 2),
            (block, 1, BLOCK_BYTES, 1_024),
            (block + 1, 2, 1, 1),
            (OBJECT_BYTES_MAX, OBJECT_BLOCKS_MAX as u32, 1_048_576, 820),
        ] {
            let layout = Layout { size, manifest_bytes: 1_281 };
            let last = blocks.max(1) - 1;
            assert_eq!((layout.blocks(), layout.bytes(last), layout.symbols(last)), (blocks, last_bytes, last_symbols));
            assert_eq!(layout.symbols(MANIFEST), 2);
        }
        assert_eq!(OBJECT_PARITY_SYMBOLS, OBJECT_BLOCK_SYMBOLS);
    }

    #[test]
    fn what_is_written_is_read() {
        for size in [0, 1, 5_000_000, OBJECT_BYTES_MAX] {
            let bytes = manifest(size).to_bytes();
            assert!(bytes.len() <= OBJECT_MANIFEST_BYTES_MAX);
            assert_eq!(Manifest::parse(&bytes), Ok(manifest(size)));
        }
    }

    #[test]
    fn hostile_manifests_are_refused() {
        let good = manifest(5_000_000).to_bytes();
        for length in 0..good.len() {
            assert!(Manifest::parse(&good[..length]).is_err(), "{length}");
        }
        assert_eq!(Manifest::parse(&[good.as_slice(), &[0; 32]].concat()), Err(Error::Length));
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            Manifest::parse(&bad)
        };
        assert_eq!(with(0, 0), Err(Error::Magic));
        assert_eq!(with(4, 1), Err(Error::Bounds("size")));
        assert_eq!(with(44, 1), Err(Error::Bounds("name")));
        assert_eq!(with(46, 0xff), Err(Error::Bounds("name")), "not UTF-8");
        assert_eq!(Manifest::parse(&vec![0; OBJECT_MANIFEST_BYTES_MAX + 1]), Err(Error::Bounds("manifest")));
    }

    #[test]
    fn the_hash_is_blake3() {
        // From the test vectors of BLAKE3's authors: no input.
        assert_eq!(hash(&[])[..4], [0xaf, 0x13, 0x49, 0xb9]);
        let mut hasher = Hasher::default();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), hash(b"abc"));
    }
}

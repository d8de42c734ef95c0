//! Before a file is offered: it is read once, and its hashes make the manifest. On a thread of its own: a large file takes
//! seconds.

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Sender;
use mio::Waker;

use crate::device::files::{Error, Source};
use crate::limits::{OBJECT_NAME_BYTES_MAX, OBJECT_PICTURED_BYTES_MAX, OBJECT_THUMBNAIL_BYTES_MAX};
use crate::media::thumbnail;
use crate::protocol::transfer::manifest::{BLOCK_BYTES, Hasher, Layout, Manifest, hash};
use crate::protocol::transfer::name;
use crate::wire::message::ParticipantId;
use crate::wire::object::Voice;

/// A file that can be offered.
pub struct Prepared {
    /// What it is read from.
    pub source: Source,
    /// What it is.
    pub manifest: Manifest,
    /// What it shows, small, if it is a picture.
    pub thumbnail: Vec<u8>,
}

/// Something that was asked for, and what came of it.
pub struct Outcome {
    /// Of the command.
    pub ticket: u64,
    /// For whom.
    pub audience: Vec<ParticipantId>,
    /// It is a voice message.
    pub voice: Option<Voice>,
    /// The file, or why there is none.
    pub prepared: Result<Prepared, String>,
}

/// Reads the file and its hashes.
///
/// # Errors
/// What cannot be read.
pub fn prepare(path: &Path) -> Result<Prepared, Error> {
    let mut source = Source::open(path)?;
    let layout = Layout { size: source.size(), manifest_bytes: 0 };
    let (mut whole, mut hashes) = (Hasher::default(), Vec::with_capacity(layout.blocks() as usize));
    let mut bytes = vec![0; BLOCK_BYTES.min(source.size() as usize)];
    for block in 0..layout.blocks() {
        let part = &mut bytes[..layout.bytes(block)];
        source.read(u64::from(block) * BLOCK_BYTES as u64, part)?;
        whole.update(part);
        hashes.push(hash(part));
    }
    let name = name::safe(source.name());
    debug_assert!(name.len() <= OBJECT_NAME_BYTES_MAX);
    let kind = media_type(&name).to_owned();
    let manifest = Manifest { size: source.size(), root: whole.finish(), name, kind, hashes };
    let thumbnail = thumbnail_of(path, &manifest);
    Ok(Prepared { source, manifest, thumbnail })
}

/// Prepares on a thread of its own and hands over the outcome.
pub fn begin(
    ticket: u64,
    path: std::path::PathBuf,
    audience: Vec<ParticipantId>,
    voice: Option<Voice>,
    done: Sender<Outcome>,
    waker: Arc<Waker>,
) {
    let failed = done.clone();
    let said = (audience.clone(), voice.clone());
    let work = move || {
        let prepared = prepare(&path).map_err(|e| e.to_string());
        // Nobody waits for it any more when the role has ended.
        let _ = done.send(Outcome { ticket, audience, voice, prepared });
        let _ = waker.wake();
    };
    if let Err(error) = std::thread::Builder::new().name("hash".into()).spawn(work) {
        let (audience, voice) = said;
        let prepared = Err(format!("cannot start a thread: {error}"));
        let _ = failed.try_send(Outcome { ticket, audience, voice, prepared });
    }
}

/// Of a picture; empty for anything else, and of what cannot be read as one.
fn thumbnail_of(path: &Path, manifest: &Manifest) -> Vec<u8> {
    if !matches!(&*manifest.kind, "image/jpeg" | "image/png") || manifest.size > OBJECT_PICTURED_BYTES_MAX {
        return Vec::new();
    }
    let bytes = std::fs::read(path).unwrap_or_default();
    thumbnail::make(&bytes, OBJECT_THUMBNAIL_BYTES_MAX).unwrap_or_default()
}

/// The media type by a name's extension, of what people send most; empty when it is none of them.
fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, e)| e).to_lowercase();
    match extension.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "pdf" => "application/pdf",
        "txt" | "md" | "log" => "text/plain",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "json" => "application/json",
        "zip" => "application/zip",
        "tar" => "application/x-tar",
        "gz" | "tgz" => "application/gzip",
        "ogg" | "opus" => "audio/ogg",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "mkv" => "video/x-matroska",
        "webm" => "video/webm",
        "odt" => "application/vnd.oasis.opendocument.text",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::OBJECT_KIND_BYTES_MAX;

    #[test]
    fn a_manifest_is_what_the_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photo.PNG");
        let content: Vec<u8> = (0..BLOCK_BYTES + 5).map(|n| (n * 7 / 3) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let manifest = prepare(&path).unwrap().manifest;
        assert_eq!((manifest.name.as_str(), manifest.kind.as_str()), ("photo.PNG", "image/png"));
        assert_eq!(manifest.root, hash(&content));
        assert_eq!(manifest.hashes, [hash(&content[..BLOCK_BYTES]), hash(&content[BLOCK_BYTES..])]);
        assert!(prepare(&folder.path().join("nothing")).is_err());
    }

    #[test]
    fn a_picture_is_offered_with_a_small_one() {
        let folder = tempfile::tempdir().unwrap();
        let png = |name: &str, more: u64| {
            let path = folder.path().join(name);
            let mut bytes = Vec::new();
            crate::media::still::write_png(&mut bytes, &[200; 3 * 90 * 60], (90, 60)).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            // A picture may have anything behind it.
            std::fs::File::options().write(true).open(&path).unwrap().set_len(bytes.len() as u64 + more).unwrap();
            prepare(&path).unwrap().thumbnail
        };
        let small = png("a.png", 0);
        assert!((1..=OBJECT_THUMBNAIL_BYTES_MAX).contains(&small.len()), "{} bytes", small.len());
        assert_eq!(thumbnail::read(&small).map(|p| (p.width, p.height)), Some((64, 42)));
        assert_eq!(png("a.txt", 0), [0; 0]);
        assert_eq!(png("b.png", OBJECT_PICTURED_BYTES_MAX), [0; 0], "too large to look at");
    }

    #[test]
    fn media_types_stay_within_their_bound() {
        for name in ["a.odt", "a", "a.", ".png", "a.exe"] {
            assert!(media_type(name).len() <= OBJECT_KIND_BYTES_MAX, "{name}");
        }
        assert_eq!(media_type("A.JPEG"), "image/jpeg");
        assert_eq!(media_type("a.exe"), "");
    }
}

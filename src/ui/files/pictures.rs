//! Pictures that came, small, for the chat: read and decoded on threads of their own, never on the window's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use egui::{Color32, ColorImage, Rect, TextureHandle, TextureOptions, Ui, Vec2, vec2};

use crate::conference::files::is_picture;
use crate::conference::view::{FileState, FileView};
use crate::limits::PICTURES_SHOWN_MAX;
use crate::media::picture::Picture;
use crate::media::{still, thumbnail};

/// Longest side, in pixels.
const SIDE: usize = 560;
/// Between two looks whether one is decoded.
const AGAIN: Duration = Duration::from_millis(50);
/// Sizes are forgotten when there are more.
const SIZES_KEPT: usize = 1_024;

enum One {
    /// A thread is at it.
    Coming,
    /// Not to be shown: what is there is no picture.
    None,
    Here(TextureHandle),
}

/// Of which offer, and what it shows.
type Decoded = (String, Option<Picture>);

/// What there is of a picture.
pub enum Seen {
    /// It is in sight.
    Picture(TextureHandle),
    /// It is not, but takes so much room, in points.
    Place(Vec2),
}

/// See the module.
pub struct Pictures {
    all: BTreeMap<String, (u64, One)>,
    /// In points, of those that gave way as well.
    sizes: BTreeMap<String, Vec2>,
    used: u64,
    decoded: (Sender<Decoded>, Receiver<Decoded>),
}

impl Default for Pictures {
    fn default() -> Self {
        Self { all: BTreeMap::new(), sizes: BTreeMap::new(), used: 0, decoded: unbounded() }
    }
}

impl Pictures {
    /// The picture of a file that is here, or the small one of what is offered, if it is one and is decoded; shown no
    /// larger than `most`, in points. What is not in sight costs nothing.
    pub fn of(&mut self, ui: &Ui, file: &FileView, most: Vec2) -> Option<Seen> {
        let (key, from) = match &file.state {
            FileState::Here(path) if is_picture(&file.kind, &file.name, file.size) => {
                (file.offer.clone(), From::File(path.clone()))
            }
            _ if !file.thumbnail.is_empty() => {
                (format!("{} small", file.offer), From::Thumbnail(file.thumbnail.clone()))
            }
            _ => return None,
        };
        self.take(ui);
        let size = self.sizes.get(&key).map(|size| *size * (most / *size).min_elem().min(1.0));
        if !ui.is_rect_visible(Rect::from_min_size(ui.next_widget_position(), size.unwrap_or(most))) {
            return size.map(Seen::Place);
        }
        self.used += 1;
        let used = self.used;
        if !self.all.contains_key(&key) {
            self.make_room();
            let begun = begin(key.clone(), from, self.decoded.0.clone());
            self.all.insert(key.clone(), (used, if begun { One::Coming } else { One::None }));
        }
        let (last, one) = self.all.get_mut(&key)?;
        *last = used;
        match one {
            One::Here(texture) => return Some(Seen::Picture(texture.clone())),
            One::Coming => ui.ctx().request_repaint_after(AGAIN),
            One::None => {}
        }
        size.map(Seen::Place)
    }

    fn take(&mut self, ui: &Ui) {
        while let Ok((offer, picture)) = self.decoded.1.try_recv() {
            let Some((_, one)) = self.all.get_mut(&offer) else { continue };
            *one = match picture {
                Some(picture) => {
                    if self.sizes.len() >= SIZES_KEPT {
                        self.sizes.clear();
                    }
                    self.sizes.insert(offer.clone(), vec2(picture.width as f32, picture.height as f32));
                    One::Here(ui.ctx().load_texture(offer, image(&picture), TextureOptions::LINEAR))
                }
                None => One::None,
            };
            ui.ctx().request_repaint();
        }
    }

    /// Those that were not seen for longest give way.
    fn make_room(&mut self) {
        while self.all.len() >= PICTURES_SHOWN_MAX {
            let oldest = self.all.iter().min_by_key(|(_, (used, _))| *used).map(|(offer, _)| offer.clone());
            let Some(oldest) = oldest else { return };
            self.all.remove(&oldest);
        }
    }
}

fn image(picture: &Picture) -> ColorImage {
    let pixels = picture.pixels.iter().map(|word| {
        let [_, r, g, b] = word.to_be_bytes();
        Color32::from_rgb(r, g, b)
    });
    ColorImage::new([picture.width, picture.height], pixels.collect())
}

/// What a picture is decoded from.
enum From {
    File(PathBuf),
    Thumbnail(Arc<[u8]>),
}

fn begin(offer: String, from: From, decoded: Sender<Decoded>) -> bool {
    let work = move || {
        let picture = match from {
            From::File(path) => read(&path),
            From::Thumbnail(bytes) => thumbnail::read(&bytes),
        };
        // Nobody waits for it any more when the window is closed.
        let _ = decoded.send((offer, picture));
    };
    std::thread::Builder::new().name("picture".into()).spawn(work).is_ok()
}

fn read(path: &Path) -> Option<Picture> {
    let bytes = std::fs::read(path).ok()?;
    let decoded = still::decode(&bytes, SIDE);
    if let Err(error) = &decoded {
        tracing::debug!(%error, "a picture is not shown");
    }
    decoded.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_not_seen_for_longest_give_way() {
        let mut pictures = Pictures::default();
        for n in 0..PICTURES_SHOWN_MAX as u64 + 3 {
            pictures.make_room();
            pictures.all.insert(format!("{n}"), (n, One::None));
        }
        assert_eq!(pictures.all.len(), PICTURES_SHOWN_MAX);
        assert!(!pictures.all.contains_key("2") && pictures.all.contains_key("3"));
    }
}

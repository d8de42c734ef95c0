//! The stage: one tile per person shown, with the newest pictures, without any interface.
//!
//! ```text
//! arrange   who stands where
//! compose   takes what the slots published; says where the frame must be painted again
//! paint     any part of the frame, any number of times
//! ```
//! Pictures go from their slot's memory straight into the frame. The stage also tells every slot at which size its
//! picture is wanted, so that decoders do no needless work: tile size in pixels when shown, nothing when not.

use std::sync::Arc;

use crate::conference::view::{CameraView, PersonView};
use crate::limits::TILES_MAX;
use crate::media::grid::{Rect, Scaler, Surface, TILE_ASPECT, layout};
use crate::media::picture::Picture;
use crate::pipeline::slot::{PictureInfo, PictureSlot, Waker};
use crate::ui::theme;

/// What a tile shows below its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// A plain card; the interface writes on it.
    Card,
    /// The newest picture.
    Picture,
    /// The last picture, darkened.
    Dimmed,
}

/// One person's place on the stage.
pub struct Tile {
    /// The person.
    pub key: u64,
    /// Where it is, in pixels.
    pub rect: Rect,
    slot: Arc<PictureSlot>,
    picture: Picture,
    /// Pictures published when the last one was taken.
    taken: u64,
    mirrored: bool,
    wanted: Look,
    drawn: Option<Look>,
}

impl Tile {
    /// Whether a picture of the person is on the tile (perhaps an old one, darkened).
    pub fn has_picture(&self) -> bool {
        matches!(self.drawn, Some(Look::Picture | Look::Dimmed))
    }

    fn look(&self, camera: &CameraView) -> Look {
        let has_picture = self.picture.width > 0;
        match camera {
            CameraView::Live | CameraView::Waiting if has_picture => Look::Picture,
            CameraView::Frozen(_) if has_picture => Look::Dimmed,
            _ => Look::Card,
        }
    }
}

/// All tiles and the pictures on them.
pub struct Stage {
    size: (usize, usize),
    area: Rect,
    gap: usize,
    tiles: Vec<Tile>,
    scaler: Scaler,
    waker: Arc<Waker>,
    /// Everything must be drawn again.
    stale: bool,
    damage: Vec<Rect>,
    shown: Vec<(u64, PictureInfo)>,
}

impl Stage {
    /// An empty stage; pictures published for people on it will rouse `waker`.
    pub fn new(size: (usize, usize), waker: Arc<Waker>) -> Self {
        Self {
            size,
            area: Rect::default(),
            gap: 0,
            tiles: Vec::new(),
            scaler: Scaler::default(),
            waker,
            stale: true,
            damage: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// Changes the number of pixels; everything is to be painted again.
    pub fn resize(&mut self, size: (usize, usize)) {
        self.size = size;
        self.stale = true;
    }

    /// The tiles of the page shown, in the order of the view.
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// What the last [`compose`](Self::compose) changed, to be painted.
    pub fn damage(&self) -> &[Rect] {
        &self.damage
    }

    /// Pictures that came onto the stage with the last [`compose`](Self::compose).
    pub fn shown(&self) -> &[(u64, PictureInfo)] {
        &self.shown
    }

    /// Gives the people of `page` (from 0, [`TILES_MAX`] each) their places in `area`.
    pub fn arrange(&mut self, people: &[PersonView], page: usize, area: Rect, gap: usize) {
        let on_page = people.iter().skip(page * TILES_MAX).take(TILES_MAX);
        let same_people = self.tiles.len() == on_page.clone().count()
            && self.tiles.iter().zip(on_page.clone()).all(|(t, p)| t.key == p.key && Arc::ptr_eq(&t.slot, &p.picture));
        if !same_people || self.area != area || self.gap != gap || self.stale {
            (self.area, self.gap, self.stale) = (area, gap, true);
            self.seat(on_page.clone());
        }
        for (tile, person) in self.tiles.iter_mut().zip(on_page) {
            tile.mirrored = person.me;
            if person.camera == CameraView::Off && tile.picture.width > 0 {
                // When the camera comes back its first picture shall be a new one.
                (tile.picture.width, tile.picture.height) = (0, 0);
            }
            tile.wanted = tile.look(&person.camera);
        }
    }

    fn seat<'a>(&mut self, people: impl Iterator<Item = &'a PersonView> + Clone) {
        let places = layout(people.clone().count(), self.area, TILE_ASPECT, self.gap);
        let mut before = std::mem::take(&mut self.tiles);
        for (person, rect) in people.zip(places) {
            let seat = before.iter().position(|t| t.key == person.key && Arc::ptr_eq(&t.slot, &person.picture));
            let mut tile = match seat {
                Some(i) => before.swap_remove(i),
                None => Tile {
                    key: person.key,
                    rect,
                    slot: person.picture.clone(),
                    picture: Picture::default(),
                    taken: 0,
                    mirrored: false,
                    wanted: Look::Card,
                    drawn: None,
                },
            };
            (tile.rect, tile.drawn) = (rect, None);
            tile.slot.wake_on_publish(&self.waker);
            tile.slot.want(rect.width, rect.height);
            self.tiles.push(tile);
        }
        for gone in before {
            gone.slot.want(0, 0);
        }
    }

    /// Takes what is new. Returns whether anything is; [`damage`](Self::damage) and [`shown`](Self::shown) tell what.
    pub fn compose(&mut self) -> bool {
        self.damage.clear();
        self.shown.clear();
        let everything = std::mem::take(&mut self.stale);
        if everything {
            self.damage.push(Rect::new(0, 0, self.size.0, self.size.1));
        }
        for tile in &mut self.tiles {
            let fresh = take(tile);
            if fresh.is_none() && tile.drawn == Some(tile.wanted) {
                continue;
            }
            tile.drawn = Some(tile.wanted);
            if let Some(info) = fresh {
                self.shown.push((tile.key, info));
            }
            if !everything {
                self.damage.push(tile.rect);
            }
        }
        !self.damage.is_empty()
    }

    /// Paints what of the stage lies within `part` into `frame`, which has the stage's size.
    pub fn paint(&mut self, frame: &mut Surface<'_>, part: Rect) {
        if !self.tiles.iter().any(|tile| tile.rect.intersection(part) == part) {
            frame.fill(part, theme::STAGE);
        }
        for tile in &self.tiles {
            let part = tile.rect.intersection(part);
            if part.is_empty() {
                continue;
            }
            match tile.drawn.unwrap_or(Look::Card) {
                Look::Card => frame.fill(part, theme::CARD),
                Look::Picture | Look::Dimmed => {
                    self.scaler.draw(&tile.picture, tile.mirrored, theme::CARD, frame, tile.rect, part);
                }
            }
            if tile.drawn == Some(Look::Dimmed) {
                frame.dim(part);
            }
        }
    }
}

/// Takes the newest picture when there is a new one and the tile is not a card by the camera's state.
fn take(tile: &mut Tile) -> Option<PictureInfo> {
    let published = tile.slot.published();
    if published == tile.taken {
        return None;
    }
    let info = tile.slot.take(&mut tile.picture);
    tile.taken = published;
    if info.is_some() && tile.picture.width > 0 {
        tile.wanted = Look::Picture;
        return info;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_so_many_tiles_and_whoever_is_beyond_is_on_the_next() {
        let person = |key| PersonView {
            key,
            name: "Ada".into(),
            me: false,
            muted: false,
            has_microphone: true,
            attention: Default::default(),
            camera: CameraView::Live,
            level_dbfs: -127.0,
            picture: Default::default(),
            figures: Default::default(),
        };
        let people: Vec<PersonView> = (0..=TILES_MAX as u64).map(person).collect();
        let mut stage = Stage::new((1_280, 720), Arc::default());
        let mut seated = |count: usize, page| {
            stage.arrange(&people[..count], page, Rect::new(0, 0, 1_280, 720), 4);
            stage.tiles().iter().map(|tile| tile.key).collect::<Vec<_>>()
        };
        let first: Vec<u64> = (0..TILES_MAX as u64).collect();
        assert_eq!(seated(TILES_MAX, 0), first);
        assert_eq!(seated(TILES_MAX + 1, 0), first);
        assert_eq!(seated(TILES_MAX + 1, 1), [TILES_MAX as u64]);
    }
}

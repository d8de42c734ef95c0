//! The stage: one tile per person shown, composed of the newest pictures, without any interface.
//!
//! Only tiles whose slot published something new are drawn again. The stage also tells every slot at which size its
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

/// All tiles and the pixels they are drawn on.
pub struct Stage {
    size: (usize, usize),
    pixels: Vec<u32>,
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
            pixels: vec![theme::STAGE; size.0 * size.1],
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

    /// Changes the number of pixels; everything is drawn again.
    pub fn resize(&mut self, size: (usize, usize)) {
        self.size = size;
        self.pixels.clear();
        self.pixels.resize(size.0 * size.1, theme::STAGE);
        self.stale = true;
    }

    /// The composed pixels.
    pub fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    /// The tiles of the page shown, in the order of the view.
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// Rectangles drawn by the last [`compose`](Self::compose).
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

    /// Draws what is new. Returns whether anything was; [`damage`](Self::damage) and [`shown`](Self::shown) tell what.
    pub fn compose(&mut self) -> bool {
        self.damage.clear();
        self.shown.clear();
        let mut surface = Surface { pixels: &mut self.pixels, width: self.size.0, height: self.size.1 };
        if std::mem::take(&mut self.stale) {
            let whole = Rect::new(0, 0, self.size.0, self.size.1);
            surface.fill(whole, theme::STAGE);
            self.damage.push(whole);
            self.tiles.iter_mut().for_each(|t| t.drawn = None);
        }
        let everything = !self.damage.is_empty();
        for tile in &mut self.tiles {
            let fresh = take(tile);
            if fresh.is_none() && tile.drawn == Some(tile.wanted) {
                continue;
            }
            match tile.wanted {
                Look::Card => surface.fill(tile.rect, theme::CARD),
                Look::Picture | Look::Dimmed => {
                    self.scaler.draw(&tile.picture, tile.mirrored, theme::CARD, &mut surface, tile.rect);
                }
            }
            if tile.wanted == Look::Dimmed {
                surface.dim(tile.rect);
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

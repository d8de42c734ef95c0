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
use crate::media::grid::{Manner, Rect, Scaler, Surface};
use crate::media::picture::Picture;
use crate::pipeline::slot::{PictureInfo, PictureSlot, Waker};
use crate::time::Timestamp;
use crate::ui::theme::Colours;

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
    colours: &'static Colours,
    crop: bool,
    tiles: Vec<Tile>,
    scaler: Scaler,
    waker: Arc<Waker>,
    /// Everything must be drawn again.
    stale: bool,
    damage: Vec<Rect>,
    shown: Vec<(u64, PictureInfo)>,
    /// When the next picture that waits for its sound is due.
    due: Option<Timestamp>,
}

impl Stage {
    /// An empty stage; pictures published for people on it will rouse `waker`.
    pub fn new(size: (usize, usize), colours: &'static Colours, waker: Arc<Waker>) -> Self {
        Self {
            size,
            colours,
            crop: false,
            tiles: Vec::new(),
            scaler: Scaler::default(),
            waker,
            stale: true,
            damage: Vec::new(),
            shown: Vec::new(),
            due: None,
        }
    }

    /// Changes the number of pixels; everything is to be painted again.
    pub fn resize(&mut self, size: (usize, usize)) {
        self.size = size;
        self.stale = true;
    }

    /// Changes colours, and whether pictures fill their tiles; everything is to be painted again.
    pub fn restyle(&mut self, colours: &'static Colours, crop: bool) {
        (self.colours, self.crop, self.stale) = (colours, crop, true);
    }

    /// The tiles of the page shown, in the order they were seated.
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

    /// When there is something to [`compose`](Self::compose) even if nothing is published: a picture that waits for its sound.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Gives each person of `seats`, by index, the place there. They are on their way to the places of `meant`, whose order
    /// is the same: pictures are wanted at that size.
    pub fn arrange(&mut self, people: &[PersonView], seats: &[(usize, Rect)], meant: &[(usize, Rect)]) {
        let seated = || seats.iter().filter_map(|(i, rect)| Some((people.get(*i)?, *rect)));
        let sits = |(t, (p, rect)): (&Tile, (&PersonView, Rect))| {
            t.key == p.key && t.rect == rect && Arc::ptr_eq(&t.slot, &p.picture)
        };
        if self.tiles.len() != seated().count() || !self.tiles.iter().zip(seated()).all(sits) {
            self.stale = true;
        }
        if self.stale {
            self.seat(seated());
        }
        for (tile, (_, rect)) in self.tiles.iter().zip(meant) {
            tile.slot.want(rect.width, rect.height);
        }
        for (tile, (person, _)) in self.tiles.iter_mut().zip(seated()) {
            tile.mirrored = person.me;
            if person.camera == CameraView::Off && (tile.picture.width > 0 || tile.slot.waiting() > 0) {
                // When the camera comes back its first picture shall be a new one.
                tile.slot.forget();
                (tile.picture.width, tile.picture.height) = (0, 0);
            }
            tile.wanted = tile.look(&person.camera);
        }
    }

    fn seat<'a>(&mut self, people: impl Iterator<Item = (&'a PersonView, Rect)>) {
        let mut before = std::mem::take(&mut self.tiles);
        for (person, rect) in people {
            let seat = before.iter().position(|t| t.key == person.key && Arc::ptr_eq(&t.slot, &person.picture));
            let mut tile = match seat {
                Some(i) => before.swap_remove(i),
                None => Tile {
                    key: person.key,
                    rect,
                    slot: person.picture.clone(),
                    picture: Picture::default(),
                    mirrored: false,
                    wanted: Look::Card,
                    drawn: None,
                },
            };
            (tile.rect, tile.drawn) = (rect, None);
            tile.slot.wake_on_publish(&self.waker);
            self.tiles.push(tile);
        }
        for gone in before {
            gone.slot.want(0, 0);
            // What waits there for words would be old when it is seen.
            gone.slot.forget();
        }
    }

    /// Takes what is new and due at `now`. Returns whether anything is; [`damage`](Self::damage) and [`shown`](Self::shown) tell what.
    pub fn compose(&mut self, now: Timestamp) -> bool {
        self.due = None;
        self.damage.clear();
        self.shown.clear();
        let everything = std::mem::take(&mut self.stale);
        if everything {
            self.damage.push(Rect::new(0, 0, self.size.0, self.size.1));
        }
        for tile in &mut self.tiles {
            let fresh = take(tile, now);
            if tile.slot.waiting() > 0 {
                self.due = self.due.into_iter().chain(tile.slot.next_due()).min();
            }
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
            frame.fill(part, self.colours.stage_pixel());
        }
        let card = self.colours.card_pixel();
        for tile in &self.tiles {
            let part = tile.rect.intersection(part);
            if part.is_empty() {
                continue;
            }
            match tile.drawn.unwrap_or(Look::Card) {
                Look::Card => frame.fill(part, card),
                Look::Picture | Look::Dimmed => {
                    let manner = Manner { mirrored: tile.mirrored, fill: self.crop, background: card };
                    self.scaler.draw(&tile.picture, manner, frame, tile.rect, part);
                }
            }
            if tile.drawn == Some(Look::Dimmed) {
                frame.dim(part);
            }
        }
    }
}

/// Takes the newest picture that is due when there is a new one, which replaces a card.
fn take(tile: &mut Tile, now: Timestamp) -> Option<PictureInfo> {
    if tile.slot.waiting() == 0 {
        return None;
    }
    let info = tile.slot.take(now, &mut tile.picture);
    if info.is_some() && tile.picture.width > 0 {
        tile.wanted = Look::Picture;
        return info;
    }
    None
}

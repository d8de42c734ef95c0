//! Byte formats: what stands in a packet, and nothing of what it means for anybody's state.

pub mod address;
pub mod chat;
pub mod discovery;
pub mod door;
pub mod interest;
pub mod jpeg_payload;
pub mod message;
pub mod opened;
pub mod probe;
pub mod relay;
pub mod repair;
pub mod rtcp;
pub mod rtp;
pub mod sap;
pub mod sdp;
pub mod sealed;

/// A quality of a publisher's picture; each has a group of its own, sent only while somebody wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// 256x144, for galleries.
    Thumb = 0,
    /// 512x288.
    Medium = 1,
    /// The camera's own size.
    Full = 2,
    /// The shared screen.
    Screen = 3,
}

impl Layer {
    /// All layers, lowest first.
    pub const ALL: [Layer; 4] = [Layer::Thumb, Layer::Medium, Layer::Full, Layer::Screen];

    /// The word for it in statistics and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Layer::Thumb => "thumb",
            Layer::Medium => "medium",
            Layer::Full => "full",
            Layer::Screen => "screen",
        }
    }
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// The publisher's voice.
    Audio,
    /// The publisher's picture in one layer.
    Video(Layer),
}

impl StreamKind {
    /// Every kind, by number.
    pub const ALL: [Self; 5] = [
        Self::Audio,
        Self::Video(Layer::Thumb),
        Self::Video(Layer::Medium),
        Self::Video(Layer::Full),
        Self::Video(Layer::Screen),
    ];

    /// The number that stands for it in messages: 0 audio, 1 + layer for video.
    pub fn to_wire(self) -> u32 {
        match self {
            StreamKind::Audio => 0,
            StreamKind::Video(layer) => 1 + layer as u32,
        }
    }

    /// The kind a message's number stands for; `None` for numbers of the future.
    pub fn from_wire(number: u32) -> Option<Self> {
        match number {
            0 => Some(StreamKind::Audio),
            n => Layer::ALL.get(n as usize - 1).map(|&l| StreamKind::Video(l)),
        }
    }
}

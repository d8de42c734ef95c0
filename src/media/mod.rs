//! Pictures, samples and codecs; nothing of packets or participants.

pub mod activity;
pub mod convert;
pub mod files;
pub mod floor;
pub mod grid;
pub mod jpeg;
pub mod mix;
pub mod ogg;
pub mod opus;
pub mod picture;
pub mod resample;
pub mod still;
pub mod tempo;
pub mod test_card;
pub mod test_voice;
pub mod thumbnail;
pub mod voice;
pub mod voice_message;
pub mod wav;

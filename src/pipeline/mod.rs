//! One file = one thread role, and the values that pass between them.

pub mod audio_receive;
pub mod audio_send;
pub mod control;
pub mod doctor;
pub mod egress;
pub mod preview;
pub mod receive;
pub mod reference;
pub mod repair;
pub mod slot;
pub mod tap;
pub mod transfer;
pub mod video_receive;
pub mod video_send;
pub mod voice_play;
pub mod voice_record;

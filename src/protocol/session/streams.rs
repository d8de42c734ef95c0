//! What the own beacon says of the streams that are sent.

use super::{Moment, Outputs, Session};
use crate::protocol::roster::StreamInfo;
use crate::wire::StreamKind;

impl Session {
    /// Everything sent from now on. With the first stream a slot is taken, with the last one it is given up. Kinds
    /// given twice count once.
    pub fn set_streams(&mut self, at: Moment, streams: &[StreamInfo], out: &mut Outputs) {
        let mut kept: Vec<StreamInfo> = Vec::with_capacity(streams.len());
        for stream in streams {
            if !kept.iter().any(|k| k.kind == stream.kind) {
                kept.push(*stream);
            }
        }
        if self.me.streams != kept {
            self.me.streams = kept;
            self.change(at, out);
        }
    }

    /// Where a stream is, roll-over counter << 16 | last sequence number, and whether packets of it are being sent. Told by
    /// the next beacon.
    pub fn set_position(&mut self, kind: StreamKind, position: u64, active: bool) {
        if let Some(stream) = self.me.streams.iter_mut().find(|s| s.kind == kind) {
            stream.position = position & ((1 << 48) - 1);
            stream.active = active;
        }
    }

    /// Where its repair is, likewise.
    pub fn set_repair_position(&mut self, kind: StreamKind, position: u64) {
        if let Some(stream) = self.me.streams.iter_mut().find(|s| s.kind == kind) {
            stream.repair.position = position & ((1 << 48) - 1);
        }
    }
}

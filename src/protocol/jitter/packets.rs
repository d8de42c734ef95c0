//! What goes into the buffer, what comes out, and what is counted.

/// A packet as it came in, its header parsed.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// RTP synchronization source.
    pub ssrc: u32,
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// A talk spurt begins with it (RFC 3551 section 4.1).
    pub marker: bool,
    /// It was sent once more.
    pub again: bool,
    /// Duration in samples at 48 kHz, as the Opus packet itself says.
    pub samples: u32,
    /// The Opus packet.
    pub payload: &'a [u8],
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Kept for its turn.
    Queued,
    /// The same sequence number is there already.
    Duplicate,
    /// Its turn is over.
    Late,
    /// Not believed: a jump that nothing has confirmed, or a size no Opus packet has.
    Rejected,
    /// The first packet of a sender that started again; kept.
    Restarted,
}

/// What to do for the next piece of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Decode this packet.
    Packet(&'a [u8]),
    /// The packet is lost; decode `samples` of it from the redundancy in the packet that follows it.
    Fec {
        /// The following packet, which will come again as [`Verdict::Packet`].
        following: &'a [u8],
        /// Length of what is missing.
        samples: usize,
    },
    /// Let the decoder make up this many samples.
    Conceal {
        /// Length of what is missing.
        samples: usize,
    },
    /// The talker is silent and said so (RFC 7587 section 3.1.3): let the decoder make up the noise of the room.
    Noise {
        /// Length until to ask again.
        samples: usize,
    },
    /// Nothing to play now: silence for one mixing step, then ask again.
    Empty,
}

/// Counters since the talker was added; they survive restarts of the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets received, duplicates not counted.
    pub received: u64,
    /// Expected less received (RFC 3550 section 6.4.1).
    pub lost: u64,
    /// Came twice.
    pub duplicates: u64,
    /// Came after their turn.
    pub late: u64,
    /// Not believed.
    pub rejected: u64,
    /// Rebuilt from the redundancy in the following packet.
    pub recovered: u64,
    /// Left out because the delay was beyond what playing faster could mend.
    pub skipped: u64,
    /// Samples made up or missing while the talker was sending.
    pub concealed_samples: u64,
    /// Times audio was shortened.
    pub accelerated: u64,
    /// Samples taken out.
    pub accelerated_samples: u64,
    /// Times audio was lengthened.
    pub expanded: u64,
    /// Samples put in.
    pub expanded_samples: u64,
}

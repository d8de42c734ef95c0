//! Every bound of the program in one table. Units stand last in the name.
//!
//! Anything whose size comes from the network, a file or a device is compared with one of these before it is used.

/// Largest UDP payload accepted or sent: an Ethernet frame less IPv4 and UDP headers. Nothing is fragmented.
pub const DATAGRAM_BYTES_MAX: usize = 1_472;
/// Largest RTP packet sent, header included; leaves room for SRTP's tag, tunnels and IPv6.
pub const RTP_PACKET_BYTES_MAX: usize = 1_400;
/// Largest RTP header extension accepted.
pub const RTP_EXTENSION_BYTES_MAX: usize = 64;

/// RFC 2435 carries width and height as multiples of 8 in one byte each.
pub const JPEG_SIDE_PIXELS_MAX: usize = 2_040;
/// Pixels of a picture from a camera or file before it is scaled down: somewhat more than 3840x2160.
pub const SOURCE_PIXELS_MAX: usize = 4_096 * 2_304;
/// Bytes of one JPEG from a camera or file.
pub const SOURCE_JPEG_BYTES_MAX: usize = 8 << 20;
/// Pictures of a folder that is played as a camera.
pub const FOLDER_PICTURES_MAX: usize = 10_000;
/// Packets of one JPEG frame.
pub const JPEG_PACKETS_MAX: usize = 1_024;
/// Bytes of one JPEG frame's scan.
pub const JPEG_FRAME_BYTES_MAX: usize = 2 << 20;
/// Frames of one stream that may be in assembly at once.
pub const FRAMES_IN_ASSEMBLY_MAX: usize = 3;

/// Longest time pictures wait for the sound of the same person.
pub const PICTURE_HOLD_MS_MAX: u64 = 100;
/// Pictures of one person that wait for the sound at once: those of that time at 60 a second.
pub const PICTURES_HELD_MAX: usize = 6;

/// Frames whose packets a sender keeps for repair: those of 50 ms at 60 a second.
pub const REPAIR_FRAMES_KEPT_MAX: usize = 4;
/// Share of a stream's packets that its repair may add.
pub const REPAIR_SHARE_PERCENT_MAX: usize = 25;
/// Repair packets a stream may send at once, after a time without any.
pub const REPAIR_BURST_PACKETS_MAX: usize = 64;
/// Receivers of a stream up to which each asks for repair at once.
pub const REPAIR_UNSPACED_MAX: usize = 4;
/// Requests for repair of one frame that one receiver sends.
pub const REPAIR_ROUNDS_MAX: u32 = 3;
/// Datagrams on repair ports that are opened per second from one source, and from all together.
pub const REPAIR_WORK_PER_SOURCE_MAX: u32 = 1_000;
/// See [`REPAIR_WORK_PER_SOURCE_MAX`].
pub const REPAIR_WORK_PER_S_MAX: u32 = 8_000;
/// Packets of a voice that its sender keeps to send them again, and that a receiver asks for at a time.
pub const VOICE_PACKETS_KEPT_MAX: usize = 32;
/// Packets of a voice asked for in one request.
pub const VOICE_ASKED_AT_ONCE_MAX: usize = 12;
/// Packets of a voice sent again per second on request.
pub const VOICE_REPEATS_PER_S_MAX: u32 = 50;
/// Receivers who report loss above which parity is sent before it is asked for.
pub const REPAIR_AHEAD_REPORTERS_MIN: usize = 8;

/// Longest Opus packet duration (RFC 6716 section 2.1.4).
pub const OPUS_PACKET_MS_MAX: usize = 120;
/// Largest Opus packet accepted (RFC 6716 section 3.2.1: 1275 bytes a frame; one frame a packet is sent here).
pub const OPUS_PACKET_BYTES_MAX: usize = 1_275;
/// Packets a talker's jitter buffer holds: two seconds of 20 ms packets.
pub const JITTER_PACKETS_MAX: usize = 100;
/// Longest time audio is made to wait for late packets.
pub const JITTER_DELAY_MS_MAX: usize = 400;
/// Time audio waits beyond what measurements ask for.
pub const JITTER_MARGIN_MS: usize = 3;
/// Longest stretch of audio made up in one go; then silence.
pub const CONCEAL_MS_MAX: usize = 100;

/// Packets of one talker that wait for the mixer: a second, or a fifth with the least delay.
pub const AUDIO_QUEUE_PACKETS_MAX: usize = 50;
/// Their bytes.
pub const AUDIO_QUEUE_BYTES_MAX: usize = 16 << 10;

/// Simultaneous publishers of a conference.
pub const SLOTS_MAX: usize = 124;
/// Streams a publisher may announce.
pub const STREAMS_PER_SLOT_MAX: usize = 5;
/// Bytes of the layers somebody wants: a bit for each of four layers of every slot.
pub const INTEREST_BYTES_MAX: usize = SLOTS_MAX * 4 / 8;
/// Layers in one report of how they arrive.
pub const REPORT_ROWS_MAX: usize = 128;
/// Interests and reports taken in per second from one source, and from all together.
pub const RECEPTION_PER_SOURCE_MAX: u32 = 400;
/// See [`RECEPTION_PER_SOURCE_MAX`].
pub const RECEPTION_PER_S_MAX: u32 = 2_000;
/// Receivers of the own layers whose reports are kept.
pub const REPORTERS_MAX: usize = 256;
/// Times a second that the streams of one participant are subscribed anew.
pub const FOLLOWS_PER_S_MAX: u32 = 8;
/// Participants kept in a roster.
pub const PARTICIPANTS_MAX: usize = 1_024;
/// Live session ids kept for replay protection: two epochs of everybody.
pub const SESSIONS_MAX: usize = 2 * PARTICIPANTS_MAX;
/// Conferences kept while listing what is on the network.
pub const CONFERENCES_MAX: usize = 256;

/// Messages in one sealed datagram.
pub const MESSAGES_PER_DATAGRAM_MAX: usize = 32;
/// Body of a sealed datagram, before sealing.
pub const SEALED_BODY_BYTES_MAX: usize = 1_372;
/// Failed openings worked on per second from one source, and from all sources together.
pub const FAILED_OPENINGS_PER_S_MAX: u32 = 50;
/// See [`FAILED_OPENINGS_PER_S_MAX`].
pub const FAILED_OPENINGS_TOTAL_PER_S_MAX: u32 = 1_000;
/// Discovery answers sent per second.
pub const DISCOVERY_ANSWERS_PER_S_MAX: u32 = 5;

/// Queries looked at and announcements verified per second.
pub const DISCOVERY_WORK_PER_S_MAX: u32 = 100;
/// Announcers of one conference whose counters are kept while listing.
pub const ANNOUNCERS_MAX: usize = 16;
/// Announcements verified per second from one source.
pub const DISCOVERY_WORK_PER_SOURCE_MAX: u32 = 25;
/// Conferences of one announcing machine kept while listing.
pub const CONFERENCES_PER_SOURCE_MAX: usize = 64;
/// Participants of one machine: a demonstration and more, but no crowd.
pub const PARTICIPANTS_PER_SOURCE_MAX: usize = 100;
/// Sessions not heard of before whose signatures are verified per second from one source, and from all together.
pub const NEWCOMERS_PER_S_MAX: u32 = 200;
/// See [`NEWCOMERS_PER_S_MAX`].
pub const NEWCOMERS_TOTAL_PER_S_MAX: u32 = 1_000;
/// Pings answered per second: those of everybody who may meet somebody new at once, twice.
pub const PONGS_PER_S_MAX: u32 = 2 * PARTICIPANTS_MAX as u32;
/// Machines asked directly for conferences.
pub const PEERS_MAX: usize = 8;
/// Copies of a stream that its sender makes for those who hear no group; a relay serves the others.
pub const DIRECT_COPIES_MAX: usize = 4;
/// People to whom a relay repeats streams.
pub const RELAYED_MAX: usize = 12;
/// Streams that whoever relays receives for others' sake alone.
pub const RELAYED_STREAMS_MAX: usize = 128;
/// Copies of a control datagram for those who hear no group.
pub const CONTROL_COPIES_MAX: usize = DIRECT_COPIES_MAX + RELAYED_MAX;
/// Sessions heard of that have not yet proved to be there now.
pub const ARRIVALS_MAX: usize = 256;
/// Members a second that are asked who they are, because a beacon of theirs spoke of one that was not heard.
pub const BRIEF_QUESTIONS_PER_S_MAX: u32 = 2;
/// Joins answered by one beacon.
pub const JOIN_ANSWERS_MAX: usize = 32;
/// Signed messages looked at per second from one session.
pub const SIGNED_PER_S_MAX: u32 = 40;
/// Messages in a known session that come from elsewhere than its address: looked at per second from one source, and from
/// all together.
pub const ASTRAY_PER_SOURCE_MAX: u32 = 50;
/// See [`ASTRAY_PER_SOURCE_MAX`].
pub const ASTRAY_PER_S_MAX: u32 = 1_000;
/// Bytes of the text that says why a camera failed (UTF-8).
pub const CAMERA_TEXT_BYTES_MAX: usize = 128;

/// Moderators of a conference.
pub const MODERATORS_MAX: usize = 8;
/// People whom one who decides lets speak with priority.
pub const FAVOURED_MAX: usize = 8;
/// Changes of ownership that can be proved to newcomers: no more are made.
pub const CHAIN_LINKS_MAX: usize = 4;
/// People put out that are remembered.
pub const REMOVED_MAX: usize = 64;
/// Members a new secret is sealed to in one datagram.
pub const REKEY_BOXES_MAX: usize = 10;
/// People who wait at the door.
pub const KNOCKERS_MAX: usize = 64;
/// Those of one machine.
pub const KNOCKERS_PER_SOURCE_MAX: usize = 4;
/// Knocks and decisions whose signatures are checked per second from one source, and from all together.
pub const DOOR_WORK_PER_SOURCE_MAX: u32 = 100;
/// See [`DOOR_WORK_PER_SOURCE_MAX`].
pub const DOOR_WORK_PER_S_MAX: u32 = 500;
/// Numbers that one charter or ban may lead ahead of the one known.
pub const DOOR_LEAP_MAX: u64 = 1_000;
/// Epochs that one decision may lead ahead.
pub const EPOCH_LEAP_MAX: u32 = 1_000;

/// Bytes of a participant's name (UTF-8).
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a conference title (UTF-8).
pub const TITLE_BYTES_MAX: usize = 96;
/// Longest passphrase.
pub const PASSPHRASE_BYTES_MAX: usize = 1_024;
/// Longest invite: title and passphrase with each byte written as three, and the rest.
pub const INVITE_BYTES_MAX: usize = 3_584;
/// Bytes of an SDP accepted or written.
pub const SDP_BYTES_MAX: usize = 4_096;

/// Bytes of a chat line's text (UTF-8).
pub const CHAT_TEXT_BYTES_MAX: usize = 4_096;
/// Bytes of a reaction: one emoji with its modifiers.
pub const CHAT_EMOJI_BYTES_MAX: usize = 32;
/// People a private line may be sealed to.
pub const CHAT_RECIPIENTS_MAX: usize = 32;
/// Bytes of a private line's sealed box: text, name and reference, and the key sealed to each recipient.
pub const CHAT_SEALED_BYTES_MAX: usize = 7_168;
/// Bytes of content in one numbered piece of a line; with its signature it fits a datagram.
pub const CHAT_PIECE_BYTES_MAX: usize = 1_000;
/// Pieces of one line.
pub const CHAT_PIECES_MAX: usize = 8;
/// Pieces a member may send per second, and in one burst; a line of up to about 900 bytes is one piece.
pub const CHAT_PER_S_MAX: u32 = 20;
/// Own lines that wait until they may be sent.
pub const CHAT_WAITING_MAX: usize = 64;
/// Numbers behind a member's newest that are still asked for; what is older is given up.
pub const CHAT_WINDOW: u32 = 512;
/// Sequences of lines kept track of: everybody's present and former ones.
pub const CHAT_SEQUENCES_MAX: usize = 2 * PARTICIPANTS_MAX;
/// Sequences of one member: one for each time it joined.
pub const CHAT_SEQUENCES_PER_MEMBER_MAX: usize = 64;
/// Sequences by authors who were never seen here, all together.
pub const CHAT_SEQUENCES_OF_STRANGERS_MAX: usize = 64;
/// Sequences forgotten of which it is still known what was had.
pub const CHAT_SEQUENCES_CLOSED_MAX: usize = 1_024;
/// Pieces kept in memory for repair and for late joiners.
pub const CHAT_LOG_PIECES_MAX: usize = 2_000;
/// Their bytes.
pub const CHAT_LOG_BYTES_MAX: usize = 4 << 20;
/// Missing pieces asked for at a time, of all members together.
pub const CHAT_HOLES_MAX: usize = 4_096;
/// Pieces after a member's newest signed one that somebody's word alone makes others ask for at a time.
pub const CHAT_CLAIMED_MAX: u32 = 32;
/// Reports of one member taken per second: heartbeats, and beacons that tell what is had.
pub const CHAT_REPORTS_PER_S_MAX: u32 = 20;
/// Repairs waiting to be sent.
pub const CHAT_REPAIRS_MAX: usize = 1_024;
/// Repairs one member sends per second.
pub const CHAT_REPAIRS_PER_S_MAX: u32 = 50;
/// Requests for repair one member sends per second.
pub const CHAT_NACKS_PER_S_MAX: u32 = 20;
/// Signatures of lines checked per second for one member that sends them.
pub const CHAT_CHECKS_PER_S_MAX: u32 = 200;
/// Bytes of an encoded chat message of any kind.
pub const CHAT_CHUNK_BYTES_MAX: usize = 1_200;
/// Lines handed to a late joiner.
pub const CHAT_HISTORY_LINES_MAX: usize = 500;
/// Age up to which lines are handed to a late joiner.
pub const CHAT_HISTORY_AGE_S: u64 = 24 * 3_600;
/// Late joiners served at a time, and per second.
pub const CHAT_SERVES_MAX: usize = 4;
/// See [`CHAT_SERVES_MAX`].
pub const CHAT_SERVES_PER_S_MAX: u32 = 10;

/// Lines of one conference kept on disk.
pub const HISTORY_LINES_MAX: usize = 20_000;
/// Bytes of one conference's history on disk.
pub const HISTORY_BYTES_MAX: u64 = 64 << 20;
/// Conferences whose history is kept on disk.
pub const HISTORY_CONFERENCES_MAX: usize = 64;

/// Answers to the probes of one doctor per second, and to those of all.
pub const PROBE_ANSWERS_PER_RUN_MAX: u32 = 200;
/// See [`PROBE_ANSWERS_PER_RUN_MAX`].
pub const PROBE_ANSWERS_PER_S_MAX: u32 = 600;
/// Doctors whose probes are counted apart.
pub const PROBE_RUNS_MAX: usize = 16;
/// Members of a conference who answer a probe that goes to all.
pub const PROBE_CROWD_MAX: usize = 32;
/// Others whose answers a doctor keeps.
pub const PROBE_PEERS_MAX: usize = 64;
/// Bytes of another program's report that is read (`nft -j list ruleset`).
pub const SYSTEM_REPORT_BYTES_MAX: usize = 4 << 20;
/// Bytes of a file that is sent.
pub const OBJECT_BYTES_MAX: u64 = 4 << 30;
/// Bytes of one symbol of a file.
pub const OBJECT_SYMBOL_BYTES: usize = 1_280;
/// Source symbols of a block, but for the last one's.
pub const OBJECT_BLOCK_SYMBOLS: usize = 1_024;
/// Parity symbols a block may have.
pub const OBJECT_PARITY_SYMBOLS: usize = 1_024;
/// Blocks of a file.
pub const OBJECT_BLOCKS_MAX: usize =
    OBJECT_BYTES_MAX.div_ceil((OBJECT_BLOCK_SYMBOLS * OBJECT_SYMBOL_BYTES) as u64) as usize;
/// Bytes of a manifest: a hash for each block, and a little.
pub const OBJECT_MANIFEST_BYTES_MAX: usize = 32 * OBJECT_BLOCKS_MAX + 512;
/// Bytes of a file's name (UTF-8).
pub const OBJECT_NAME_BYTES_MAX: usize = 200;
/// Bytes of a file's media type.
pub const OBJECT_KIND_BYTES_MAX: usize = 64;
/// Bytes of the small picture in an offer, which is one datagram.
pub const OBJECT_THUMBNAIL_BYTES_MAX: usize = 640;
/// Bytes of a file that one is made of.
pub const OBJECT_PICTURED_BYTES_MAX: u64 = 32 << 20;
/// Blocks asked for at a time.
pub const OBJECT_WANTS_MAX: usize = 32;
/// People asked at a time whether they have it.
pub const OBJECT_ASKS_MAX: usize = 64;
/// People one offer of a file may be sealed to.
pub const OBJECT_AUDIENCE_MAX: usize = 12;
/// Chosen people a file may be sent to, with several offers.
pub const OBJECT_CHOSEN_MAX: usize = 8 * OBJECT_AUDIENCE_MAX;
/// Blocks of one file that may be in assembly at once.
pub const OBJECT_BLOCKS_IN_ASSEMBLY_MAX: usize = 16;
/// Files known at once, offered by oneself or others.
pub const OBJECTS_MAX: usize = 256;
/// Files of one member known at once.
pub const OBJECTS_PER_MEMBER_MAX: usize = 64;
/// Files that are read at a time before they are offered.
pub const OBJECTS_PREPARED_MAX: usize = 2;
/// Files one gives at a time; the oldest that is settled gives way.
pub const OBJECTS_GIVEN_MAX: usize = 64;
/// Files received at once; more wait.
pub const OBJECTS_RECEIVED_MAX: usize = 4;
/// Connections over which files are fetched, from one member and in all.
pub const OBJECT_FETCHES_PER_PEER_MAX: usize = 4;
/// See [`OBJECT_FETCHES_PER_PEER_MAX`].
pub const OBJECT_FETCHES_MAX: usize = 16;
/// Requests for symbols answered per second.
pub const OBJECT_NACKS_PER_S_MAX: u32 = 2_000;
/// Files of a folder that is sent as one archive.
pub const ARCHIVE_ENTRIES_MAX: usize = 100_000;
/// Bytes of a voice message that is taken unasked.
pub const VOICE_BYTES_MAX: u64 = 2 << 20;
/// Bytes of a picture that is taken unasked and shown among the lines of the chat.
pub const PICTURE_BYTES_MAX: u64 = 2 << 20;
/// Pixels of a picture that is shown.
pub const STILL_PIXELS_MAX: usize = 24_000_000;
/// Pictures kept for the chat; those not seen for longest give way.
pub const PICTURES_SHOWN_MAX: usize = 32;
/// Longest voice message that is recorded.
pub const VOICE_MS_MAX: u32 = 300_000;
/// Longest packet put together of an Ogg file: pictures may stand before the sound.
pub const OGG_PACKET_BYTES_MAX: usize = 256 << 10;
/// Steps of the picture of a voice message.
pub const WAVEFORM_STEPS_MAX: usize = 64;

/// Tiles shown at once; more people go to further pages.
pub const TILES_MAX: usize = 49;
/// Notices kept for the window and the event stream.
pub const NOTICES_MAX: usize = 64;

const _: () = assert!(RTP_PACKET_BYTES_MAX < DATAGRAM_BYTES_MAX);
const _: () = assert!(SEALED_BODY_BYTES_MAX + 24 + 16 <= DATAGRAM_BYTES_MAX);
const _: () = assert!(JPEG_PACKETS_MAX * RTP_PACKET_BYTES_MAX < JPEG_FRAME_BYTES_MAX);
const _: () = assert!(3 * (TITLE_BYTES_MAX + PASSPHRASE_BYTES_MAX) + 128 <= INVITE_BYTES_MAX);
const _: () = assert!(DATAGRAM_BYTES_MAX < AUDIO_QUEUE_BYTES_MAX);
const _: () = assert!(JPEG_SIDE_PIXELS_MAX == 255 * 8);
const _: () = assert!(SLOTS_MAX * 16 + 64 == 2_048);
const _: () = assert!(CHAT_CHUNK_BYTES_MAX < SEALED_BODY_BYTES_MAX);
const _: () = assert!(CHAT_TEXT_BYTES_MAX + NAME_BYTES_MAX + 64 <= CHAT_PIECES_MAX * CHAT_PIECE_BYTES_MAX);
const _: () = assert!(CHAT_SEALED_BYTES_MAX + 16 * CHAT_RECIPIENTS_MAX + 128 <= CHAT_PIECES_MAX * CHAT_PIECE_BYTES_MAX);
const _: () = assert!(CHAT_WINDOW as usize <= CHAT_LOG_PIECES_MAX);
const _: () = assert!(CHAT_LOG_PIECES_MAX <= CHAT_HOLES_MAX);
const _: () = assert!(OBJECT_SYMBOL_BYTES + 14 <= SEALED_BODY_BYTES_MAX);
const _: () = assert!(OBJECT_MANIFEST_BYTES_MAX <= OBJECT_BLOCK_SYMBOLS * OBJECT_SYMBOL_BYTES);
const _: () = assert!(OBJECT_BLOCKS_MAX.div_ceil(8) + 256 <= SEALED_BODY_BYTES_MAX);

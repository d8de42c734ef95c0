//! Exact edges of single decisions.

use super::*;
use crate::limits::{CONCEAL_MS_MAX, JITTER_MARGIN_MS};

const MS: u64 = 1_000_000;
/// How long the first packet of an unknown talker waits.
const WAIT: u64 = (20 + JITTER_MARGIN_MS as u64) * MS;

fn packet(sequence: u16, timestamp: u32) -> Incoming<'static> {
    Incoming { ssrc: 7, sequence, timestamp, marker: false, again: false, samples: 960, payload: &[1, 2, 3] }
}

fn nth(n: u32) -> Incoming<'static> {
    packet(n as u16, n * 960)
}

/// A buffer that has played packet 0, which came at 1 s, at the end of its first wait.
fn playing() -> (JitterBuffer, u64) {
    let mut b = JitterBuffer::new();
    let start = 1_000 * MS;
    assert_eq!(b.insert(Timestamp(start), nth(0)), Arrival::Queued);
    let due = start + WAIT;
    assert!(matches!(b.pull(Timestamp(due), 0), Verdict::Packet(_)));
    (b, due)
}

#[test]
fn the_first_packet_waits_exactly_until_the_target_delay() {
    let mut b = JitterBuffer::new();
    assert_eq!(b.pull(Timestamp(0), 0), Verdict::Empty);
    b.insert(Timestamp(1_000 * MS), nth(0));
    let due = 1_000 * MS + WAIT;
    assert_eq!(b.pull(Timestamp(due - 1), 0), Verdict::Empty);
    assert_eq!(b.pull(Timestamp(due), 0), Verdict::Packet(&[1, 2, 3]));
    assert_eq!(b.counters().concealed_samples, 0);
}

#[test]
fn a_missing_packet_is_rebuilt_from_the_next_one_or_made_up() {
    let (mut b, due) = playing();
    b.insert(Timestamp(due), nth(2));
    let at = Timestamp(due + 20 * MS);
    assert_eq!(b.pull(at, 0), Verdict::Fec { following: &[1, 2, 3], samples: 960 });
    assert_eq!(b.pull(at, 0), Verdict::Packet(&[1, 2, 3]));
    b.insert(at, nth(5));
    assert_eq!(b.pull(at, 0), Verdict::Conceal { samples: 960 }, "two are missing: the first has no redundancy");
    assert!(matches!(b.pull(at, 0), Verdict::Fec { .. }));
    let c = b.counters();
    assert_eq!((c.recovered, c.concealed_samples, c.received, c.lost), (2, 960, 3, 3));
}

#[test]
fn a_dry_buffer_makes_up_a_hundred_milliseconds_and_then_is_silent() {
    let (mut b, due) = playing();
    let made_up = CONCEAL_MS_MAX as u64;
    for i in 0..made_up / 10 {
        assert_eq!(b.pull(Timestamp(due + i * 10 * MS), 0), Verdict::Conceal { samples: 480 }, "{i}");
    }
    assert_eq!(b.pull(Timestamp(due + made_up * MS), 0), Verdict::Empty);
    assert_eq!(b.counters().concealed_samples, 0, "not known yet whether the talker paused");
    // The talker had gone on: packet 11 shows it.
    b.insert(Timestamp(due + 200 * MS), nth(11));
    b.pull(Timestamp(due + 200 * MS), 0);
    assert_eq!(b.counters().concealed_samples, 200 * 48);
}

#[test]
fn a_pause_of_the_talker_is_no_concealment() {
    let (mut b, due) = playing();
    for i in 0..40 {
        b.pull(Timestamp(due + (20 + i * 10) * MS), 0);
    }
    // The numbers go on, the clock has jumped by 3 s: a pause.
    let resumed = 1_000 * MS + 3_000 * MS;
    b.insert(Timestamp(resumed), packet(1, 3_000 * 48));
    assert_eq!(b.pull(Timestamp(resumed), 0), Verdict::Empty, "waits for its target delay again");
    assert!(matches!(b.pull(Timestamp(resumed + WAIT), 0), Verdict::Packet(_)));
    assert_eq!((b.counters().concealed_samples, b.counters().lost), (0, 0));
}

#[test]
fn a_packet_that_comes_after_its_time_was_filled_is_played_unless_it_was_rebuilt() {
    let (mut b, due) = playing();
    let late = due + 30 * MS;
    for _ in 0..2 {
        assert_eq!(b.pull(Timestamp(due + 20 * MS), 0), Verdict::Conceal { samples: 480 });
    }
    b.insert(Timestamp(late), nth(1));
    assert!(matches!(b.pull(Timestamp(late), 0), Verdict::Packet(_)), "its words are not lost");
    assert_eq!((b.counters().late, b.counters().concealed_samples), (0, 960));
    // Packet 2 is rebuilt from packet 3 and comes then.
    b.insert(Timestamp(late), nth(3));
    assert!(matches!(b.pull(Timestamp(late + 20 * MS), 0), Verdict::Fec { .. }));
    b.insert(Timestamp(late + 20 * MS), nth(2));
    assert!(matches!(b.pull(Timestamp(late + 20 * MS), 0), Verdict::Packet(_)));
    assert_eq!((b.counters().late, b.counters().recovered), (1, 1), "what came out was packet 3");
    assert_eq!(b.position, 4 * 960 + (1i64 << 32));
}

#[test]
fn beyond_the_edge_packets_are_left_out_to_shorten_the_delay() {
    for (beyond, skipped) in [(0, 0), (1, 1)] {
        let (mut b, due) = playing();
        b.insert(Timestamp(due), nth(1));
        b.insert(Timestamp(due + 20 * MS), nth(2));
        // Packet 1 is due 20 ms after packet 0; the delay is then its target, and grows with each moment it is not asked for.
        let target = (b.target() + SKIP) as u64 * MS / 48;
        let at = 1_000 * MS + 20 * MS + target + beyond * MS / 48 + 1;
        assert!(matches!(b.pull(Timestamp(at), 0), Verdict::Packet(_)));
        assert_eq!(b.counters().skipped, skipped, "{beyond}");
    }
}

#[test]
fn a_silent_talker_is_noise_and_no_loss_until_nothing_is_heard_of_it_for_long() {
    let (mut b, due) = playing();
    b.insert(Timestamp(due), Incoming { payload: &[8], ..nth(1) });
    let said = due + 20 * MS;
    assert_eq!(b.pull(Timestamp(said), 0), Verdict::Packet(&[8]));
    let last = said + SILENT_MAX as u64 * MS / 48;
    for at in [said + 20 * MS, said + 400 * MS, last - MS] {
        assert_eq!(b.pull(Timestamp(at), 0), Verdict::Noise { samples: NOISE });
    }
    assert_eq!(b.pull(Timestamp(last), 0), Verdict::Empty);
    // It speaks again: after the usual wait.
    let resumed = 1_000 * MS + 3_000 * MS;
    b.insert(Timestamp(resumed), packet(2, 3_000 * 48));
    assert_eq!(b.pull(Timestamp(resumed), 0), Verdict::Empty);
    assert!(matches!(b.pull(Timestamp(resumed + WAIT), 0), Verdict::Packet(&[1, 2, 3])));
    assert_eq!((b.counters().concealed_samples, b.counters().lost), (0, 0));
}

#[test]
fn only_what_follows_is_given_early() {
    let (mut b, due) = playing();
    assert_eq!(b.early(Timestamp(due)), None, "nothing is there");
    b.insert(Timestamp(due), nth(2));
    assert_eq!(b.early(Timestamp(due)), None, "packet 1 is missing");
    b.insert(Timestamp(due), nth(1));
    assert_eq!(b.early(Timestamp(due)), Some(&[1, 2, 3][..]));
    assert_eq!(b.early(Timestamp(due)), Some(&[1, 2, 3][..]));
    assert_eq!(b.early(Timestamp(due)), None);
}

#[test]
fn nothing_is_made_up_after_goodbye() {
    let (mut b, due) = playing();
    b.goodbye();
    assert_eq!(b.pull(Timestamp(due + 20 * MS), 0), Verdict::Empty);
    assert_eq!(b.insert(Timestamp(due), nth(0)), Arrival::Duplicate);
    assert_eq!(b.counters().concealed_samples, 0);
}

#[test]
fn duplicates_and_late_packets_are_told_apart_across_the_wrap() {
    let mut b = JitterBuffer::new();
    let base = u32::MAX - 3 * 960;
    let p = |n: u16| packet(65_533u16.wrapping_add(n), base.wrapping_add(u32::from(n) * 960));
    for (n, expected) in [
        (0, Arrival::Queued),
        (2, Arrival::Queued),
        (2, Arrival::Duplicate),
        (4, Arrival::Queued),
        (3, Arrival::Queued),
        (0, Arrival::Duplicate),
        (1, Arrival::Queued),
    ] {
        let sent = 1_000 + u64::from(n) * 20;
        assert_eq!(b.insert(Timestamp(sent * MS), p(n)), expected, "packet {n}");
    }
    let mut now = 1_000 * MS + WAIT;
    for _ in 0..5 {
        assert!(matches!(b.pull(Timestamp(now), 0), Verdict::Packet(_)));
        now += 20 * MS;
    }
    assert_eq!(b.insert(Timestamp(now), p(3)), Arrival::Duplicate, "although it has been played");
    let c = b.counters();
    assert_eq!((c.received, c.lost, c.duplicates, c.concealed_samples), (5, 0, 3, 0));
}

#[test]
fn a_jump_of_the_numbers_is_believed_when_the_next_packet_confirms_it() {
    for (jump, expected) in [
        (2_999u16, [Arrival::Queued, Arrival::Queued]),
        (3_000, [Arrival::Rejected, Arrival::Restarted]),
        (40_000, [Arrival::Rejected, Arrival::Restarted]),
        (65_536u32.wrapping_sub(102) as u16, [Arrival::Rejected, Arrival::Restarted]),
        (65_536u32.wrapping_sub(99) as u16, [Arrival::Late, Arrival::Late]),
    ] {
        let (mut b, due) = playing();
        let got = [0u16, 1].map(|i| b.insert(Timestamp(due), packet(jump.wrapping_add(i), 960 + u32::from(i) * 960)));
        assert_eq!(got, expected, "jump by {jump}");
    }
}

#[test]
fn another_ssrc_is_a_restart_and_plays_after_a_new_wait() {
    let (mut b, due) = playing();
    let other = Incoming { ssrc: 8, ..packet(40_000, 123) };
    assert_eq!(b.insert(Timestamp(due), other), Arrival::Restarted);
    assert_eq!(b.pull(Timestamp(due + WAIT - 1), 0), Verdict::Empty);
    assert!(matches!(b.pull(Timestamp(due + WAIT), 0), Verdict::Packet(_)));
    assert_eq!(b.counters().received, 2, "counters survive");
}

#[test]
fn sizes_no_opus_packet_has_are_rejected() {
    let big = [0u8; OPUS_PACKET_BYTES_MAX + 1];
    for (samples, length, expected) in [
        (0, 3, Arrival::Rejected),
        (120 * 48, 3, Arrival::Queued),
        (120 * 48 + 1, 3, Arrival::Rejected),
        (960, OPUS_PACKET_BYTES_MAX, Arrival::Queued),
        (960, OPUS_PACKET_BYTES_MAX + 1, Arrival::Rejected),
    ] {
        let mut b = JitterBuffer::new();
        let p = Incoming { samples, payload: &big[..length], ..nth(0) };
        assert_eq!(b.insert(Timestamp(0), p), expected, "{samples} samples, {length} bytes");
    }
}

#[test]
fn a_full_buffer_drops_the_oldest() {
    let mut b = JitterBuffer::new();
    let most = JITTER_PACKETS_MAX as u32;
    for n in 0..most + 20 {
        b.insert(Timestamp(1_000 * MS), nth(n));
    }
    assert_eq!(b.counters().skipped, 20);
    assert_eq!(b.insert(Timestamp(1_000 * MS), nth(19)), Arrival::Duplicate);
    assert_eq!(b.front().map(|i| b.slots[i].sequence as u16), Some(20));
}

#[test]
fn a_jump_of_the_media_clock_starts_the_timing_anew() {
    let (mut b, due) = playing();
    b.insert(Timestamp(due), packet(1, 3_000_000_000));
    assert_eq!(b.pull(Timestamp(due), 0), Verdict::Empty);
    assert!(matches!(b.pull(Timestamp(due + WAIT), 0), Verdict::Packet(_)));
}

proptest::proptest! {
    #[test]
    fn no_sequence_of_packets_and_pulls_breaks_it(
        steps in proptest::collection::vec((0u8..4, proptest::prelude::any::<u16>(), proptest::prelude::any::<u32>(), 0u32..6_000), 1..400)
    ) {
        let mut b = JitterBuffer::new();
        let mut now = 0u64;
        for (kind, sequence, timestamp, samples) in steps {
            match kind {
                0 => { b.insert(Timestamp(now), Incoming { ssrc: u32::from(sequence >> 14), sequence, timestamp, marker: sequence % 5 == 0, again: sequence % 3 == 0, samples, payload: &[0] }); }
                1 => { b.insert(Timestamp(now), Incoming { ssrc: 1, sequence: sequence % 64, timestamp: timestamp % 100_000, marker: false, again: false, samples, payload: &[0] }); }
                _ => {
                    now += u64::from(timestamp % 50_000_000);
                    if let Verdict::Conceal { samples } | Verdict::Fec { samples, .. } | Verdict::Noise { samples } =
                        b.pull(Timestamp(now), i64::from(samples) - 3_000)
                    {
                        proptest::prop_assert!(samples > 0 && samples <= OPUS_PACKET_MS_MAX * 48);
                    }
                    proptest::prop_assert!((0.998..=1.002).contains(&b.speed()));
                    match b.wish() {
                        Some(wish) if kind == 3 => b.cut(wish.shorten, wish.most.min(720)),
                        Some(_) => drop(b.early(Timestamp(now)).map(<[u8]>::len)),
                        None => {}
                    }
                }
            }
        }
    }
}

/// Four seconds in which nothing passes for 100 ms of each half; what was lost comes after it, `again` or merely late. Then
/// nothing comes any more: how often each packet that is left is to be lengthened.
fn lengthenings_at_the_end(again: bool) -> Vec<usize> {
    const END: u32 = 190;
    let (mut b, mut lengthened) = (JitterBuffer::new(), Vec::new());
    for n in 0..220u32 {
        let now = Timestamp((1_000 + 20 * u64::from(n)) * MS);
        let lost = |n: u32| n % 25 >= 20;
        match n {
            END.. => {}
            _ if lost(n) => {}
            _ => {
                b.insert(now, nth(n));
                let of_outage = n.saturating_sub(5)..if n % 25 == 0 { n } else { 0 };
                of_outage.for_each(|late| assert_eq!(b.insert(now, Incoming { again, ..nth(late) }), Arrival::Queued));
            }
        }
        if !matches!(b.pull(now, 0), Verdict::Packet(_)) {
            continue;
        }
        let mut times = 0;
        while let Some(wish) = b.wish().filter(|wish| n >= END && !wish.shorten) {
            assert_eq!(wish.likeness, 0.0);
            b.cut(false, 120);
            times += 1;
        }
        if n >= END {
            lengthened.push(times);
        }
    }
    lengthened
}

#[test]
fn where_lost_packets_come_again_what_is_there_is_played_slower_while_nothing_comes() {
    assert_eq!(lengthenings_at_the_end(true), [0, 0, 1, 1, 2], "20, 40, 60, 80 and 100 ms after the last");
    let late = lengthenings_at_the_end(false);
    assert!(!late.is_empty() && late.iter().all(|times| *times == 0), "{late:?}");
}

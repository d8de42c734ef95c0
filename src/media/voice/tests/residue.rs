//! What is lowered is residue, and no voice.

use super::*;
use crate::media::voice::residue::Residue;

/// Everything but the gain, which would even out what is measured.
const CLEAN: Settings = Settings { gain: false, ..Settings::ALL };

/// Where a voice begins after a pause of 60 ms, in blocks.
fn beginnings(voice: &[f32]) -> Vec<usize> {
    let levels: Vec<f32> = voice.chunks_exact(BLOCK).map(level_dbfs).collect();
    let top = levels.iter().copied().fold(SILENCE_DBFS, f32::max);
    let begins = |n: &usize| levels[*n] > top - 25.0 && levels[n - 6..*n].iter().all(|level| *level < top - 35.0);
    (100..levels.len() - 10).filter(begins).collect()
}

/// By how much each of these stretches of six blocks is softer in `b` than in `a`, both so many samples late.
fn softer(a: &[f32], b: &[f32], from: &[usize], late: usize) -> Vec<f32> {
    let level = |s: &[f32], n: usize| level_dbfs(&s[n * BLOCK + late..(n + 6) * BLOCK + late]);
    from.iter().map(|n| level(a, *n) - level(b, *n)).collect()
}

fn most(all: &[f32]) -> f32 {
    all.iter().copied().fold(0.0, f32::max)
}

#[test]
fn a_soft_voice_in_a_soft_noise_is_not_shut_out() {
    let Some(voice) = speech(NEAR, "en+f3", 20) else { return };
    let by = 10f32.powf((-50.0 - level_dbfs(&voice)) / 20.0);
    let near: Vec<f32> = voice.iter().map(|s| s * by).collect();
    let (captured, silence) = (added(&near, &noise(20, -65.0)), vec![0.0; near.len()]);
    for settings in [NOISE, CLEAN] {
        let (out, _) = processed(settings, &silence, &captured);
        let without = unlowered(settings, &silence, &captured);
        let lost = level_dbfs(from_second(&without, 2)) - level_dbfs(from_second(&out, 2));
        let words = beginnings(&near);
        let begin = softer(&without, &out, &words, delay(settings));
        println!(
            "a voice of -50 dBFS in a noise of -65: {lost:.2} dB softer, its {} words begin {:.2} dB softer at the most",
            words.len(),
            most(&begin)
        );
        assert!(words.len() >= 3, "{words:?}");
        assert!(lost.abs() < 0.5 && most(&begin) < 1.0, "{lost}, {begin:?}");
    }
}

#[test]
fn words_keep_their_beginnings_after_the_others() {
    let Some(far) = speech(FAR, "en", 20) else { return };
    let Some(near) = speech(NEAR, "en+f3", 20) else { return };
    // They take turns every two seconds, 0.2 s apart, once the canceller knows the room.
    let turn = |n: usize, mine: bool| {
        let (second, within) = (n / RATE as usize, n % (2 * RATE as usize));
        (second / 2 % 2 == usize::from(mine)) && within < 2 * RATE as usize - RATE as usize / 5
    };
    let far: Vec<f32> =
        far.iter().enumerate().map(|(n, s)| if turn(n, false) || n < 192_000 { *s } else { 0.0 }).collect();
    let near: Vec<f32> =
        near.iter().enumerate().map(|(n, s)| if turn(n, true) && n >= 192_000 { *s } else { 0.0 }).collect();
    for (what, response) in [("a room", room(40, 150, 1.0)), ("a hard room", room(60, 200, 2.0))] {
        let captured = added(&added(&convolved(&far, &response), &near), &noise(20, -65.0));
        let (out, _) = processed(CLEAN, &far, &captured);
        let without = unlowered(CLEAN, &far, &captured);
        let words = beginnings(&near);
        let begin = softer(&without, &out, &words, delay(CLEAN));
        println!("{what}: {} words after another's turn begin {begin:.1?} dB softer", words.len());
        assert!(words.len() >= 4 && most(&begin) < 1.5, "{begin:?}");
    }
}

#[test]
fn the_line_does_not_fall_dead_while_the_others_speak() {
    let Some(mut far) = speech(FAR, "en", 14) else { return };
    // They are silent from the sixth second to the tenth.
    far[6 * RATE as usize..10 * RATE as usize].fill(0.0);
    let captured = added(&convolved(&far, &room(40, 150, 1.0)), &noise(14, -50.0));
    for settings in [ECHO, CLEAN] {
        let (out, _) = processed(settings, &far, &captured);
        let without = unlowered(settings, &far, &captured);
        let second = |s: &[f32], n: usize| level_dbfs(&s[n * RATE as usize..(n + 1) * RATE as usize]);
        println!(
            "a noise of -50 dBFS: {:.1} dBFS in silence ({:.1} before residue is lowered), {:.1} ({:.1}) under an echo",
            second(&out, 9),
            second(&without, 9),
            second(&out, 12),
            second(&without, 12)
        );
        let dead = |s: &[f32]| second(s, 9) - second(s, 12);
        assert!(dead(&out) < dead(&without).max(0.0) + 3.0, "{} dB", dead(&out));
    }
}

#[test]
fn the_others_change_nothing_of_a_noise_where_no_echo_is_taken_out() {
    let Some(far) = speech(FAR, "en", 10) else { return };
    let noise = fan(10, -40.0);
    let silence = vec![0.0; far.len()];
    assert!(processed(NOISE, &far, &noise).0 == processed(NOISE, &silence, &noise).0, "a headset's");
}

#[test]
fn the_first_word_is_no_noise() {
    // A steady voice right at the beginning, which a suppressor takes for noise at first.
    let tone: Vec<f32> = (0..2 * RATE).map(|n| 0.1 * (n as f32 * 0.03).sin()).collect();
    let silence = vec![0.0; tone.len()];
    assert!(processed(NOISE, &silence, &tone).0 == unlowered(NOISE, &silence, &tone));
}

#[test]
fn a_voice_with_nobody_over_there_stays_as_it_is() {
    let Some(near) = speech(NEAR, "en+f3", 4) else { return };
    let silence = vec![0.0; near.len()];
    assert_eq!(processed(ECHO, &silence, &near).0, unlowered(ECHO, &silence, &near));
    // What no microphone should give is survived.
    let mut residue = Residue::new(delay(CLEAN), true, true);
    let heard = [0.1; BLOCK];
    for strange in [f32::NAN, f32::INFINITY, f32::MAX, 0.0] {
        residue.note(&heard, &[strange; BLOCK]);
        residue.lower(&mut [strange; BLOCK]);
    }
    for block in near[RATE as usize / 2..].chunks_exact(BLOCK) {
        let mut out: [f32; BLOCK] = block.try_into().expect("a block");
        residue.note(&heard, block);
        residue.lower(&mut out);
        assert!(out.iter().all(|s| s.is_finite()));
    }
    let mut out = [0.3; BLOCK];
    (0..BLOCK).for_each(|i| out[i] *= (i as f32 / 5.0).sin());
    let voice = out;
    (0..4).for_each(|_| residue.note(&heard, &voice));
    residue.lower(&mut out);
    assert_eq!(out[BLOCK / 2..], voice[BLOCK / 2..], "open again");
}

//! Between pixel layouts, without detours: what cameras deliver to planes, planes to smaller planes, planes to words.

use crate::media::picture::{Chroma, Yuv};

/// Pixel words (`0x__RRGGBB`, rows of `width`) to 4:2:0, BT.601 full range; a chroma sample is the mean of its pixels.
pub fn words_to_yuv(words: &[u32], width: usize, height: usize, out: &mut Yuv) {
    out.reshape(width, height, Chroma::C420);
    let (chroma_width, _) = out.chroma_size();
    if width == 0 {
        return;
    }
    for (y_row, row) in out.y.chunks_exact_mut(width).zip(words.chunks_exact(width)) {
        for (y, word) in y_row.iter_mut().zip(row) {
            let [_, r, g, b] = word.to_be_bytes().map(i32::from);
            *y = luma(r, g, b);
        }
    }
    let chroma_rows = out.u.chunks_exact_mut(chroma_width).zip(out.v.chunks_exact_mut(chroma_width));
    for ((u_row, v_row), rows) in chroma_rows.zip(words.chunks(2 * width)) {
        let (top, bottom) = rows.split_at(width);
        let bottom = if bottom.len() == width { bottom } else { top };
        let pairs = top.chunks(2).zip(bottom.chunks(2));
        for ((u, v), (a, c)) in u_row.iter_mut().zip(v_row).zip(pairs) {
            let four = [a[0], a[a.len() - 1], c[0], c[c.len() - 1]].map(|w| w.to_be_bytes().map(i32::from));
            let sum = |i: usize| four.iter().map(|pixel| pixel[i]).sum::<i32>();
            (*u, *v) = chroma(sum(1), sum(2), sum(3), 2);
        }
    }
}

/// Y of BT.601, full range, from 8-bit components.
fn luma(r: i32, g: i32, b: i32) -> u8 {
    ((r * 19_595 + g * 38_470 + b * 7_471 + 32_768) >> 16) as u8
}

/// Cb and Cr of BT.601, full range, from sums of `1 << shift` pixels' components.
fn chroma(r: i32, g: i32, b: i32, shift: u32) -> (u8, u8) {
    let half = 32_768 << shift;
    let offset = 128 << (16 + shift);
    let blue = (-11_059 * r - 21_709 * g + 32_768 * b + offset + half - 1) >> (16 + shift);
    let red = (32_768 * r - 27_439 * g - 5_329 * b + offset + half - 1) >> (16 + shift);
    (blue.clamp(0, 255) as u8, red.clamp(0, 255) as u8)
}

//! A plane with the detail of a photograph: noise of many sizes, the coarser the stronger.

use super::Colour;
use crate::media::picture::{Chroma, Yuv};

/// Strength of the finest noise (two pixels across), and the factor from one size to twice that size. With these a
/// frame at quality 75 has about one bit a pixel.
const FINEST: f32 = 7.2;
const GROWTH: f32 = 1.45;

/// Spreads the bits of a seed over the whole word (splitmix64).
pub(super) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Draws a texture of even sides around `colour`. `shown` is the height of the picture it is for: the coarsest noise is
/// about a third of it across.
pub(super) fn draw(width: usize, height: usize, shown: usize, colour: Colour, seed: u64) -> Yuv {
    let mut texture = Yuv::default();
    texture.reshape(width, height, Chroma::C420);
    let (chroma_width, chroma_height) = texture.chroma_size();
    let luma = noise(width, height, 2, shown / 3, (FINEST, GROWTH), seed);
    let u = noise(chroma_width, chroma_height, 8, shown / 6, (1.5, 1.6), mix(seed ^ 1));
    let v = noise(chroma_width, chroma_height, 8, shown / 6, (1.5, 1.6), mix(seed ^ 2));
    let put = |plane: &mut [u8], noise: &[f32], middle: u8, least: f32, most: f32| {
        for (to, value) in plane.iter_mut().zip(noise) {
            *to = (f32::from(middle) + value).clamp(least, most) as u8;
        }
    };
    put(&mut texture.y, &luma, colour.y, 20.0, 235.0);
    put(&mut texture.u, &u, colour.u, 48.0, 208.0);
    put(&mut texture.v, &v, colour.v, 48.0, 208.0);
    texture
}

/// Value noise summed over sizes from `finest` to `coarsest` pixels, doubling; `strength` of the finest and its growth.
fn noise(width: usize, height: usize, finest: usize, coarsest: usize, strength: (f32, f32), seed: u64) -> Vec<f32> {
    let mut sum = vec![0.0; width * height];
    let (mut cell, mut amplitude, mut seed) = (finest, strength.0, seed);
    while cell <= coarsest.max(finest) {
        seed = mix(seed);
        add_octave(&mut sum, width, cell, amplitude, seed);
        cell *= 2;
        amplitude *= strength.1;
    }
    sum
}

fn add_octave(sum: &mut [f32], width: usize, cell: usize, amplitude: f32, seed: u64) {
    let columns = width / cell + 2;
    let lattice = |row: usize| {
        let at = mix(seed ^ (row as u64) << 32);
        (0..columns).map(move |column| ((mix(at ^ column as u64) >> 40) as f32 / (1 << 23) as f32 - 1.0) * amplitude)
    };
    let ease: Vec<f32> = (0..cell).map(|i| i as f32 / cell as f32).map(|t| t * t * (3.0 - 2.0 * t)).collect();
    let mut between = vec![0.0; columns];
    let (mut above, mut below): (Vec<f32>, Vec<f32>) = (lattice(0).collect(), lattice(1).collect());
    for (y, row) in sum.chunks_exact_mut(width).enumerate() {
        if y > 0 && y.is_multiple_of(cell) {
            std::mem::swap(&mut above, &mut below);
            below.clear();
            below.extend(lattice(y / cell + 1));
        }
        let weight = ease[y % cell];
        for ((to, a), b) in between.iter_mut().zip(&above).zip(&below) {
            *to = a + (b - a) * weight;
        }
        for (part, ends) in row.chunks_mut(cell).zip(between.windows(2)) {
            for (to, weight) in part.iter_mut().zip(&ease) {
                *to += ends[0] + (ends[1] - ends[0]) * weight;
            }
        }
    }
}

use super::*;

#[test]
fn limited_range_stretches_to_the_full_one() {
    for (from, to) in [(0, 0), (16, 0), (17, 1), (126, 128), (235, 255), (255, 255)] {
        assert_eq!(stretch_luma(from), to, "luma {from}");
    }
    for (from, to) in [(0, 1), (16, 1), (128, 128), (240, 255), (255, 255)] {
        assert_eq!(stretch_chroma(from), to, "chroma {from}");
    }
}

#[test]
fn yuyv_is_taken_apart() {
    let bytes = [10, 100, 20, 200, 30, 110, 40, 210, 50, 120, 60, 220, 70, 130, 80, 230, 99, 99];
    let mut out = Yuv::default();
    yuyv_to_yuv(&bytes, 4, 2, Range::Full, &mut out).unwrap();
    assert_eq!((out.width, out.height, out.chroma), (4, 2, Chroma::C422));
    assert_eq!(out.y, [10, 20, 30, 40, 50, 60, 70, 80]);
    assert_eq!((out.u, out.v), (vec![100, 110, 120, 130], vec![200, 210, 220, 230]));
    for (width, height) in [(4, 3), (3, 2), (0, 2), (4, 0)] {
        assert!(yuyv_to_yuv(&bytes, width, height, Range::Full, &mut Yuv::default()).is_err());
    }
}

#[test]
fn nv12_is_taken_apart_with_odd_sides_too() {
    let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 11, 21, 12, 22, 13, 23, 99];
    let mut out = Yuv::default();
    nv12_to_yuv(&bytes, 3, 3, Range::Full, &mut out).unwrap();
    assert_eq!(out.y, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!((&out.u[..], &out.v[..]), (&[10, 11, 12, 13][..], &[20, 21, 22, 23][..]));
    assert!(nv12_to_yuv(&bytes[..16], 3, 3, Range::Full, &mut out).is_err());
    nv12_to_yuv(&[235, 16, 16, 16, 128, 240], 2, 2, Range::Limited, &mut out).unwrap();
    assert_eq!((&out.y[..], out.u[0], out.v[0]), (&[255, 0, 0, 0][..], 128, 255));
}

#[test]
fn grey_has_no_colour() {
    let mut out = Yuv::default();
    grey_to_yuv(&[9, 8, 7, 6, 5, 4, 3], 3, 2, Range::Full, &mut out).unwrap();
    assert_eq!((&out.y[..], &out.u[..], &out.v[..]), (&[9, 8, 7, 6, 5, 4][..], &[128, 128][..], &[128, 128][..]));
    assert!(grey_to_yuv(&[9, 8, 7, 6, 5], 3, 2, Range::Full, &mut out).is_err());
}

#[test]
fn colours_survive_the_way_to_planes_and_back() {
    let table = [0x000000, 0xffffff, 0xff0000, 0x00ff00, 0x0000ff, 0x808080, 0xffff00, 0x00ffff, 0x123456, 0xfedcba];
    for colour in table {
        let [_, r, g, b] = u32::to_be_bytes(colour);
        for (width, height) in [(4, 4), (5, 3), (1, 1)] {
            let pixels = width * height;
            let rgb: Vec<u8> = [r, g, b].repeat(pixels);
            let bgr: Vec<u8> = [b, g, r].repeat(pixels);
            let mut planes = [Yuv::default(), Yuv::default(), Yuv::default()];
            rgb24_to_yuv(&rgb, width, height, Order::Rgb, &mut planes[0]).unwrap();
            rgb24_to_yuv(&bgr, width, height, Order::Bgr, &mut planes[1]).unwrap();
            words_to_yuv(&vec![colour; pixels], width, height, &mut planes[2]);
            assert!(planes[0] == planes[1] && planes[1] == planes[2]);
            let mut picture = Picture::default();
            yuv_to_words(&planes[0], &mut picture);
            for pixel in picture.pixels {
                for (a, b) in pixel.to_be_bytes().into_iter().zip(colour.to_be_bytes()) {
                    assert!(a.abs_diff(b) <= 2, "{colour:06x} became {pixel:06x}");
                }
            }
        }
    }
}

#[test]
fn full_chroma_is_halved_by_mean() {
    let mut out = Yuv::default();
    let u = [10, 20, 30, 30, 40, 50, 8, 9, 100];
    yuv444_to_yuv([&[0; 9], &u, &[7; 9]], 3, 3, &mut out).unwrap();
    assert_eq!((&out.u[..], &out.v[..]), (&[25, 40, 9, 100][..], &[7; 4][..]));
    yuv444_to_yuv([&[1, 2, 3], &[5, 6, 7], &[8, 9, 10]], 3, 1, &mut out).unwrap();
    assert!(out.is_sound());
    assert!(yuv444_to_yuv([&[0; 9], &u, &[7; 8]], 3, 3, &mut out).is_err());
}

#[test]
fn scaling_keeps_flat_pictures_flat_and_slopes_sloping() {
    let mut scaler = Scaler::default();
    let mut out = Yuv::default();
    let sizes = [(1280, 720), (256, 144), (512, 288), (640, 360), (33, 17), (2, 2), (1, 1), (1281, 719)];
    for chroma in [Chroma::C420, Chroma::C422] {
        for from_size in sizes {
            let mut from = Yuv::default();
            from.reshape(from_size.0, from_size.1, chroma);
            from.u.fill(77);
            from.v.fill(255);
            for (i, y) in from.y.iter_mut().enumerate() {
                *y = ((2 * (i % from_size.0) + 1) * 255 / (2 * from_size.0)) as u8;
            }
            for (width, height) in sizes {
                scaler.scale(&from, width, height, &mut out);
                assert!(out.is_sound() && (out.width, out.height) == (width, height));
                assert!(out.u.iter().all(|u| *u == 77) && out.v.iter().all(|v| *v == 255));
                if from_size.0 >= 256 && width >= 32 {
                    for (x, y) in out.y.iter().take(width).enumerate() {
                        let expected = (2 * x + 1) * 255 / (2 * width);
                        assert!(usize::from(*y).abs_diff(expected) <= 2, "{from_size:?} to {width}: {y} at {x}");
                    }
                }
            }
        }
    }
}

#[test]
fn halving_is_the_mean_of_four() {
    let mut scaler = Scaler::default();
    let mut from = Yuv::default();
    from.reshape(4, 2, Chroma::C420);
    from.y.copy_from_slice(&[0, 10, 100, 200, 20, 30, 50, 52]);
    let mut out = Yuv::default();
    scaler.scale(&from, 2, 1, &mut out);
    assert_eq!(out.y, [15, 101]);
}

#[test]
fn previews_cover_what_is_wanted_and_keep_the_shape() {
    for (wanted, size) in [
        ((320, 180), (320, 180)),
        ((320, 320), (569, 320)),
        ((400, 100), (400, 225)),
        ((0, 0), (1, 1)),
        ((1280, 10), (1280, 720)),
        ((2000, 2000), (1280, 720)),
    ] {
        assert_eq!(cover(1280, 720, wanted), size, "wanted {wanted:?}");
    }
    let mut from = Yuv::default();
    from.reshape(64, 48, Chroma::C422);
    from.y.fill(200);
    from.u.fill(128);
    from.v.fill(128);
    let mut out = Picture::default();
    for wanted in [(64, 48), (20, 10), (0, 0)] {
        Scaler::default().to_picture(&from, wanted, &mut out);
        assert_eq!((out.width, out.height), cover(64, 48, wanted));
        assert!(out.pixels.iter().all(|p| *p == 0xc8c8c8));
    }
}

#[test]
fn pictures_are_capped_to_even_sides_of_the_same_shape() {
    for (size, most, fitted) in [
        ((1920, 1080), (1280, 720), (1280, 720)),
        ((640, 480), (1280, 720), (640, 480)),
        ((641, 481), (1280, 720), (640, 480)),
        ((1600, 1200), (1280, 720), (960, 720)),
        ((3000, 100), (1280, 720), (1280, 42)),
        ((1, 1), (1280, 720), (2, 2)),
    ] {
        assert_eq!(fit_within(size.0, size.1, most), fitted);
    }
}

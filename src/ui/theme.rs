//! Colours, sizes and fonts. Dark; every text stands at 4.5:1 or more against what is behind it.

use egui::{Color32, FontFamily, FontId, Stroke, TextStyle, Visuals};

/// Behind the tiles, as a pixel.
pub const STAGE: u32 = 0x0010_1318;
/// A tile without a picture, as a pixel.
pub const CARD: u32 = 0x001f_252e;

/// [`STAGE`] as egui has it.
pub const STAGE_COLOUR: Color32 = colour(STAGE);
/// [`CARD`] as egui has it.
pub const CARD_COLOUR: Color32 = colour(CARD);
/// Bars, panels and notices.
pub const PANEL: Color32 = colour(0x0019_1e26);
/// A control at rest.
pub const CONTROL: Color32 = colour(0x002b_333e);
/// A control under the mouse.
pub const CONTROL_HOVER: Color32 = colour(0x003a_4552);
/// Thin lines around panels.
pub const LINE: Color32 = colour(0x003d_4856);
/// Text.
pub const TEXT: Color32 = colour(0x00ec_eff3);
/// Text of less weight.
pub const TEXT_WEAK: Color32 = colour(0x00aa_b4c0);
/// Text of a control that cannot be used now.
pub const TEXT_OFF: Color32 = colour(0x0092_9ca8);
/// Somebody talks; keyboard focus.
pub const TALKING: Color32 = colour(0x0046_d98a);
/// Keyboard focus.
pub const FOCUS: Color32 = colour(0x006c_b2ff);
/// Something is off (muted, no camera).
pub const OFF: Color32 = colour(0x00b8_2f2f);
/// The same under the mouse.
pub const OFF_HOVER: Color32 = colour(0x00c4_3636);
/// The sign of something off, on dark ground.
pub const OFF_SIGN: Color32 = colour(0x00ff_7b72);
/// Warnings.
pub const WARNING: Color32 = colour(0x00f4_bf55);
/// Behind texts that stand over pictures.
pub const SHADE: Color32 = Color32::from_black_alpha(176);

/// Height of the bar above the stage, in points.
pub const TOP_BAR: f32 = 34.0;
/// Height of the bar below the stage, in points.
pub const TOOLBAR: f32 = 52.0;
/// Space between tiles and around them, in points.
pub const GAP: f32 = 6.0;
/// Rounding of tiles, in points.
pub const TILE_RADIUS: u8 = 8;
/// How far a tile's corner stands out from its rounding, a pixel's softness included: radius x (sqrt 2 - 1) and some.
pub const TILE_CORNER: f32 = 4.5;

const PEOPLE: [Color32; 10] = [
    colour(0x0035_5fa8),
    colour(0x007b_4397),
    colour(0x00a0_3a5b),
    colour(0x0098_4a1f),
    colour(0x006d_611a),
    colour(0x002f_7031),
    colour(0x0017_6f6b),
    colour(0x001d_6a8e),
    colour(0x005a_4fb0),
    colour(0x0084_3d74),
];

const fn colour(rgb: u32) -> Color32 {
    Color32::from_rgb((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
}

/// The colour of a person's initials card: the same for the same key.
pub fn person(key: u64) -> Color32 {
    // Keys may be counters or random numbers: mix them so that neighbours differ and all bits count.
    let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    PEOPLE[(mixed % PEOPLE.len() as u64) as usize]
}

/// Up to two initials of a name: of the first and the last word, in capitals.
pub fn initials(name: &str) -> String {
    let mut words = name.split_whitespace().filter_map(|w| w.chars().find(|c| c.is_alphanumeric()));
    let first = words.next();
    let last = words.next_back();
    first.into_iter().chain(last).flat_map(char::to_uppercase).take(2).collect()
}

/// Sets fonts' sizes and colours of a new context.
pub fn apply(context: &egui::Context) {
    context.set_theme(egui::ThemePreference::Dark);
    context.all_styles_mut(|style| {
        let mut visuals = Visuals::dark();
        visuals.panel_fill = PANEL;
        visuals.window_fill = PANEL;
        visuals.window_stroke = Stroke::new(1.0, LINE);
        visuals.override_text_color = Some(TEXT);
        visuals.window_shadow = egui::Shadow::NONE;
        visuals.popup_shadow = egui::Shadow::NONE;
        visuals.selection.stroke = Stroke::new(2.0, FOCUS);
        style.visuals = visuals;
        // Nothing moves by itself: an unchanged view costs nothing.
        style.animation_time = 0.0;
        style.interaction.tooltip_delay = 0.35;
        style.interaction.selectable_labels = false;
        style.text_styles = [
            (TextStyle::Small, FontId::new(12.0, FontFamily::Proportional)),
            (TextStyle::Body, FontId::new(14.0, FontFamily::Proportional)),
            (TextStyle::Button, FontId::new(14.0, FontFamily::Proportional)),
            (TextStyle::Heading, FontId::new(19.0, FontFamily::Proportional)),
            (TextStyle::Monospace, FontId::new(13.0, FontFamily::Monospace)),
        ]
        .into();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(c: Color32) -> f64 {
        let linear = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(c.r()) + 0.7152 * linear(c.g()) + 0.0722 * linear(c.b())
    }

    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_text_is_readable_on_its_ground() {
        let shade_over_white = 255 - SHADE.a();
        let worst = Color32::from_gray(shade_over_white);
        let mut pairs = vec![
            (TEXT, PANEL),
            (TEXT, STAGE_COLOUR),
            (TEXT, CARD_COLOUR),
            (TEXT, CONTROL),
            (TEXT, CONTROL_HOVER),
            (TEXT, OFF),
            (TEXT, OFF_HOVER),
            (TEXT, worst),
            (TEXT_WEAK, PANEL),
            (TEXT_WEAK, STAGE_COLOUR),
            (TEXT_WEAK, CARD_COLOUR),
            (TEXT_OFF, CONTROL),
            (WARNING, PANEL),
        ];
        pairs.extend(PEOPLE.iter().map(|c| (TEXT, *c)));
        for (text, ground) in pairs {
            assert!(contrast(text, ground) >= 4.5, "{text:?} on {ground:?}: {:.2}", contrast(text, ground));
        }
        for (sign, ground) in [(TALKING, STAGE_COLOUR), (FOCUS, PANEL), (OFF_SIGN, PANEL), (OFF_SIGN, CARD_COLOUR)] {
            assert!(contrast(sign, ground) >= 3.0, "{sign:?} on {ground:?}: {:.2}", contrast(sign, ground));
        }
    }

    #[test]
    fn initials_are_of_the_first_and_the_last_word() {
        let cases = [
            ("Ada Lovelace", "AL"),
            ("ada", "A"),
            ("Ludwig van Beethoven", "LB"),
            ("  émile   zola ", "ÉZ"),
            ("Ann (1)", "A1"),
            ("", ""),
            ("- -", ""),
            ("ßtraße", "SS"),
        ];
        for (name, expected) in cases {
            assert_eq!(initials(name), expected, "{name:?}");
        }
    }

    #[test]
    fn people_next_to_each_other_have_colours_of_their_own() {
        assert_eq!(person(7), person(7));
        assert!((1..10_u64).filter(|k| person(*k) != person(k + 1)).count() >= 8);
    }
}

//! Colours, sizes and fonts, dark and light; every text stands at 4.5:1 or more against what is behind it.

use egui::{Color32, CornerRadius, FontFamily, FontId, Stroke, TextStyle, Visuals};

/// The colours of one theme.
#[derive(Debug, PartialEq)]
pub struct Colours {
    /// Whether text is light on dark ground.
    pub dark: bool,
    /// Behind the tiles.
    pub stage: Color32,
    /// A tile without a picture.
    pub card: Color32,
    /// Bars, panels and notices.
    pub panel: Color32,
    /// Where one types.
    pub field: Color32,
    /// Behind a line of one's own, or what is selected.
    pub own: Color32,
    /// A control at rest.
    pub control: Color32,
    /// A control under the mouse.
    pub control_hover: Color32,
    /// A control that asks to be pressed, and the text on it.
    pub accent: Color32,
    /// Text on it.
    pub on_accent: Color32,
    /// Thin lines around panels.
    pub line: Color32,
    /// Text.
    pub text: Color32,
    /// Text of less weight: times, hints.
    pub text_weak: Color32,
    /// Text of a control that cannot be used now.
    pub text_off: Color32,
    /// One's own words and name in the chat.
    pub own_text: Color32,
    /// Links.
    pub link: Color32,
    /// Somebody talks.
    pub talking: Color32,
    /// Keyboard focus.
    pub focus: Color32,
    /// The sign of something off.
    pub off_sign: Color32,
    /// Warnings.
    pub warning: Color32,
    /// Names of people, by their colour.
    pub names: [Color32; 10],
}

/// Light on dark.
pub const DARK: Colours = Colours {
    dark: true,
    stage: colour(0x0010_1318),
    card: colour(0x001f_252e),
    panel: colour(0x0019_1e26),
    field: colour(0x0010_1318),
    own: colour(0x0022_2d3d),
    control: colour(0x002b_333e),
    control_hover: colour(0x003a_4552),
    accent: colour(0x0021_5fb4),
    on_accent: Color32::WHITE,
    line: colour(0x003d_4856),
    text: colour(0x00ec_eff3),
    text_weak: colour(0x00aa_b4c0),
    text_off: colour(0x0092_9ca8),
    own_text: colour(0x00a9_e2b8),
    link: colour(0x007c_b8ff),
    talking: colour(0x0046_d98a),
    focus: colour(0x006c_b2ff),
    off_sign: colour(0x00ff_7b72),
    warning: colour(0x00f4_bf55),
    names: [
        colour(0x008f_b4f2),
        colour(0x00cf_a2e6),
        colour(0x00f0_97b2),
        colour(0x00ee_a77f),
        colour(0x00d6_c66a),
        colour(0x008f_d291),
        colour(0x0074_cfca),
        colour(0x007f_c4e8),
        colour(0x00b3_abf5),
        colour(0x00e2_9ed3),
    ],
};

/// Dark on light.
pub const LIGHT: Colours = Colours {
    dark: false,
    stage: colour(0x00dd_e2e8),
    card: colour(0x00f1_f3f6),
    panel: colour(0x00fa_fbfc),
    field: colour(0x00ff_ffff),
    own: colour(0x00e4_edf8),
    control: colour(0x00e2_e6eb),
    control_hover: colour(0x00cf_d6de),
    accent: colour(0x001d_5cb0),
    on_accent: Color32::WHITE,
    line: colour(0x00bc_c4ce),
    text: colour(0x001b_2129),
    text_weak: colour(0x004d_5763),
    text_off: colour(0x0057_616c),
    own_text: colour(0x0014_5a2b),
    link: colour(0x000b_57b0),
    talking: colour(0x000c_7a41),
    focus: colour(0x000b_62d6),
    off_sign: colour(0x00b3_2421),
    warning: colour(0x0079_4a00),
    names: PEOPLE,
};

/// Something is off (muted, no camera), with [`ON_DARK`] on it.
pub const OFF: Color32 = colour(0x00b8_2f2f);
/// The same under the mouse.
pub const OFF_HOVER: Color32 = colour(0x00c4_3636);
/// Behind texts that stand over pictures, in either theme.
pub const SHADE: Color32 = Color32::from_black_alpha(176);
/// Text on [`SHADE`], on [`OFF`] and on the colour of a person.
pub const ON_DARK: Color32 = colour(0x00ec_eff3);
/// A sign of something off on [`SHADE`].
pub const OFF_ON_DARK: Color32 = colour(0x00ff_7b72);
/// Something that wants attention, drawn with [`ON_BADGE`] on it.
pub const BADGE: Color32 = colour(0x00f4_bf55);
/// Text on a badge.
pub const ON_BADGE: Color32 = Color32::from_gray(24);

/// What cannot be used now is drawn with so much of its colour, and the rest of what is behind it: weaker, and still
/// readable.
const DISABLED: f32 = 0.75;

/// Width of a panel beside the stage, in points.
pub const PANEL_WIDTH: f32 = 340.0;
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

/// Which of the ten colours somebody has: the same for the same participant id everywhere.
pub fn hue(id: &str) -> usize {
    // FNV-1a: ids are hexadecimal, and all of it counts.
    let mixed =
        id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 32) % PEOPLE.len() as u64) as usize
}

/// The colour behind somebody's initials, by participant id, in either theme.
pub fn person(id: &str) -> Color32 {
    PEOPLE[hue(id)]
}

impl Colours {
    /// The colour of somebody's name, by participant id.
    pub fn name(&self, id: &str) -> Color32 {
        self.names[hue(id)]
    }

    /// The stage as a pixel.
    pub fn stage_pixel(&self) -> u32 {
        pixel(self.stage)
    }

    /// A tile without a picture, as a pixel.
    pub fn card_pixel(&self) -> u32 {
        pixel(self.card)
    }
}

fn pixel(c: Color32) -> u32 {
    u32::from_be_bytes([0, c.r(), c.g(), c.b()])
}

/// Up to two initials of a name: of the first and the last word, in capitals.
pub fn initials(name: &str) -> String {
    let mut words = name.split_whitespace().filter_map(|w| w.chars().find(|c| c.is_alphanumeric()));
    let first = words.next();
    let last = words.next_back();
    first.into_iter().chain(last).flat_map(char::to_uppercase).take(2).collect()
}

/// Sets fonts' sizes and the colours of a context.
pub fn apply(context: &egui::Context, colours: &Colours) {
    context.set_theme(if colours.dark { egui::ThemePreference::Dark } else { egui::ThemePreference::Light });
    context.all_styles_mut(|style| {
        style.visuals = visuals(colours);
        // Nothing moves by itself: an unchanged view costs nothing.
        style.animation_time = 0.0;
        style.scroll_animation = egui::style::ScrollAnimation::none();
        style.interaction.tooltip_delay = 0.35;
        style.interaction.selectable_labels = false;
        style.spacing.scroll = egui::style::ScrollStyle::solid();
        style.spacing.scroll.bar_width = 8.0;
        // The colour of a control is hardly another than that of the ground.
        style.spacing.scroll.foreground_color = true;
        style.spacing.interact_size.y = 24.0;
        style.spacing.button_padding = egui::vec2(10.0, 5.0);
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

fn visuals(c: &Colours) -> Visuals {
    let mut v = if c.dark { Visuals::dark() } else { Visuals::light() };
    v.panel_fill = c.panel;
    v.window_fill = c.panel;
    v.window_stroke = Stroke::new(1.0, c.line);
    v.override_text_color = Some(c.text);
    v.weak_text_color = Some(c.text_weak);
    v.hyperlink_color = c.link;
    v.warn_fg_color = c.warning;
    v.error_fg_color = c.off_sign;
    v.extreme_bg_color = c.field;
    v.text_edit_bg_color = Some(c.field);
    v.faint_bg_color = c.card;
    v.window_shadow = egui::Shadow::NONE;
    v.popup_shadow = egui::Shadow::NONE;
    v.selection.bg_fill = if c.dark { colour(0x0029_4d80) } else { colour(0x00b5_d2f6) };
    v.selection.stroke = Stroke::new(2.0, c.focus);
    v.text_cursor.stroke = Stroke::new(2.0, c.focus);
    v.slider_trailing_fill = true;
    let w = &mut v.widgets;
    let all = [&mut w.noninteractive, &mut w.inactive, &mut w.hovered, &mut w.active, &mut w.open];
    for (i, one) in all.into_iter().enumerate() {
        one.corner_radius = CornerRadius::same(6);
        one.expansion = 0.0;
        one.fg_stroke = Stroke::new(1.5, c.text);
        one.bg_stroke = Stroke::new(1.0, c.line);
        let fill = match i {
            0 => c.panel,
            1 => c.control,
            _ => c.control_hover,
        };
        (one.bg_fill, one.weak_bg_fill) = (fill, fill);
    }
    // What has the keyboard's focus is drawn as active.
    w.active.bg_stroke = Stroke::new(2.0, c.focus);
    // Of this colour are the handles of what scrolls, at rest.
    w.inactive.fg_stroke.color = c.text_weak;
    v.disabled_alpha = DISABLED;
    v
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
        let worst = Color32::from_gray(255 - SHADE.a());
        for c in [&DARK, &LIGHT] {
            let mut pairs = vec![
                (c.text_off, c.control),
                (c.on_accent, c.accent),
                (ON_DARK, OFF),
                (ON_DARK, OFF_HOVER),
                (ON_DARK, worst),
                (OFF_ON_DARK, Color32::from_gray(24)),
                (ON_BADGE, BADGE),
                (c.warning, c.panel),
                (c.warning, c.card),
                (c.warning, c.control),
                (c.off_sign, c.panel),
                (c.off_sign, c.card),
            ];
            for ground in
                [c.stage, c.card, c.panel, c.field, c.own, c.control, c.control_hover, visuals(c).selection.bg_fill]
            {
                pairs.push((c.text, ground));
            }
            for ground in [c.stage, c.card, c.panel, c.field, c.own, c.control] {
                pairs.push((c.text_weak, ground));
            }
            for ground in [c.panel, c.own] {
                pairs.extend(c.names.iter().chain([&c.link, &c.own_text]).map(|name| (*name, ground)));
            }
            pairs.extend(PEOPLE.iter().map(|ground| (ON_DARK, *ground)));
            for (text, ground) in pairs {
                assert!(contrast(text, ground) >= 4.5, "{text:?} on {ground:?}: {:.2}", contrast(text, ground));
            }
            for (sign, ground) in [(c.talking, c.stage), (c.focus, c.panel), (c.focus, c.stage), (c.focus, c.control)] {
                assert!(contrast(sign, ground) >= 3.0, "{sign:?} on {ground:?}: {:.2}", contrast(sign, ground));
            }
        }
    }

    #[test]
    fn what_cannot_be_used_now_is_readable_as_well() {
        let mixed = |over: Color32, ground: Color32| {
            let mix = |a: u8, b: u8| (f32::from(a) * DISABLED + f32::from(b) * (1.0 - DISABLED)).round() as u8;
            Color32::from_rgb(mix(over.r(), ground.r()), mix(over.g(), ground.g()), mix(over.b(), ground.b()))
        };
        for c in [&DARK, &LIGHT] {
            for ground in [c.panel, c.stage, c.card, c.own] {
                let (control, bare) = (mixed(c.control, ground), mixed(c.text, ground));
                let text = mixed(c.text, control);
                assert!(contrast(text, control) >= 4.5, "{ground:?}: {:.2}", contrast(text, control));
                assert!(contrast(bare, ground) >= 4.5, "{ground:?}: {:.2}", contrast(bare, ground));
            }
        }
    }

    #[test]
    fn what_scrolls_and_how_loud_one_is_can_be_seen_on_every_ground() {
        for c in [&DARK, &LIGHT] {
            let handle = visuals(c).widgets.inactive.fg_stroke.color;
            for ground in [c.field, c.panel, c.stage] {
                assert!(contrast(handle, ground) >= 3.0, "{handle:?} on {ground:?}");
                // The frame of the meter.
                assert!(contrast(c.text_weak, ground) >= 3.0, "{ground:?}");
            }
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
    fn people_have_colours_of_their_own() {
        assert_eq!(person("7a"), person("7a"));
        let hues: std::collections::BTreeSet<usize> = (0..40_u64).map(|n| hue(&format!("{n:032x}"))).collect();
        assert!(hues.len() >= 8, "{hues:?}");
    }
}

//! The signs on controls and tiles, drawn as vectors so that they need no font and scale with everything else.
//!
//! Each is drawn in a square of side `size` around `centre`.

use egui::epaint::PathShape;
use egui::{
    Color32, Id, Painter, Pos2, Rect, Response, Sense, Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, WidgetType,
    pos2, vec2,
};

use crate::ui::theme::Colours;

/// What a control shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    /// A microphone.
    Microphone,
    /// A microphone struck out.
    MicrophoneOff,
    /// A camera.
    Camera,
    /// A camera struck out.
    CameraOff,
    /// An open hand.
    Hand,
    /// Bars of a chart.
    Statistics,
    /// A question mark.
    Help,
    /// A door with an arrow out of it.
    Leave,
    /// A page back.
    Back,
    /// A page on.
    Forward,
    /// A balloon with lines.
    Chat,
    /// Two people.
    People,
    /// Three sliders.
    Settings,
    /// A face that smiles.
    Smile,
    /// Four tiles.
    Grid,
    /// A large tile beside small ones.
    Speaker,
    /// A paper plane.
    Send,
    /// A cross.
    Close,
    /// An arrow that turns back.
    Reply,
    /// A padlock.
    Lock,
    /// A plus.
    Plus,
    /// Two sheets.
    Copy,
    /// A loudspeaker.
    Sound,
    /// A loudspeaker struck out.
    SoundOff,
    /// A megaphone.
    Megaphone,
    /// A pin.
    Pin,
    /// A paper clip.
    Clip,
    /// A sheet with a corner folded.
    File,
    /// A triangle to the right.
    Play,
    /// Two bars.
    Pause,
    /// A square.
    Stop,
    /// An arrow onto a line.
    Save,
}

/// Draws `icon`; `ground` is the colour behind it, which sets a stroke through it apart.
pub fn draw(painter: &Painter, icon: Icon, centre: Pos2, size: f32, colour: Color32, ground: Color32) {
    let line = Stroke::new((size * 0.09).max(1.2), colour);
    let at = |x: f32, y: f32| centre + vec2(x, y) * size;
    match icon {
        Icon::Microphone => microphone(painter, centre, size, colour, line),
        Icon::MicrophoneOff => {
            microphone(painter, centre, size, colour, line);
            strike(painter, centre, size, line, ground);
        }
        Icon::Camera => camera(painter, centre, size, colour),
        Icon::CameraOff => {
            camera(painter, centre, size, colour);
            strike(painter, centre, size, line, ground);
        }
        Icon::Hand => hand(painter, centre, size, colour),
        Icon::Statistics => {
            for (x, height) in [(-0.28, 0.34), (0.0, 0.74), (0.28, 0.54)] {
                let bar = Rect::from_min_max(at(x - 0.09, 0.4 - height), at(x + 0.09, 0.4));
                painter.rect_filled(bar, size * 0.05, colour);
            }
        }
        Icon::Help => help(painter, centre, size, line),
        Icon::Leave => {
            painter.add(path(
                &[at(0.08, -0.24), at(0.08, -0.4), at(-0.36, -0.4), at(-0.36, 0.4), at(0.08, 0.4), at(0.08, 0.24)],
                line,
            ));
            painter.line_segment([at(-0.1, 0.0), at(0.42, 0.0)], line);
            painter.add(path(&[at(0.25, -0.17), at(0.42, 0.0), at(0.25, 0.17)], line));
        }
        Icon::Chat => chat(painter, centre, size, line),
        Icon::People => {
            for (x, y, scale) in [(0.2, 0.0, 0.82), (-0.14, 0.04, 1.0)] {
                painter.circle(at(x, y - 0.2 * scale), size * 0.17 * scale, colour, Stroke::new(line.width, ground));
                let mut body =
                    arc(at(x, y + 0.38 * scale), size * 0.3 * scale, std::f32::consts::PI, std::f32::consts::TAU, 12);
                body.push(body[0]);
                painter.add(Shape::convex_polygon(body, colour, Stroke::new(line.width, ground)));
            }
        }
        Icon::Settings => {
            for (y, x) in [(-0.28, 0.14), (0.0, -0.16), (0.28, 0.06)] {
                painter.line_segment([at(-0.4, y), at(0.4, y)], line);
                painter.circle(at(x, y), size * 0.1, ground, line);
            }
        }
        Icon::Smile => {
            painter.circle_stroke(centre, size * 0.42, line);
            painter.circle_filled(at(-0.15, -0.1), line.width * 0.7, colour);
            painter.circle_filled(at(0.15, -0.1), line.width * 0.7, colour);
            painter.add(path(&arc(at(0.0, 0.04), size * 0.2, 0.35, std::f32::consts::PI - 0.35, 8), line));
        }
        Icon::Grid => {
            for (x, y) in [(-0.4, -0.36), (0.04, -0.36), (-0.4, 0.04), (0.04, 0.04)] {
                painter.rect_filled(Rect::from_min_size(at(x, y), vec2(0.36, 0.32) * size), size * 0.05, colour);
            }
        }
        Icon::Speaker => {
            painter.rect_filled(Rect::from_min_max(at(-0.42, -0.34), at(0.14, 0.34)), size * 0.05, colour);
            for y in [-0.34, -0.1, 0.14] {
                painter.rect_filled(Rect::from_min_size(at(0.22, y), vec2(0.2, 0.2) * size), size * 0.03, colour);
            }
        }
        Icon::Send => {
            painter.add(Shape::convex_polygon(
                vec![at(-0.4, -0.38), at(0.44, 0.0), at(-0.28, 0.0)],
                colour,
                Stroke::NONE,
            ));
            painter.add(Shape::convex_polygon(
                vec![at(-0.28, 0.05), at(0.44, 0.05), at(-0.4, 0.42)],
                colour,
                Stroke::NONE,
            ));
        }
        Icon::Close => {
            painter.line_segment([at(-0.28, -0.28), at(0.28, 0.28)], line);
            painter.line_segment([at(-0.28, 0.28), at(0.28, -0.28)], line);
        }
        Icon::Reply => {
            painter.add(path(&[at(-0.08, -0.36), at(-0.4, -0.06), at(-0.08, 0.24)], line));
            painter.add(path(&[at(-0.4, -0.06), at(0.14, -0.06), at(0.36, 0.08), at(0.42, 0.36)], line));
        }
        Icon::Lock => {
            painter.rect_filled(Rect::from_min_max(at(-0.3, -0.04), at(0.3, 0.42)), size * 0.06, colour);
            let mut bow = arc(at(0.0, -0.16), size * 0.2, std::f32::consts::PI, std::f32::consts::TAU, 10);
            bow.insert(0, at(-0.2, 0.0));
            bow.push(at(0.2, 0.0));
            painter.add(path(&bow, line));
        }
        Icon::Plus => {
            painter.line_segment([at(-0.32, 0.0), at(0.32, 0.0)], line);
            painter.line_segment([at(0.0, -0.32), at(0.0, 0.32)], line);
        }
        Icon::Copy => {
            painter.rect_stroke(
                Rect::from_min_max(at(-0.34, -0.38), at(0.14, 0.2)),
                size * 0.06,
                line,
                StrokeKind::Middle,
            );
            painter.rect(
                Rect::from_min_max(at(-0.12, -0.18), at(0.36, 0.4)),
                size * 0.06,
                ground,
                line,
                StrokeKind::Middle,
            );
        }
        Icon::Sound | Icon::SoundOff => {
            let horn =
                [at(-0.42, -0.13), at(-0.22, -0.13), at(0.04, -0.36), at(0.04, 0.36), at(-0.22, 0.13), at(-0.42, 0.13)];
            painter.rect_filled(Rect::from_min_max(horn[0], at(-0.2, 0.13)), 0, colour);
            painter.add(Shape::convex_polygon(vec![horn[1], horn[2], horn[3], horn[4]], colour, Stroke::NONE));
            if icon == Icon::Sound {
                painter.add(path(&arc(at(0.04, 0.0), size * 0.2, -0.8, 0.8, 8), line));
                painter.add(path(&arc(at(0.04, 0.0), size * 0.36, -0.8, 0.8, 10), line));
            } else {
                strike(painter, centre, size, line, ground);
            }
        }
        Icon::Megaphone => {
            let cone = [at(-0.24, -0.14), at(0.26, -0.38), at(0.26, 0.38), at(-0.24, 0.14)];
            painter.rect_filled(Rect::from_min_max(at(-0.44, -0.14), at(-0.22, 0.14)), 1, colour);
            painter.add(Shape::convex_polygon(cone.to_vec(), colour, Stroke::NONE));
            painter.add(path(&[at(-0.28, 0.14), at(-0.2, 0.42), at(-0.06, 0.42), at(-0.12, 0.2)], line));
            painter.line_segment([at(0.42, -0.16), at(0.42, 0.16)], line);
        }
        Icon::Pin => {
            painter.rect_filled(Rect::from_min_max(at(-0.16, -0.42), at(0.16, 0.0)), size * 0.05, colour);
            painter.rect_filled(Rect::from_min_max(at(-0.28, 0.0), at(0.28, 0.1)), size * 0.03, colour);
            painter.line_segment([at(0.0, 0.1), at(0.0, 0.46)], line);
        }
        Icon::Clip => {
            let mut clip = vec![at(0.2, -0.14), at(0.2, 0.2)];
            clip.extend(arc(at(0.0, 0.2), size * 0.2, 0.0, std::f32::consts::PI, 8));
            clip.extend(arc(at(-0.07, -0.28), size * 0.13, std::f32::consts::PI, std::f32::consts::TAU, 8));
            clip.extend(arc(at(-0.01, 0.18), size * 0.07, 0.0, std::f32::consts::PI, 6));
            clip.push(at(-0.08, -0.14));
            painter.add(path(&clip, line));
        }
        Icon::File => {
            let (left, fold) = (at(-0.28, -0.42), at(0.08, -0.42));
            painter.add(path(&[fold, left, at(-0.28, 0.42), at(0.3, 0.42), at(0.3, -0.2), fold], line));
            painter.add(path(&[fold, at(0.08, -0.2), at(0.3, -0.2)], line));
        }
        Icon::Play => {
            let triangle = vec![at(-0.24, -0.36), at(0.38, 0.0), at(-0.24, 0.36)];
            painter.add(Shape::convex_polygon(triangle, colour, Stroke::NONE));
        }
        Icon::Pause => {
            for x in [-0.28, 0.08] {
                painter.rect_filled(Rect::from_min_max(at(x, -0.34), at(x + 0.2, 0.34)), 1, colour);
            }
        }
        Icon::Stop => drop(painter.rect_filled(Rect::from_min_max(at(-0.3, -0.3), at(0.3, 0.3)), 1, colour)),
        Icon::Save => {
            painter.line_segment([at(0.0, -0.42), at(0.0, 0.16)], line);
            painter.add(path(&[at(-0.24, -0.08), at(0.0, 0.16), at(0.24, -0.08)], line));
            painter.line_segment([at(-0.36, 0.4), at(0.36, 0.4)], line);
        }
        Icon::Back => drop(painter.add(path(&[at(0.15, -0.3), at(-0.15, 0.0), at(0.15, 0.3)], line))),
        Icon::Forward => drop(painter.add(path(&[at(-0.15, -0.3), at(0.15, 0.0), at(-0.15, 0.3)], line))),
    }
}

fn chat(painter: &Painter, centre: Pos2, size: f32, line: Stroke) {
    let at = |x: f32, y: f32| centre + vec2(x, y) * size;
    let balloon = Rect::from_min_max(at(-0.42, -0.36), at(0.42, 0.2));
    painter.rect_stroke(balloon, size * 0.1, line, StrokeKind::Middle);
    painter.add(path(&[at(-0.22, 0.2), at(-0.22, 0.42), at(0.0, 0.2)], line));
    painter.line_segment([at(-0.22, -0.16), at(0.22, -0.16)], line);
    painter.line_segment([at(-0.22, 0.0), at(0.08, 0.0)], line);
}

fn path(points: &[Pos2], stroke: Stroke) -> Shape {
    Shape::Path(PathShape::line(points.to_vec(), stroke))
}

fn arc(centre: Pos2, radius: f32, from: f32, to: f32, steps: usize) -> Vec<Pos2> {
    (0..=steps)
        .map(|i| {
            let angle = from + (to - from) * i as f32 / steps as f32;
            centre + vec2(angle.cos(), angle.sin()) * radius
        })
        .collect()
}

fn microphone(painter: &Painter, centre: Pos2, size: f32, colour: Color32, line: Stroke) {
    let capsule = Rect::from_center_size(centre + vec2(0.0, -0.16) * size, vec2(0.28, 0.56) * size);
    painter.rect_filled(capsule, size * 0.14, colour);
    let cup = arc(centre + vec2(0.0, -0.04) * size, size * 0.28, std::f32::consts::PI, 0.0, 12);
    painter.add(path(&cup, line));
    painter.line_segment([centre + vec2(0.0, 0.24) * size, centre + vec2(0.0, 0.42) * size], line);
    painter.line_segment([centre + vec2(-0.16, 0.42) * size, centre + vec2(0.16, 0.42) * size], line);
}

fn camera(painter: &Painter, centre: Pos2, size: f32, colour: Color32) {
    let at = |x: f32, y: f32| centre + vec2(x, y) * size;
    painter.rect_filled(Rect::from_min_max(at(-0.46, -0.28), at(0.18, 0.28)), size * 0.09, colour);
    let lens = vec![at(0.22, -0.04), at(0.46, -0.22), at(0.46, 0.22), at(0.22, 0.04)];
    painter.add(Shape::convex_polygon(lens, colour, Stroke::NONE));
}

fn hand(painter: &Painter, centre: Pos2, size: f32, colour: Color32) {
    let at = |x: f32, y: f32| centre + vec2(x, y) * size;
    let finger = Stroke::new(size * 0.13, colour);
    for (x, top) in [(-0.24, -0.26), (-0.08, -0.42), (0.08, -0.42), (0.24, -0.3)] {
        painter.line_segment([at(x, top), at(x, 0.1)], finger);
    }
    painter.line_segment([at(-0.44, -0.02), at(-0.22, 0.24)], finger);
    painter.rect_filled(Rect::from_min_max(at(-0.305, -0.02), at(0.305, 0.42)), size * 0.16, colour);
}

fn help(painter: &Painter, centre: Pos2, size: f32, line: Stroke) {
    let at = |x: f32, y: f32| centre + vec2(x, y) * size;
    let mut hook = arc(at(0.0, -0.18), size * 0.2, -std::f32::consts::PI, 0.6, 12);
    hook.push(at(0.0, 0.08));
    hook.push(at(0.0, 0.18));
    painter.add(path(&hook, line));
    painter.circle_filled(pos2(centre.x, centre.y + 0.36 * size), line.width * 0.75, line.color);
}

fn strike(painter: &Painter, centre: Pos2, size: f32, line: Stroke, ground: Color32) {
    let (from, to) = (centre + vec2(-0.42, -0.42) * size, centre + vec2(0.42, 0.42) * size);
    let beside = vec2(1.0, -1.0) * line.width * 0.7;
    painter.line_segment([from + beside, to + beside], Stroke::new(line.width * 1.2, ground));
    painter.line_segment([from, to], line);
}

/// A ring around something that has the keyboard's focus.
pub fn focus_ring(painter: &Painter, rect: Rect, radius: u8, colours: &Colours) {
    painter.rect_stroke(rect, radius, Stroke::new(2.0, colours.focus), StrokeKind::Outside);
}

/// Size of a small button.
pub const BUTTON: Vec2 = vec2(28.0, 26.0);

/// A small button that is nothing but a sign; `name` says what it does, to eyes as a tooltip.
pub fn button(ui: &mut Ui, icon: Icon, name: &str, enabled: bool, colours: &Colours) -> Response {
    let (id, place) = ui.allocate_space(BUTTON);
    let rect = ui.layout().align_size_within_rect(BUTTON, place);
    button_at(ui, rect, id, icon, name, enabled, colours)
}

/// As [`button`], at a place and of an id of its own: it can be held while other things come and go before it.
pub fn button_at(ui: &Ui, rect: Rect, id: Id, icon: Icon, name: &str, enabled: bool, colours: &Colours) -> Response {
    let response = ui.interact(rect, id, if enabled { Sense::click() } else { Sense::hover() });
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, enabled, name));
    let hot = enabled && (response.hovered() || response.is_pointer_button_down_on());
    let ground = if hot { colours.control_hover } else { colours.control };
    let painter = ui.painter();
    painter.rect_filled(rect, 6, ground);
    draw(painter, icon, rect.center(), 15.0, if enabled { colours.text } else { colours.text_off }, ground);
    if response.has_focus() {
        painter.rect_stroke(rect, 6, Stroke::new(2.0, colours.focus), StrokeKind::Inside);
    }
    response.on_hover_text(name)
}

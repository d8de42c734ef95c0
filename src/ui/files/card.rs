//! One file, as the panel and the chat show it: what it is, what can be done with it, how far it is, and who has it.

use egui::{Button, Frame, Image, Label, Margin, ProgressBar, RichText, TextEdit, Ui, vec2};

use super::pictures::{Pictures, Seen};
use crate::conference::FileRecipient;
use crate::conference::files::size;
use crate::conference::view::{Command, FileState, FileView};
use crate::ui::look::Look;
use crate::ui::text::visible;
use crate::ui::words::{Words, fill};

/// Highest picture, in points.
const PICTURE: f32 = 200.0;
/// People named before it is only said how many more there are.
const NAMED: usize = 12;

/// What cards remember: the folder being typed for which offer, and pictures.
#[derive(Default)]
pub struct Cards {
    saving: Option<(String, String)>,
    /// Pictures that came.
    pub pictures: Pictures,
}

impl Cards {
    /// Draws `file`; what is asked for is appended.
    pub fn show(&mut self, ui: &mut Ui, file: &FileView, look: Look, commands: &mut Vec<Command>) {
        let c = look.colours;
        let frame = Frame::new().fill(c.own).corner_radius(6).inner_margin(Margin::symmetric(10, 7));
        ui.push_id(("file", &file.offer), |ui| {
            frame.show(ui, |ui| {
                ui.set_width(ui.available_width());
                ui.spacing_mut().item_spacing = vec2(6.0, 3.0);
                heading(ui, file, look);
                let most = vec2(ui.available_width(), PICTURE);
                match self.pictures.of(ui, file, most) {
                    Some(Seen::Picture(texture)) => {
                        let image = Image::from_texture(&texture).max_size(most);
                        ui.add(image.corner_radius(4).alt_text(visible(&file.name).into_owned()));
                    }
                    Some(Seen::Place(size)) => drop(ui.allocate_space(size)),
                    None => {}
                }
                match &file.state {
                    FileState::Offered | FileState::Declined => self.answer(ui, file, look, commands),
                    FileState::Receiving => progress(ui, file, look, commands),
                    FileState::Sending => {
                        let waited = file.recipients.iter().any(|r| matches!(r.state, "receives" | "behind"));
                        if waited {
                            bar(ui, file, look);
                        }
                        recipients(ui, &file.recipients, look);
                        if ui.button(look.words.take_back).clicked() {
                            commands.push(Command::Decline(file.offer.clone()));
                        }
                    }
                    FileState::Here(path) => {
                        let path = path.display().to_string();
                        let text = fill(look.words.saved_as, &[&visible(&path)]);
                        ui.add(Label::new(RichText::new(text).size(13.0).color(c.text_weak)).wrap());
                    }
                    FileState::Waiting(why) => {
                        progress(ui, file, look, commands);
                        ui.add(
                            Label::new(RichText::new(visible(&look.words.report(why))).size(13.0).color(c.text_weak))
                                .wrap(),
                        );
                    }
                    FileState::Failed(why) => {
                        let text = format!("! {}", visible(&look.words.report(why)));
                        ui.add(Label::new(RichText::new(text).size(13.0).color(c.warning)).wrap());
                    }
                }
            });
        });
    }

    fn answer(&mut self, ui: &mut Ui, file: &FileView, look: Look, commands: &mut Vec<Command>) {
        let (c, w) = (look.colours, look.words);
        if file.state == FileState::Declined {
            ui.label(RichText::new(w.declined).size(13.0).color(c.text_weak));
        }
        let saves = self.saving.as_ref().is_some_and(|(offer, _)| *offer == file.offer);
        ui.horizontal_wrapped(|ui| {
            let accept = Button::new(RichText::new(w.accept).color(c.on_accent)).fill(c.accent);
            if ui.add(accept).clicked() {
                commands.push(Command::Accept(file.offer.clone(), None));
            }
            if file.state == FileState::Offered && ui.button(w.decline).clicked() {
                commands.push(Command::Decline(file.offer.clone()));
            }
            if ui.button(w.always).on_hover_text(fill(w.always_tip, &[&visible(&file.from)])).clicked() {
                commands.push(Command::AcceptAlways(file.offer.clone()));
            }
            if ui.add(Button::new(w.save_in).selected(saves)).clicked() {
                self.saving = (!saves).then(|| (file.offer.clone(), String::new()));
            }
        });
        let Some((_, folder)) = self.saving.as_mut().filter(|(offer, _)| *offer == file.offer) else { return };
        let mut done = false;
        ui.horizontal(|ui| {
            let hint = RichText::new(w.folder_hint).color(c.text_weak);
            let field = TextEdit::singleline(folder).hint_text(hint).desired_width(ui.available_width() - 70.0);
            let entered = ui.add(field).lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            done = (ui.add_enabled(!folder.trim().is_empty(), Button::new(w.save)).clicked() || entered)
                && !folder.trim().is_empty();
        });
        if done {
            commands.push(Command::Accept(file.offer.clone(), Some(folder.trim().into())));
            self.saving = None;
        }
    }
}

fn heading(ui: &mut Ui, file: &FileView, look: Look) {
    let (c, w) = (look.colours, look.words);
    let name = match &file.voice {
        Some(_) => w.voice_message.to_owned(),
        None => visible(&file.name).into_owned(),
    };
    ui.add(Label::new(RichText::new(name).strong().color(c.text)).truncate());
    let mut facts = match file.own {
        true => w.you_offer.to_owned(),
        false => fill(w.offered_by, &[&visible(&file.from)]),
    };
    for part in [&*size(file.size), &*visible(&file.kind), if file.private { w.private_file } else { "" }] {
        if !part.is_empty() {
            facts = format!("{facts} · {part}");
        }
    }
    ui.add(Label::new(RichText::new(facts).size(13.0).color(c.text_weak)).wrap());
}

fn progress(ui: &mut Ui, file: &FileView, look: Look, commands: &mut Vec<Command>) {
    bar(ui, file, look);
    if ui.button(look.words.stop).clicked() {
        commands.push(Command::Decline(file.offer.clone()));
    }
}

/// How much, how fast, and how long it will take.
fn bar(ui: &mut Ui, file: &FileView, look: Look) {
    let (c, w) = (look.colours, look.words);
    let share = file.bytes as f32 / file.size.max(1) as f32;
    ui.add(ProgressBar::new(share).desired_height(8.0).fill(c.accent));
    let mut text = fill(w.part_of, &[&size(file.bytes.min(file.size)), &size(file.size)]);
    if file.bits_per_s > 0.0 {
        text = format!("{text} · {:.0} Mbit/s", file.bits_per_s / 1e6);
        let left = file.size.saturating_sub(file.bytes) as f64 * 8.0 / file.bits_per_s;
        if left > 0.0 {
            text = format!("{text} · {}", fill(w.time_left, &[&crate::ui::toolbar::elapsed(left.ceil() as u64)]));
        }
    }
    ui.label(RichText::new(text).size(13.0).color(c.text_weak));
}

/// Who has it, who is behind, who declined: those who still wait first.
fn recipients(ui: &mut Ui, all: &[FileRecipient], look: Look) {
    let (c, w) = (look.colours, look.words);
    let place = |r: &FileRecipient| ["behind", "receives", "asked", "has it"].iter().position(|s| *s == r.state);
    let mut sorted: Vec<&FileRecipient> = all.iter().collect();
    sorted.sort_by_key(|r| place(r).unwrap_or(9));
    for one in sorted.iter().take(NAMED) {
        let mut text = format!("{}: {}", visible(&one.name), state(one, w));
        if matches!(one.state, "receives" | "behind") {
            text = format!("{text}, {:.0} %", 100.0 * one.part);
        }
        let colour = match one.state {
            "has it" => c.own_text,
            "behind" => c.warning,
            _ => c.text_weak,
        };
        ui.add(Label::new(RichText::new(text).size(13.0).color(colour)).truncate());
    }
    if sorted.len() > NAMED {
        let text = fill(w.and_more, &[&(sorted.len() - NAMED)]);
        ui.label(RichText::new(text).size(13.0).color(c.text_weak));
    }
}

fn state(one: &FileRecipient, w: &Words) -> &'static str {
    match one.state {
        "asked" => w.file_asked,
        "receives" => w.file_receives,
        "behind" => w.file_behind,
        "declined" => w.file_declined,
        "has it" => w.file_has,
        _ => w.file_left,
    }
}

//! "Why can I not see Bob?": a card over the stage with what the doctor found, which blocks nothing and stays until it is
//! closed.
//!
//! ```text
//! +------------------------------------+
//! | Why can I not see Bob?           x |
//! | it is you: this machine's firewall |
//! | drops what comes by multicast      |
//! |   sudo nft ...                     |
//! +------------------------------------+
//! ```

use std::sync::Arc;

use egui::{Align, Area, Context, Id, Label, Layout, Order, Rect, RichText, ScrollArea, vec2};

use crate::conference::view::{Command, View};
use crate::protocol::doctor::{Finding, Report, Severity, Where};
use crate::ui::icons::{self, Icon};
use crate::ui::look::Look;
use crate::ui::overlay::panel;
use crate::ui::text::visible;
use crate::ui::words::fill;

/// Width of the card, in points, where there is room for it.
const WIDTH: f32 = 380.0;
/// Findings shown: the worst come first.
const FINDINGS_SHOWN: usize = 4;

/// The card.
#[derive(Default)]
pub struct Card {
    asked: Option<Asked>,
    /// Counts what was asked, so that a change of it is noticed.
    version: u64,
}

/// What was asked, and the report there was before.
struct Asked {
    about: String,
    before: Option<Arc<Report>>,
}

impl Card {
    /// Asks why somebody is not seen.
    pub fn ask(&mut self, about: &str, view: &View, commands: &mut Vec<Command>) {
        self.asked = Some(Asked { about: about.to_owned(), before: view.examined.clone() });
        self.version += 1;
        commands.push(Command::Doctor(Some(about.to_owned())));
    }

    /// Differs when the card would look different: by what was asked, and by the report.
    pub fn digest(&self, view: &View) -> (u64, usize) {
        (self.version, view.examined.as_ref().map_or(0, |report| Arc::as_ptr(report) as usize))
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.asked.is_some()
    }

    /// Closes it.
    pub fn close(&mut self) {
        self.asked = None;
        self.version += 1;
    }

    /// Draws it, at the upper left of the stage.
    pub fn show(&mut self, context: &Context, stage: Rect, view: &View, look: Look) {
        let Some(asked) = &self.asked else { return };
        let (c, w) = (look.colours, look.words);
        let known = |report: &&Arc<Report>| !asked.before.as_ref().is_some_and(|before| Arc::ptr_eq(before, report));
        let report = view.examined.as_ref().filter(known);
        let width = (stage.width() - 50.0).clamp(120.0, WIDTH);
        let mut closes = false;
        let corner = stage.min + vec2(8.0, 8.0);
        let area = Area::new(Id::new("doctor")).order(Order::Foreground).fixed_pos(corner);
        area.show(context, |ui| {
            panel(look).show(ui, |ui| {
                ui.set_width(width);
                ui.allocate_ui(vec2(width, 24.0), |ui| {
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        closes = icons::button(ui, Icon::Close, w.close, true, c).clicked();
                        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                            let title = fill(w.why_not_seen, &[&visible(&asked.about)]);
                            ui.add(Label::new(RichText::new(title).strong()).truncate());
                        });
                    });
                });
                ui.add_space(4.0);
                let Some(report) = report else {
                    ui.add(Label::new(RichText::new(w.examining).color(c.text_weak)).wrap());
                    return;
                };
                let room = (stage.height() - 110.0).max(60.0);
                ScrollArea::vertical().max_height(room).min_scrolled_height(room).show(ui, |ui| {
                    let found = concerning(&report.findings, &asked.about);
                    if found.is_empty() {
                        ui.add(Label::new(w.no_fault).wrap());
                    }
                    for finding in found {
                        let own = finding.place == Where::Here && finding.code != "not_examined";
                        let whose = if own { w.it_is_you } else { "" };
                        let text = RichText::new(format!("{whose}{}", visible(&w.report(&finding.text))));
                        let fault = finding.severity == Severity::Fault;
                        ui.add(Label::new(text.color(if fault { c.warning } else { c.text })).wrap());
                        if let Some(mend) = &finding.mend {
                            ui.add(
                                Label::new(RichText::new(visible(&w.report(mend))).monospace().color(c.text_weak))
                                    .wrap(),
                            );
                        }
                        ui.add_space(6.0);
                    }
                });
            });
        });
        if closes {
            self.close();
            context.request_repaint();
        }
    }
}

/// What concerns somebody: their own, this machine's and the network's, the worst first; hints only when there is nothing
/// worse.
fn concerning<'a>(findings: &'a [Finding], about: &str) -> Vec<&'a Finding> {
    let concerns = |f: &&Finding| match &f.place {
        Where::Peer(who) => who.split(", ").any(|name| name == about),
        Where::Here | Where::Network => true,
    };
    let mut found: Vec<&Finding> = findings.iter().filter(concerns).collect();
    if found.iter().any(|f| f.severity == Severity::Fault) {
        found.retain(|f| f.severity == Severity::Fault);
    }
    found.truncate(FINDINGS_SHOWN);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, place: Where) -> Finding {
        Finding { code: "loss", severity, place, text: "t".into(), mend: None }
    }

    #[test]
    fn faults_of_whom_it_is_about_are_told_and_hints_only_without_them() {
        let (bob, cyd) = (Where::Peer("Bob, Dee".into()), Where::Peer("Cyd".into()));
        let all =
            [finding(Severity::Fault, cyd), finding(Severity::Fault, bob), finding(Severity::Warning, Where::Here)];
        let places = |about| concerning(&all, about).iter().map(|f| f.severity).collect::<Vec<_>>();
        assert_eq!(places("Bob"), [Severity::Fault]);
        assert_eq!(places("Zoe"), [Severity::Warning]);
        assert!(concerning(&[], "Bob").is_empty());
    }

    #[test]
    fn the_report_of_before_is_not_taken_for_the_answer() {
        let (mut card, mut view, mut commands) = (Card::default(), View::default(), Vec::new());
        view.examined = Some(Arc::new(Report::of(Default::default())));
        let before = card.digest(&view);
        card.ask("Bob", &view, &mut commands);
        assert_eq!(commands, [Command::Doctor(Some("Bob".into()))]);
        assert!(card.is_open() && card.digest(&view) != before);
        let asked = card.digest(&view);
        view.examined = Some(Arc::new(Report::of(Default::default())));
        assert_ne!(card.digest(&view), asked, "the answer is seen");
        card.close();
        assert!(!card.is_open());
    }
}

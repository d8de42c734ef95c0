//! Whatever has the keyboard is seen: what scrolls follows it.

use egui::{Id, Response, Ui, vec2};

/// So much beside it is shown as well, in points: the next thing the Tab key leads to is often just there.
const AROUND: f32 = 28.0;

/// Gives the keyboard to a field of what has just been opened. `frames` counts those it was drawn in, from 0: in the first one
/// the press that opened it takes the keyboard away again, being a press elsewhere.
pub fn begin(field: &Response, frames: &mut u8) {
    if *frames < 2 {
        *frames += 1;
        field.request_focus();
        field.ctx.request_repaint();
    }
}

/// To be called last in what scrolls: brings into sight what has got the keyboard since.
pub fn follow(ui: &Ui) {
    let key = ui.id().with("followed");
    let focused = ui.memory(|m| m.focused());
    let before: Option<Id> = ui.data_mut(|d| std::mem::replace(d.get_temp_mut_or_default(key), focused));
    let Some(id) = focused.filter(|id| before != Some(*id)) else { return };
    let Some(response) = ui.ctx().read_response(id) else { return };
    // What stands elsewhere is either seen whole, or outside of what scrolls here.
    let hidden = !response.interact_rect.contains_rect(response.rect);
    if hidden && response.layer_id == ui.layer_id() && ui.min_rect().intersects(response.rect) {
        ui.scroll_to_rect(response.rect.expand2(vec2(0.0, AROUND)), None);
        ui.ctx().request_repaint();
    }
}

//! Whatever has the keyboard is seen: what scrolls follows it.

use egui::{Id, Ui, vec2};

/// So much beside it is shown as well, in points: the next thing the Tab key leads to is often just there.
const AROUND: f32 = 28.0;

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

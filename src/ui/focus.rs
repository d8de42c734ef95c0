//! What the Tab key reaches is brought into view.

use egui::{Id, Ui};

/// Scrolls to what has just got the focus, if it is in here and not to be seen. To be called last inside a scroll area.
pub fn keep_in_view(ui: &Ui) {
    let context = ui.ctx();
    let now = context.memory(|m| m.focused());
    let remembered = ui.id().with("focus");
    let before: Option<Id> = context.data(|d| d.get_temp(remembered)).flatten();
    if now == before {
        return;
    }
    context.data_mut(|d| d.insert_temp(remembered, now));
    let Some(focused) = now.and_then(|id| context.read_response(id)) else { return };
    let here = focused.layer_id == ui.layer_id() && ui.min_rect().expand(4.0).contains_rect(focused.rect);
    if here && !ui.clip_rect().contains_rect(focused.rect) {
        ui.scroll_to_rect(focused.rect.expand(8.0), None);
        context.request_repaint();
    }
}

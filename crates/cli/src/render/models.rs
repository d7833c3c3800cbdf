//! The trust models, drawn.

use super::layout::{Page, Style, count};
use crate::models::ModelInUse;

const COLUMN: usize = 16;

/// Draws each model: three answers, what it is exposed to, and the anchors that rest on it.
pub fn models(models: &[ModelInUse], style: Style) -> String {
    let mut page = Page::new(style);
    for in_use in models {
        let model = in_use.model;
        let title = page.style.strong(model.name());
        page.line(&title);
        page.field(2, COLUMN, "authoritative", model.authority());
        page.field(2, COLUMN, "established", model.establishment());
        page.field(2, COLUMN, "propagates", model.propagation());
        page.field(2, COLUMN, "exposed to", &model.exposed_to().join(", "));
        let anchors = match in_use.anchors.as_slice() {
            [] => "none of yours".to_owned(),
            few if few.len() <= 6 => few.join("; "),
            many => count(many.len(), "anchor", "anchors"),
        };
        page.field(2, COLUMN, "rest on it", &anchors);
        page.gap();
    }
    page.finish()
}

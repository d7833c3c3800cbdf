//! The trust models, and which anchors of the reader's own rest on each.

use avouch_api::TrustDocument;
use avouch_core::reason::printable;
use avouch_core::verdict::TrustModel;
use serde_json::{Value, json};

use crate::anchors::refused;
use crate::arguments::{Common, ModelArguments};
use crate::fault::{Exit, Fault};
use crate::{output, render, trust};

/// A model, and the names of the anchors that rest on it.
#[derive(Debug)]
pub struct ModelInUse {
    /// The model.
    pub model: TrustModel,
    /// The anchors, in the order of their documents; safe to print.
    pub anchors: Vec<String>,
}

/// Tells what one model is, or all of them.
pub fn show(arguments: &ModelArguments, common: &Common) -> Result<Exit, Fault> {
    let mut documents = Vec::with_capacity(arguments.trust.len());
    for path in &arguments.trust {
        match trust::document(path, &common.tenant) {
            Ok(document) => documents.push(document),
            Err(stop) => return refused(stop, common),
        }
    }
    let models: Vec<ModelInUse> = match arguments.model {
        Some(model) => vec![in_use(model, &documents)],
        None => TrustModel::ALL
            .into_iter()
            .map(|model| in_use(model, &documents))
            .collect(),
    };
    output::formatted(
        common.output,
        || render::models(&models, output::style()),
        || Value::from_iter(models.iter().map(to_json)).to_string(),
    )?;
    Ok(Exit::Accepted)
}

fn in_use(model: TrustModel, documents: &[TrustDocument]) -> ModelInUse {
    let entries = documents.iter().flat_map(TrustDocument::entries);
    let anchors = entries.filter(|entry| model.ends_at(&entry.anchor.kind));
    ModelInUse {
        model,
        anchors: anchors.map(|entry| printable(&entry.anchor.name)).collect(),
    }
}

fn to_json(in_use: &ModelInUse) -> Value {
    let model = in_use.model;
    json!({
        "model": model.name(),
        "authority": model.authority(),
        "establishment": model.establishment(),
        "propagation": model.propagation(),
        "exposed_to": model.exposed_to(),
        "anchors": in_use.anchors,
    })
}

use axum::extract::{Path, State};
use axum::response::Response;
use stack_openai::{ApiError, Model, ModelList};

use crate::chat::{Llm, json};

const OWNER: &str = "mainstay";

/// `GET /v1/models`.
pub(crate) async fn list(State(llm): State<Llm>) -> Result<Response, ApiError> {
    json(&ModelList::new(llm.models.iter().cloned(), OWNER, llm.started))
}

/// `GET /v1/models/{model}`.
pub(crate) async fn show(State(llm): State<Llm>, Path(model): Path<String>) -> Result<Response, ApiError> {
    if llm.models.contains(&model) {
        json(&Model::new(model, OWNER, llm.started))
    } else {
        Err(ApiError::no_model(&model))
    }
}

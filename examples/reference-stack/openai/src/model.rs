use serde::{Deserialize, Serialize};

/// The answer of `GET /v1/models`: an object `list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelList {
    /// `list`.
    pub object: String,
    /// The models.
    pub data: Vec<Model>,
}

impl ModelList {
    /// These models, of this owner, since `created` in seconds since the Unix epoch.
    pub fn new(models: impl IntoIterator<Item = impl Into<String>>, owned_by: &str, created: u64) -> Self {
        let data = models.into_iter().map(|id| Model::new(id, owned_by, created)).collect();
        Self { object: "list".to_owned(), data }
    }
}

/// A model: an object `model`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub id: String,
    /// `model`.
    pub object: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// Its owner.
    pub owned_by: String,
}

impl Model {
    /// A model of this owner, since `created` in seconds since the Unix epoch.
    pub fn new(id: impl Into<String>, owned_by: &str, created: u64) -> Self {
        Self { id: id.into(), object: "model".to_owned(), created, owned_by: owned_by.to_owned() }
    }
}

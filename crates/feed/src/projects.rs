//! Filtered environments: each environment without a filter, and with each filter of its project.
//!
//! This is for consumers of the feed: its environments and filters go in, the environments to run come out, named `id`
//! or `id/key`.

use std::collections::{BTreeMap, BTreeSet};

/// What to do about one environment, filtered or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is new.
    Add(String),
    /// Its parameters changed.
    Update(String),
    /// It is gone.
    Delete(String),
}

/// A message that contradicts the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProjectError {
    /// No project has such an item, or several have.
    #[error("{0} projects had the item to delete, instead of one")]
    NotOne(usize),
    /// No environment or filter has named the project before.
    #[error("an update of an environment in an unknown project")]
    UnknownProject,
}

#[derive(Debug, Clone, Default)]
struct Project {
    environments: BTreeSet<String>,
    /// The key of each filter, by id.
    filters: BTreeMap<String, String>,
}

/// All projects named so far.
///
/// ```
/// use coalmine_feed::projects::{Change, Projects};
///
/// let mut projects = Projects::default();
/// projects.add_environment("production", "shop");
/// assert_eq!(projects.add_filter("shop.eu", "eu", "shop"), [Change::Add("production/eu".into())]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Projects(BTreeMap<String, Project>);

impl Projects {
    /// Adds an environment. One that exists already changes nothing.
    pub fn add_environment(&mut self, id: &str, project: &str) -> Vec<Change> {
        let project = self.0.entry(project.into()).or_default();
        if !project.environments.insert(id.into()) {
            return Vec::new();
        }
        project.variants(id).map(Change::Add).collect()
    }

    /// Updates an environment. One that its project does not have changes nothing.
    ///
    /// # Errors
    /// [`ProjectError::UnknownProject`].
    pub fn update_environment(&self, id: &str, project: &str) -> Result<Vec<Change>, ProjectError> {
        let project = self.0.get(project).ok_or(ProjectError::UnknownProject)?;
        if !project.environments.contains(id) {
            return Ok(Vec::new());
        }
        Ok(project.variants(id).map(Change::Update).collect())
    }

    /// Removes an environment from the project that has it.
    ///
    /// # Errors
    /// [`ProjectError::NotOne`] with the changes, if an environment moved between projects.
    pub fn delete_environment(&mut self, id: &str) -> (Vec<Change>, Result<(), ProjectError>) {
        let mut changes = Vec::new();
        let mut count: usize = 0;
        for project in self.0.values_mut() {
            if project.environments.remove(id) {
                changes.extend(project.variants(id).map(Change::Delete));
                count = count.saturating_add(1);
            }
        }
        (changes, one(count))
    }

    /// Adds a filter. One that exists already changes nothing.
    pub fn add_filter(&mut self, id: &str, key: &str, project: &str) -> Vec<Change> {
        let project = self.0.entry(project.into()).or_default();
        if project.filters.contains_key(id) {
            return Vec::new();
        }
        project.filters.insert(id.into(), key.into());
        project.filtered(key).map(Change::Add).collect()
    }

    /// Removes a filter from the project that has it.
    ///
    /// # Errors
    /// [`ProjectError::NotOne`] with the changes.
    pub fn delete_filter(&mut self, id: &str) -> (Vec<Change>, Result<(), ProjectError>) {
        let mut changes = Vec::new();
        let mut count: usize = 0;
        for project in self.0.values_mut() {
            if let Some(key) = project.filters.remove(id) {
                changes.extend(project.filtered(&key).map(Change::Delete));
                count = count.saturating_add(1);
            }
        }
        (changes, one(count))
    }

    /// The names of all environments, filtered ones included, project by project.
    pub fn environments(&self) -> impl Iterator<Item = String> {
        self.0.values().flat_map(|project| project.environments.iter().flat_map(|id| project.variants(id)))
    }

    /// All projects named so far; they stay when they are empty.
    pub fn projects(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Project {
    /// An environment without a filter, and with each filter.
    fn variants(&self, id: &str) -> impl Iterator<Item = String> {
        std::iter::once(id.to_owned()).chain(self.filters.values().map(move |key| format!("{id}/{key}")))
    }

    /// Each environment with one filter.
    fn filtered(&self, key: &str) -> impl Iterator<Item = String> {
        self.environments.iter().map(move |id| format!("{id}/{key}"))
    }
}

const fn one(count: usize) -> Result<(), ProjectError> {
    if count == 1 { Ok(()) } else { Err(ProjectError::NotOne(count)) }
}

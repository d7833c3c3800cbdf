//! Where the project is and what files it has.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing written by hand.
const GENERATED: [&str; 5] = ["target", "corpus", "artifacts", "coverage", "avouch-data"];

/// The root folder of the project.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace this tool belongs to.
    pub(crate) fn find() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            root: here.parent().unwrap_or(here).to_path_buf(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The text of a file; empty if there is none, which every check then reports in its own way.
    pub(crate) fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_default()
    }

    /// Every file under a folder of the project that ends in one of `endings`, by its path from
    /// the root, sorted.
    pub(crate) fn files(&self, folder: &str, endings: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.path(folder), &mut found);
        let mut relative: Vec<String> = found
            .iter()
            .filter_map(|path| path.strip_prefix(&self.root).ok())
            .map(|path| path.to_string_lossy().into_owned())
            .filter(|path| endings.iter().any(|ending| path.ends_with(ending)))
            .collect();
        relative.sort();
        relative
    }

    /// The names of the folders in a folder, sorted.
    pub(crate) fn folders(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if path.is_dir() {
            let hidden = name.starts_with('.') && name != ".ci";
            if !hidden && !GENERATED.contains(&name.as_ref()) {
                collect(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

//! Markdown tables, and files.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// A table under way.
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn new(head: Vec<String>) -> Self {
        let mut table = Self(String::new());
        let rule = vec!["---".to_owned(); head.len()];
        table.row(head);
        table.0.push_str(&format!("|{}|\n", rule.join("|")));
        table
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.0.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// Writes a file, and its folder if need be.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

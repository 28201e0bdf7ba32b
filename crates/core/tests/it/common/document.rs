//! FORMAT.md and RULES.md as their tables.

/// A table: its heading, the words of its first row, and the cells of the others, without backticks.
pub(crate) struct Table {
    pub(crate) heading: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

pub(crate) struct Document {
    pub(crate) tables: Vec<Table>,
    /// Blocks fenced as `hex KIND`: the kind, and the bytes in front of each line's remark.
    pub(crate) examples: Vec<(String, Vec<u8>)>,
}

pub(crate) fn document() -> Document {
    let path = format!("{}/FORMAT.md", env!("CARGO_MANIFEST_DIR"));
    Document::read(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

impl Document {
    pub(crate) fn read(text: &str) -> Self {
        let mut document = Document { tables: Vec::new(), examples: Vec::new() };
        let mut heading = String::new();
        let mut open = false;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(kind) = line.strip_prefix("```hex ") {
                let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                let bytes = body.iter().map(|line| line.split_whitespace().next().unwrap()).collect::<String>();
                document.examples.push((kind.into(), unhex(&bytes)));
            } else if line.starts_with('#') {
                heading = line.trim_start_matches(['#', ' ']).replace('`', "");
            }
            match line.strip_prefix("| ").and_then(|line| line.strip_suffix('|')) {
                None => open = false,
                Some(cells) => {
                    let cells: Vec<String> = cells.split('|').map(|cell| cell.replace('`', "").trim().into()).collect();
                    if open {
                        let table: &mut Table = document.tables.last_mut().unwrap();
                        assert_eq!(cells.len(), table.columns.len(), "{line}");
                        table.rows.push(cells);
                    } else {
                        let rule = lines.next().unwrap_or_default();
                        assert!(rule.starts_with("|---"), "a table without its rule: {line}");
                        document.tables.push(Table { heading: heading.clone(), columns: cells, rows: Vec::new() });
                        open = true;
                    }
                }
            }
        }
        document
    }

    /// The table whose first columns are these, under the heading if one is given.
    pub(crate) fn table(&self, heading: Option<&str>, columns: &[&str]) -> &Table {
        let fits = |table: &&Table| {
            heading.is_none_or(|heading| table.heading == heading)
                && columns.iter().zip(&table.columns).filter(|(a, b)| a == b).count() == columns.len()
        };
        let mut found = self.tables.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(table), None) => table,
            (None, _) => panic!("no table {heading:?} {columns:?}"),
            (Some(_), Some(_)) => panic!("two tables {heading:?} {columns:?}"),
        }
    }
}

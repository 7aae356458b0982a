//! Tables as CSV (RFC 4180), for a spreadsheet.

/// Characters that a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

/// A table as CSV.
pub(super) struct Csv(String);

impl Csv {
    /// A table with this head.
    pub(super) fn new(head: &[&str]) -> Self {
        let mut csv = Self(String::new());
        csv.line(head);
        csv
    }

    /// Adds a line. A cell that a spreadsheet would run gets an apostrophe before it, which shows that it is text.
    pub(super) fn line<T: AsRef<str>>(&mut self, cells: &[T]) {
        for (place, cell) in cells.iter().enumerate() {
            let cell = cell.as_ref();
            if place > 0 {
                self.0.push(',');
            }
            let apostrophe = if cell.starts_with(FORMULA) { "'" } else { "" };
            if apostrophe.is_empty() && !cell.contains([',', '"', '\r', '\n']) {
                self.0.push_str(cell);
                continue;
            }
            self.0.push('"');
            self.0.push_str(apostrophe);
            self.0.push_str(&cell.replace('"', "\"\""));
            self.0.push('"');
        }
        self.0.push_str("\r\n");
    }

    /// The text.
    pub(super) fn text(self) -> String {
        self.0
    }
}

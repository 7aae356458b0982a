//! Tables: a head above each column, numbers to the right, and colours where a terminal shows them.

use std::io;

use super::{
    manner::{has_colours, is_quiet},
    output::print,
};
use crate::domain::text::escaped;

/// The meaning of a cell, which its colour shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
    Head,
}

impl Tone {
    /// The tone of a status of webhooks or deliveries.
    pub(super) fn of_status(status: &str) -> Self {
        match status {
            "ACTIVE" | "DELIVERED" => Self::Good,
            "PENDING" | "IN_FLIGHT" | "HELD" => Self::Busy,
            "SUSPENDED" | "FAILED" => Self::Bad,
            _ => Self::Plain,
        }
    }

    /// The number of its ANSI sequence.
    const fn code(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Head => Some(1),
            Self::Bad => Some(31),
            Self::Good => Some(32),
            Self::Busy => Some(33),
        }
    }
}

/// The text in a column of a row.
#[derive(Debug)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: escaped(&text.into()).into_owned(), tone: Tone::Plain }
    }
}

impl Cell {
    /// A status in its colour.
    pub(super) fn status(status: &str) -> Self {
        Self { text: status.to_owned(), tone: Tone::of_status(status) }
    }

    fn head(text: &str) -> Self {
        Self { text: text.to_owned(), tone: Tone::Head }
    }
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// Text under this head, at least as wide.
    Text(&'static str, usize),
    /// Numbers under this head, to the right.
    Number(&'static str),
}

impl Column {
    fn head(&self) -> &'static str {
        match self {
            Self::Text(head, _) | Self::Number(head) => head,
        }
    }

    fn least(&self) -> usize {
        match self {
            Self::Text(head, least) => head.len().max(*least),
            Self::Number(head) => head.len(),
        }
    }
}

/// Prints a table. With `--quiet` it has no heads.
pub(super) fn print_table(columns: &[Column], rows: &[Vec<Cell>]) {
    let widest = |at: usize| rows.iter().map(|row| row[at].text.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = columns.iter().enumerate().map(|(at, column)| column.least().max(widest(at))).collect();
    print_lines(columns, &widths, rows);
}

/// Prints rows of a table that grows: its columns are as wide as they were said to be.
pub(super) fn print_rows(columns: &[Column], rows: &[Vec<Cell>]) {
    let widths: Vec<usize> = columns.iter().map(Column::least).collect();
    lines(columns, &widths, rows);
}

/// Prints the heads of a table that grows.
pub(super) fn print_heads(columns: &[Column]) {
    print_lines(columns, &columns.iter().map(Column::least).collect::<Vec<_>>(), &[]);
}

fn print_lines(columns: &[Column], widths: &[usize], rows: &[Vec<Cell>]) {
    if !is_quiet() {
        lines(columns, widths, &[columns.iter().map(|column| Cell::head(column.head())).collect()]);
    }
    lines(columns, widths, rows);
}

fn lines(columns: &[Column], widths: &[usize], rows: &[Vec<Cell>]) {
    let colours = has_colours(&io::stdout());
    for row in rows {
        let mut line = String::new();
        for (at, ((column, width), cell)) in columns.iter().zip(widths).zip(row).enumerate() {
            let gap = " ".repeat(width.saturating_sub(cell.text.chars().count()));
            let text = match cell.tone.code().filter(|_| colours) {
                Some(code) => format!("\x1b[{code}m{}\x1b[0m", cell.text),
                None => cell.text.clone(),
            };
            line.push_str(if at == 0 { "" } else { "  " });
            line.push_str(&match column {
                Column::Number(_) => gap + &text,
                Column::Text(..) => text + &gap,
            });
        }
        print(format!("{}\n", line.trim_end()).as_bytes());
    }
}

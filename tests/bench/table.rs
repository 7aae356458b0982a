//! Tables in Markdown, printed row by row as the figures come.

use std::time::Duration;

/// Width of a column, at least.
const LEAST: usize = 10;

pub struct Table(Vec<usize>);

impl Table {
    /// Prints the head. The first column is this many letters wide.
    pub fn new(first: usize, head: &[&str]) -> Self {
        let least = |place| if place == 0 { first } else { LEAST };
        let table = Self(head.iter().enumerate().map(|(place, name)| name.len().max(least(place))).collect());
        table.row(head);
        let rules: Vec<String> = table.0.iter().map(|width| "-".repeat(*width)).collect();
        table.row(&rules);
        table
    }

    pub fn row(&self, cells: &[impl AsRef<str>]) {
        let cells: Vec<String> = cells
            .iter()
            .zip(&self.0)
            .enumerate()
            .map(|(place, (cell, width))| match place {
                0 => format!("{:<width$}", cell.as_ref()),
                _ => format!("{:>width$}", cell.as_ref()),
            })
            .collect();
        println!("| {} |", cells.join(" | "));
    }
}

/// Milliseconds.
pub fn ms(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1000.0)
}

/// A whole number, its thousands apart.
pub fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How often one goes into the other.
pub fn ratio(one: f64, other: f64) -> String {
    format!("{:.2}", one / other)
}

/// A share of the whole.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

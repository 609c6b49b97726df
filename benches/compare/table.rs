//! The table of results.

use std::time::Duration;

/// A measured figure: median, minimum and maximum.
#[derive(Clone)]
pub struct Figure {
    values: Option<(f64, f64, f64)>,
}

impl Figure {
    /// A figure that could not be measured.
    pub fn none() -> Self {
        Self { values: None }
    }

    /// A single measurement.
    pub fn one(value: f64) -> Self {
        Self { values: Some((value, value, value)) }
    }

    /// The median of durations, in milliseconds.
    pub fn of_times(times: &[Duration]) -> Self {
        Self::of(times.iter().map(|time| time.as_secs_f64() * 1000.0).collect())
    }

    /// The median of values.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (values[0], values[values.len() - 1]);
        Self { values: Some((values[values.len() / 2], least, greatest)) }
    }

    fn text(&self) -> String {
        match self.values {
            None => "not on this machine".to_owned(),
            Some((value, least, greatest)) if least == greatest => format!("{value:.1}"),
            Some((median, least, greatest)) => format!("{median:.0} ({least:.0} to {greatest:.0})"),
        }
    }
}

/// Rows of figures, with one column per server.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table for these servers.
    pub fn new(urls: &[String]) -> Self {
        let mut head = vec!["figure".to_owned(), "unit".to_owned()];
        head.extend(urls.iter().cloned());
        if urls.len() == 2 {
            head.push("first / second".to_owned());
        }
        Self { head, rows: Vec::new() }
    }

    /// Adds a row. `more_is_better` tells how to read the ratio.
    pub fn add(&mut self, name: &str, unit: &str, more_is_better: bool, figures: Vec<Figure>) {
        let mut row = vec![name.to_owned(), unit.to_owned()];
        row.extend(figures.iter().map(Figure::text));
        if let [Figure { values: Some(first) }, Figure { values: Some(second) }] =
            figures.as_slice()
        {
            let better = if more_is_better { "more is better" } else { "less is better" };
            row.push(format!("{:.2} ({better})", first.0 / second.0));
        }
        eprintln!("{}", row.join("  "));
        self.rows.push(row);
    }

    /// Prints the table as Markdown.
    pub fn print(&self) {
        println!("| {} |", self.head.join(" | "));
        println!("|{}", " --- |".repeat(self.head.len()));
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}

//! How answers look: tables for people, JSON for programs.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// Standard output. Errors come back instead of ending the process, a closed pipe included.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    terminal: bool,
}

impl Output {
    pub(crate) fn new() -> Output {
        let terminal = io::stdout().is_terminal();
        Output { out: BufWriter::new(io::stdout().lock()), terminal }
    }

    /// Whether a person is looking.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// One line of text.
    pub(crate) fn line(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.out.write_all(text.as_ref())?;
        self.out.write_all(b"\n")
    }

    /// One JSON value in one line.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    /// A table; a note instead when it has no rows.
    pub(crate) fn table(&mut self, table: &Rows, empty: &str) -> io::Result<()> {
        if table.rows.is_empty() { self.line(empty) } else { self.line(table.text()) }
    }

    /// A table with long texts, which wrap to the width of the terminal.
    pub(crate) fn wrapped(&mut self, table: &Rows) -> io::Result<()> {
        self.line(table.laid_out(if self.terminal {
            ContentArrangement::Dynamic
        } else {
            ContentArrangement::Disabled
        }))
    }

    /// Makes room for what is shown again: a clean screen for people, an empty line between tables in a file.
    pub(crate) fn begin_round(&mut self, first: bool) -> io::Result<()> {
        match (self.terminal, first) {
            // Home, and everything below goes: unlike a clean sweep this does not flicker.
            (true, _) => self.out.write_all(b"\x1b[H\x1b[2J"),
            (false, true) => Ok(()),
            (false, false) => self.line(""),
        }
    }

    /// What was written becomes visible.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A table in the making. A column whose name begins with `#` holds numbers.
#[derive(Debug)]
pub(crate) struct Rows {
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    pub(crate) fn new(columns: impl IntoIterator<Item = &'static str>) -> Rows {
        Rows { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// As text, the names of the columns first.
    pub(crate) fn text(&self) -> String {
        self.laid_out(ContentArrangement::Disabled)
    }

    fn laid_out(&self, arrangement: ContentArrangement) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(arrangement);
        table.set_header(self.columns.iter().map(|name| Cell::new(name.trim_start_matches('#').to_uppercase())));
        table.add_rows(&self.rows);
        for (column, name) in table.column_iter_mut().zip(&self.columns) {
            column.set_padding((0, 2));
            if name.starts_with('#') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }
}

/// A time in milliseconds since 1970 in the local zone, or a dash for none.
pub(crate) fn time(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) if ms > 0 => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        _ => "-".into(),
    }
}

/// The same for programs: RFC 3339 in UTC.
pub(crate) fn rfc3339(ms: i64) -> Option<String> {
    let time = Timestamp::from_millisecond(ms).ok().filter(|_| ms > 0)?;
    Some(format!("{time:.3}"))
}

/// A number with its digits in groups, so that millions can be told from billions.
pub(crate) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many a second.
pub(crate) fn rate(rate: f64) -> String {
    if rate < 99.95 { format!("{rate:.1}") } else { count(rate.round() as i64) }
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A number of bytes with a unit.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let mut rows = Rows::new(["topic", "#queues"]);
        rows.push(["orders".into(), "8".into()]);
        rows.push(["a".into(), "1,024".into()]);
        assert_eq!(rows.text(), "TOPIC   QUEUES\norders       8\na        1,024");
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(-1000), "-1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!([rate(0.0), rate(12.34), rate(1234.5)], ["0.0", "12.3", "1,235"]);
        assert_eq!(percent(0.125), "12 %");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }

    #[test]
    fn times_without_a_value_are_absent() {
        assert_eq!(time(0), "-");
        assert_eq!(time(-1), "-");
        assert_eq!(rfc3339(0), None);
        assert_eq!(rfc3339(1_000).as_deref(), Some("1970-01-01T00:00:01.000Z"));
    }
}

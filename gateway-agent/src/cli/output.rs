//! What goes to stdout: text whose reader may go away, and tables.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};

use super::Failure;

/// Writes to stdout. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| {
        if text.ends_with('\n') {
            Ok(())
        } else {
            stdout.write_all(b"\n")
        }
    });
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Unreachable(format!(
            "cannot write to stdout: {error}"
        ))),
        _ => Ok(()),
    }
}

/// What `--json` prints where no agent is asked.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers serialize into memory")
}

/// A table with one line a row, so that the usual tools can sort and filter it; only on a
/// terminal are cells wrapped to its width.
pub(super) fn table<const N: usize>(
    headers: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let headers = headers.map(str::to_owned).to_vec();
    table_of(headers, rows.into_iter().map(|row| row.to_vec()))
}

/// The same for columns that are known only when it runs.
pub(super) fn table_of(
    headers: Vec<String>,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut table = Table::new();
    let arrangement = if io::stdout().is_terminal() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    };
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(arrangement)
        .set_header(headers);
    table.add_rows(
        rows.into_iter()
            .map(|row| row.iter().map(|cell| visible(cell)).collect::<Vec<_>>()),
    );
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n") + "\n"
}

/// Cells may hold what a client sent: nothing of it may control the terminal or break the row.
pub(super) fn visible(cell: &str) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    cell.chars()
        .flat_map(|c| {
            let odd = c.is_control() || !c.is_ascii();
            let (plain, escaped) = if odd {
                (None, Some(c.escape_unicode()))
            } else {
                (Some(c), None)
            };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned_without_trailing_spaces_or_borders() {
        let rows = [
            ["web".to_owned(), "1".to_owned()],
            ["longer".to_owned(), String::new()],
        ];
        assert_eq!(
            table(["NAME", "N"], rows),
            "NAME    N\nweb     1\nlonger  -\n"
        );
    }

    #[test]
    fn a_cell_cannot_control_the_terminal() {
        let rows = [["a\u{1b}[31m\nb\u{202e}".to_owned()]];
        assert_eq!(table(["X"], rows), "X\na\\u{1b}[31m\\u{a}b\\u{202e}\n");
    }
}

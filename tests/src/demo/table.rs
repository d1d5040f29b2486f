//! The one table of the demo.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};
use gateway_tests::topology::Family;

use crate::Row;

/// Lays out all rows; colours appear on a terminal only.
pub(crate) fn render(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "", "client", "", "name", "point", "expected", "got", "engine", "time",
    ]);
    for row in rows {
        table.add_row(cells(row));
    }
    table
}

fn cells(row: &Row) -> [Cell; 9] {
    let (mark, color) = if row.as_expected() {
        ("ok", Color::Green)
    } else {
        ("NO", Color::Red)
    };
    let family = match row.attempt.family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    };
    let name = if row.attempt.name.is_empty() {
        "(none)"
    } else {
        row.attempt.name
    };
    [
        Cell::new(mark).fg(color),
        Cell::new(row.attempt.program),
        Cell::new(family),
        Cell::new(name),
        Cell::new(row.attempt.point),
        Cell::new(&row.attempt.expected),
        Cell::new(&row.got).fg(color),
        Cell::new(&row.engine),
        Cell::new(format!("{:.1} ms", row.milliseconds)).set_alignment(CellAlignment::Right),
    ]
}

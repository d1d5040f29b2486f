//! The table of the mesh: a line per change of state.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, Width};
use gateway_tests::mesh::state::TRUST_DOMAIN;

use super::Row;
use super::steps::Answered;

/// Widths of the columns: 140 with the lines between them.
const WIDTHS: [u16; 5] = [4, 33, 46, 33, 18];

/// Lays out all rows; colours appear on a terminal only.
pub(super) fn render(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(140);
    table.set_header([
        "",
        "change",
        "what `explain` tells the client",
        "hops",
        "answered",
    ]);
    let widths = WIDTHS.map(|width| ColumnConstraint::Absolute(Width::Fixed(width)));
    table.set_constraints(widths);
    for row in rows {
        table.add_row(cells(row));
    }
    table
}

fn cells(row: &Row) -> [Cell; 5] {
    let (mark, color) = if row.as_expected() {
        ("ok", Color::Green)
    } else {
        ("NO", Color::Red)
    };
    [
        Cell::new(mark).fg(color),
        Cell::new(row.step.change),
        Cell::new(explained(row)),
        Cell::new(hops(row)),
        Cell::new(answered(&row.answered)).fg(color),
    ]
}

fn explained(row: &Row) -> String {
    let endpoints: Vec<String> = row
        .explained
        .endpoints
        .iter()
        .map(ToString::to_string)
        .collect();
    format!(
        "dial   {}\nask    {}\nexpect {}",
        endpoints.join("\n       "),
        short(&row.explained.name),
        short(&row.explained.identity),
    )
}

fn hops(row: &Row) -> String {
    let from = format!("   {:<17}{}", row.from, row.step.client);
    let onwards = row.hops.iter();
    let onwards = onwards.map(|hop| format!("-> {:<17}{}", hop.to, hop.whose));
    let lines: Vec<String> = std::iter::once(from).chain(onwards).collect();
    lines.join("\n")
}

fn answered(answered: &Answered) -> String {
    match answered {
        Answered::Instances(names) => names.join(", "),
        Answered::Stranger(identity) => format!("{}: client refuses", who(identity)),
        Answered::Nobody(words) => words.clone(),
    }
}

/// `billing of dc1`, from the parts of an identity.
fn who(identity: &str) -> String {
    let part = |key| {
        identity
            .split('/')
            .skip_while(move |part| *part != key)
            .nth(1)
    };
    match (part("svc"), part("dc")) {
        (Some(service), Some(datacenter)) => format!("{service} of {datacenter}"),
        _ => identity.to_owned(),
    }
}

/// The trust domain is the same everywhere, and longer than all the rest.
fn short(text: &str) -> String {
    text.replace(TRUST_DOMAIN, "TD")
}

//! A plan for a terminal.

use std::fmt;

use super::plan::{Asker, Level, Plan, Target};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}", self.downstream, self.upstream_label())?;
        if let Some(at) = &self.downstream.at {
            writeln!(f, "  registered at {at}")?;
        }
        writeln!(f, "  protocol {}, mode rules {}", self.protocol, self.rules)?;
        writeln!(f, "\ngateway mode: {}", self.outcome())?;
        rows(f, &self.level_rows())?;
        for target in &self.targets {
            writeln!(f, "\ntarget: {target}")?;
        }
        for (number, target) in (1..).zip(&self.failover) {
            writeln!(f, "\nfailover {number}: {target}")?;
        }
        if !self.notes.is_empty() {
            writeln!(f, "\nnotes")?;
        }
        for note in &self.notes {
            writeln!(f, "  - {note}")?;
        }
        Ok(())
    }
}

impl Plan {
    fn upstream_label(&self) -> String {
        let asked = &self.upstream;
        let query = if asked.prepared_query {
            "prepared query "
        } else {
            ""
        };
        let of = place(asked.peer.as_ref(), asked.datacenter.as_ref());
        format!("{query}{}{of}", asked.service)
    }

    fn outcome(&self) -> String {
        let decided = self.levels.iter().find(|level| level.decided);
        match decided.and_then(|level| Some((level.value?, level.number))) {
            Some((mode, number)) => format!("{mode}, said by level {number}"),
            None if self.upstream.prepared_query => "not asked".to_owned(),
            None => "nobody says one, which is as none".to_owned(),
        }
    }

    /// Mark and number, name, value, place.
    fn level_rows(&self) -> Vec<[String; 4]> {
        let row = |level: &Level| {
            let mark = if level.decided { '>' } else { ' ' };
            let said = level.value.map_or("-", |mode| mode.label());
            [
                format!("{mark} {}", level.number),
                level.name.clone(),
                if level.asked {
                    said.to_owned()
                } else {
                    format!("{said} (not asked)")
                },
                level
                    .at
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ]
        };
        self.levels.iter().map(row).collect()
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.service, self.locality)?;
        match &self.instance {
            Some(instance) => write!(f, " ({instance})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Target {
    /// Several lines; the first names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subset = self
            .subset
            .as_ref()
            .map(|subset| format!(" subset {subset}"));
        let of = place(self.peer.as_ref(), self.datacenter.as_ref());
        let subset = subset.unwrap_or_default();
        write!(f, "{}{subset}{of}", self.service)?;
        for step in &self.way {
            write!(f, "\n  by           {step}")?;
        }
        write!(f, "\n  mode         {}", self.mode_label())?;
        write!(f, "\n  reached      {}", self.reason)?;
        if let Some(refused) = &self.refused {
            write!(f, "\n  REFUSED      {refused}")?;
        }
        let sni = if self.sni.is_empty() {
            "not known"
        } else {
            &self.sni
        };
        write!(f, "\n  server name  {sni}")?;
        for identity in &self.spiffe {
            write!(f, "\n  identity     {identity}")?;
        }
        let limit = humantime::format_duration(self.connect_timeout);
        write!(f, "\n  timeout      {limit} to connect")?;
        write!(f, "\n  health       {}", self.health)?;
        self.write_endpoints(f)
    }
}

impl Target {
    fn mode_label(&self) -> String {
        let from = self.mode_from.as_ref();
        match from.and_then(|level| Some((level.value?, level))) {
            Some((mode, level)) => format!("{mode}, by level {}: {}", level.number, level.name),
            None => "-".to_owned(),
        }
    }

    fn write_endpoints(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.endpoints.is_empty() {
            return write!(f, "\n  endpoints    none");
        }
        let addresses: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
        let width = addresses.iter().map(String::len).max().unwrap_or_default();
        let mut title = "endpoints";
        for (endpoint, address) in self.endpoints.iter().zip(addresses) {
            let (health, weight) = (endpoint.health.label(), endpoint.weight);
            let instance = &endpoint.instance;
            write!(
                f,
                "\n  {title:<11}  {address:<width$}  {health:<4}  weight {weight:<3}  {instance}"
            )?;
            title = "";
        }
        Ok(())
    }
}

fn place(peer: Option<&impl fmt::Display>, datacenter: Option<&impl fmt::Display>) -> String {
    match (peer, datacenter) {
        (Some(peer), _) => format!(" of peer {peer}"),
        (None, Some(datacenter)) => format!(" in {datacenter}"),
        (None, None) => String::new(),
    }
}

/// Rows with their columns aligned; the last column is left as it is.
fn rows<const N: usize>(f: &mut fmt::Formatter<'_>, rows: &[[String; N]]) -> fmt::Result {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

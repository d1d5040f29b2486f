//! culvert with one deliberate fault, which `CULVERT_FAULT` names: what the torture must find.

#[path = "main.rs"]
mod culvert;

use std::process::ExitCode;

use gateway_agent::proxy::splice::faults;

fn main() -> ExitCode {
    match faults::asked_for() {
        Ok(_fault) => culvert::main(),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

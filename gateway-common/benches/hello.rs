//! What it costs to read a hello: plain, post-quantum, and the worst that a client may send.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateway_common::limits::MAX_HELLO;
use gateway_common::wire::{HelloReader, Progress, ServerName};

criterion_main!(benches);
criterion_group!(benches, whole, dripped, names);

const PLAIN: &[u8] = include_bytes!("../tests/hellos/openssl.bin");
const POST_QUANTUM: &[u8] = include_bytes!("../tests/hellos/chromium.bin");
const RECORDS_OF_ONE: &[u8] = include_bytes!("../tests/hellos/generated-records-of-one.bin");
const LARGEST: &[u8] = include_bytes!("../tests/hellos/generated-64k.bin");

fn whole(criterion: &mut Criterion) {
    let largest_by_one = in_records_of_one(LARGEST);
    let hellos: [(&str, &[u8]); 5] = [
        ("plain", PLAIN),
        ("post-quantum", POST_QUANTUM),
        ("records-of-one", RECORDS_OF_ONE),
        ("64k", LARGEST),
        ("64k-records-of-one", &largest_by_one),
    ];
    let mut group = criterion.benchmark_group("whole");
    let mut scratch = vec![0; MAX_HELLO];
    for (name, input) in hellos {
        group.throughput(Throughput::Bytes(
            input.len().try_into().unwrap_or(u64::MAX),
        ));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                assert!(is_whole(
                    &mut HelloReader::new(MAX_HELLO),
                    input,
                    &mut scratch
                ))
            });
        });
    }
}

/// One more byte with each call, as a slow client sends.
fn dripped(criterion: &mut Criterion) {
    let largest_by_one = in_records_of_one(LARGEST);
    let hellos: [(&str, &[u8]); 2] = [("plain", PLAIN), ("64k-records-of-one", &largest_by_one)];
    let mut group = criterion.benchmark_group("dripped");
    let mut scratch = vec![0; MAX_HELLO];
    for (name, input) in hellos {
        group.throughput(Throughput::Bytes(
            input.len().try_into().unwrap_or(u64::MAX),
        ));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut reader = HelloReader::new(MAX_HELLO);
                let received = (0..=input.len()).filter_map(|end| input.get(..end));
                let whole = received.filter(|part| is_whole(&mut reader, part, &mut scratch));
                assert_eq!(whole.count(), 1);
            });
        });
    }
}

fn names(criterion: &mut Criterion) {
    criterion.bench_function("server-name", |bencher| {
        bencher.iter(|| ServerName::try_from(black_box(&b"Web.Shop.Example.COM."[..])));
    });
}

fn is_whole(reader: &mut HelloReader, input: &[u8], scratch: &mut [u8]) -> bool {
    matches!(
        black_box(reader.advance(black_box(input), scratch)),
        Ok(Progress::Complete(_))
    )
}

/// Cuts the message of a hello in full records anew: the most wire bytes that a hello may cost.
fn in_records_of_one(mut wire: &[u8]) -> Vec<u8> {
    let mut cut = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = wire {
        let (fragment, next) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        cut.extend(fragment.iter().flat_map(|&byte| [22, 3, 1, 0, 1, byte]));
        wire = next;
    }
    cut
}

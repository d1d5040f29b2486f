//! Any reads over any bytes: each byte comes once and in order, and a failed read takes none.
#![no_main]

use gateway_common::wire::Reader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (reads, bytes) = input;
    let mut reader = Reader::new(bytes);
    for read in reads {
        let before = reader.rest();
        let taken = match read % 6 {
            0 => reader.u8("byte").map(|_| 1),
            1 => reader.u16("number").map(|_| 2),
            2 => reader.array::<32>("array").map(|array| array.len()),
            3 => reader.list8("list").map(|list| 1 + list.rest().len()),
            4 => reader.list16("list").map(|list| 2 + list.rest().len()),
            _ => reader.take(usize::from(read / 6), "bytes").map(<[u8]>::len),
        };
        match taken {
            Ok(count) => assert_eq!(before.get(count..), Some(reader.rest())),
            Err(error) => assert!(error.offset <= bytes.len()),
        }
    }
    assert!(bytes.ends_with(reader.rest()));
    assert_eq!(reader.finish("end").is_ok(), reader.is_empty());
});

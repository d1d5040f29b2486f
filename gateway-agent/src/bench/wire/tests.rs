//! Wrong messages first, then right ones.

use super::*;

const PATTERN: Pattern = Pattern { seed: 3 };

fn request() -> Request {
    Request {
        exchange: Exchange::Both,
        stream: 2,
        nonce: 0x0102_0304_0506_0708,
        seed: 9,
        bytes: u64::MAX,
        milliseconds: 10_000,
        block: 131_072,
    }
}

fn verdict(finding: Finding) -> Verdict {
    Verdict {
        received: Sum { length: 5, hash: 6 },
        finding,
        retransmits: 7,
    }
}

#[test]
fn another_protocol_is_told_from_another_version() {
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n<html>and more of the same";
    assert_eq!(Request::decode(http), Err(WireError::Foreign));
    assert_eq!(Answer::decode(&http[..HEAD]), Err(WireError::Foreign));
    assert_eq!(Answer::decode(b""), Err(WireError::Foreign));
    let mut newer = request().encode();
    newer[9] = 2;
    assert_eq!(Request::decode(&newer), Err(WireError::Version(2)));
    assert_eq!(Request::decode(&newer[..HEAD]), Err(WireError::Version(2)));
}

#[test]
fn every_changed_byte_and_every_cut_is_noticed() {
    let whole = request().encode();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(Request::decode(&bytes).is_err(), "byte {at}");
        assert!(Request::decode(&whole[..at]).is_err(), "cut at {at}");
    }
    let whole = verdict(Finding::Sound).encode();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(Verdict::decode(&bytes).is_err(), "byte {at}");
        assert!(Verdict::decode(&whole[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn an_unknown_code_is_damage_and_no_guess() {
    let mut bytes = request().encode();
    bytes.truncate(REQUEST - CHECK);
    bytes[HEAD] = 99;
    let bytes = checked(bytes);
    assert_eq!(Request::decode(&bytes), Err(WireError::Damaged("request")));
}

#[test]
fn an_end_elsewhere_or_of_another_payload_is_none() {
    let sum = Sum {
        length: 1000,
        hash: 4,
    };
    let end = sum.end(PATTERN);
    assert_eq!(end.len(), END);
    assert_eq!(Sum::of_end(&end, PATTERN, 999), None);
    assert_eq!(Sum::of_end(&end, Pattern { seed: 4 }, 1000), None);
    assert_eq!(Sum::of_end(&end[..END - 1], PATTERN, 1000), None);
    assert_eq!(PATTERN.mismatch(1000, &end), Some(0));
    assert_eq!(Sum::of_end(&end, PATTERN, 1000), Some(sum));
}

#[test]
fn what_is_written_is_read_again() {
    let bytes = request().encode();
    assert_eq!(bytes.len(), REQUEST);
    assert_eq!(Request::decode(&bytes), Ok(request()));
    for word in [Word::Yes, Word::No(Limit::Duration(5))] {
        let answer = Answer { nonce: 1, word };
        assert_eq!(answer.encode().len(), ANSWER);
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }
    let fault = |kind| Finding::Fault(Fault { offset: 77, kind });
    for finding in [
        Finding::Sound,
        Finding::Limit(Limit::Bytes(8)),
        fault(FaultKind::Displaced { from: 99 }),
        fault(FaultKind::Changed {
            expected: 1,
            found: 2,
        }),
    ] {
        let bytes = verdict(finding).encode();
        assert_eq!(bytes.len(), VERDICT);
        assert_eq!(Verdict::decode(&bytes), Ok(verdict(finding)));
    }
}

#[test]
fn only_an_echo_sends_back_the_same() {
    let both = request();
    assert_ne!(both.upstream(), both.downstream());
    let echo = Request {
        exchange: Exchange::Echo,
        ..both
    };
    assert_eq!(echo.upstream(), echo.downstream());
}

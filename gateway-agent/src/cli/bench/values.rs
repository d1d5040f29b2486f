//! Values of flags: sizes, mixes of sizes, rates.

use crate::bench::client::Share;

/// Bytes with a binary unit: `512`, `16K`, `1.5G`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("expected bytes such as 512, 16K, 100M or 1.5G, found \"{text}\"");
    let (number, shift) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            let shift = match unit.to_ascii_uppercase() {
                'K' => 10,
                'M' => 20,
                'G' => 30,
                'T' => 40,
                _ => return Err(wrong()),
            };
            (text.get(..at).unwrap_or_default(), shift)
        }
        _ => (text, 0),
    };
    let unit = 1_u64 << shift;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit).ok_or_else(wrong);
    }
    let (whole, part) = number.split_once('.').ok_or_else(wrong)?;
    let whole: u64 = whole.parse().map_err(|_error| wrong())?;
    // Three digits behind the point are enough for anybody, and keep to whole numbers.
    let digits = part.len();
    let part: u64 = part.parse().map_err(|_error| wrong())?;
    if shift == 0 || !(1..=3).contains(&digits) {
        return Err(wrong());
    }
    let thousandths = part * 10_u64.pow(3 - u32::try_from(digits).unwrap_or(3));
    let whole = whole.checked_mul(unit).ok_or_else(wrong)?;
    whole
        .checked_add(unit * thousandths / 1000)
        .ok_or_else(wrong)
}

/// Bytes of one message: at least one, and no more than fits into memory at ease.
pub(super) fn message(text: &str) -> Result<usize, String> {
    let size = bytes(text)?;
    match usize::try_from(size) {
        Ok(size @ 1..=MAX_MESSAGE) => Ok(size),
        _ => Err(format!("expected 1 to 16M, found \"{text}\"")),
    }
}

const MAX_MESSAGE: usize = 16 << 20;

/// One share of a mix, `SIZE:WEIGHT`; without a weight, 1.
pub(super) fn share(text: &str) -> Result<Share, String> {
    let (size, weight) = text.split_once(':').unwrap_or((text, "1"));
    let bytes = message(size)?;
    match weight.parse() {
        Ok(weight @ 1..=1_000_000) => Ok(Share { bytes, weight }),
        _ => Err(format!(
            "expected SIZE:WEIGHT such as 64:50 or 16K:1, found \"{text}\""
        )),
    }
}

/// How often a second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err(format!(
            "expected a number a second, 0.001 to 10000000, found \"{text}\""
        )),
    }
}

/// A time that is not zero.
pub(super) fn time(text: &str) -> Result<core::time::Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("expected more than no time at all".to_owned()),
        Ok(time) if time.as_secs() > MOST_SECONDS => Err("expected at most 30days".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("expected a time such as 10s or 5m: {error}")),
    }
}

/// What fits into the milliseconds of a request.
const MOST_SECONDS: u64 = 30 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_sizes_are_refused_with_examples() {
        for wrong in [
            "",
            "K",
            "1X",
            "-1",
            "1.5",
            "1.2345K",
            "99999999999T",
            "1..5K",
            "1,5K",
            "ü",
        ] {
            let error = bytes(wrong).unwrap_err();
            assert!(error.contains("16K"), "{wrong}: {error}");
        }
        assert!(message("0").is_err());
        assert!(message("17M").is_err());
        assert!(share("64:0").is_err());
        assert!(share("64:").is_err());
        assert!(rate("0").is_err());
        assert!(rate("nan").is_err());
        assert!(time("0s").is_err());
        assert!(time("60days").is_err());
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("16k"), Ok(16_384));
        assert_eq!(bytes("1.5G"), Ok(3 << 29));
        assert_eq!(
            share("16K:3"),
            Ok(Share {
                bytes: 16_384,
                weight: 3
            })
        );
    }
}

//! Names, numbers and quoted texts of a filter, in the forms of Go.
//!
//! A text in double quotes ends at the next double quote, escaped or not, since the grammar knows
//! no escapes; only then are Go's escapes read. Consul: `strconv.Unquote` on what the grammar took.

/// Why a quoted text is none. Offsets are bytes from its opening quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LiteralError {
    NotClosed,
    NewLine,
    Escape { from: usize, to: usize },
    NotText,
}

/// Length of the identifier at the start of `rest`.
pub(super) fn identifier(rest: &str) -> Option<usize> {
    rest.starts_with(|c: char| c.is_ascii_alphabetic())
        .then(|| length_while(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

/// Length of the decimal number at the start of `rest`: no leading zeros, no exponent.
pub(super) fn number(rest: &str) -> Option<usize> {
    let unsigned = rest.strip_prefix('-').unwrap_or(rest);
    let digits = length_while(unsigned, |byte| byte.is_ascii_digit());
    let whole = match unsigned.as_bytes().first()? {
        b'0' => 1,
        b'1'..=b'9' => digits,
        _ => return None,
    };
    let sign = rest.len() - unsigned.len();
    let fraction = unsigned
        .get(whole..)
        .and_then(|after| after.strip_prefix('.'))
        .map_or(0, |after| length_while(after, |byte| byte.is_ascii_digit()));
    // The dot counts only with digits behind it.
    let dot = usize::from(fraction > 0);
    Some(sign + whole + dot + fraction)
}

/// The quoted text at the start of `rest`, with the length that it takes; none without a quote.
pub(super) fn quoted(rest: &str) -> Option<(usize, Result<String, LiteralError>)> {
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '`'))?;
    let inside = rest.get(1..)?;
    let Some(end) = inside.find(quote) else {
        return Some((rest.len(), Err(LiteralError::NotClosed)));
    };
    let inside = inside.get(..end)?;
    let text = if quote == '`' {
        // Go drops carriage returns from raw texts.
        Ok(inside.replace('\r', ""))
    } else {
        unescape(inside)
    };
    Some((end + 2, text))
}

fn unescape(inside: &str) -> Result<String, LiteralError> {
    if inside.contains('\n') {
        return Err(LiteralError::NewLine);
    }
    let mut bytes = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(escape) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(escape);
        bytes.extend_from_slice(plain.as_bytes());
        let Some((meaning, length)) = one_escape(escaped) else {
            let from = inside.len() - escaped.len() + 1;
            let shown: usize = escaped.chars().take(2).map(char::len_utf8).sum();
            return Err(LiteralError::Escape {
                from,
                to: from + shown,
            });
        };
        match meaning {
            Meaning::Byte(byte) => bytes.push(byte),
            Meaning::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = escaped.get(length..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).or(Err(LiteralError::NotText))
}

/// What an escape stands for. In Go `\x` and octal escapes are bytes, the others characters.
enum Meaning {
    Byte(u8),
    Char(char),
}

/// The escape at the start of `escaped`, with its length, the backslash included.
fn one_escape(escaped: &str) -> Option<(Meaning, usize)> {
    let kind = escaped.chars().nth(1)?;
    let byte = |byte| Some((Meaning::Byte(byte), 2));
    match kind {
        'a' => byte(0x07),
        'b' => byte(0x08),
        'f' => byte(0x0c),
        'n' => byte(b'\n'),
        'r' => byte(b'\r'),
        't' => byte(b'\t'),
        'v' => byte(0x0b),
        '\\' => byte(b'\\'),
        'x' => Some((
            Meaning::Byte(u8::try_from(digits(escaped, 2, 2, 16)?).ok()?),
            4,
        )),
        '0'..='7' => Some((
            Meaning::Byte(u8::try_from(digits(escaped, 1, 3, 8)?).ok()?),
            4,
        )),
        'u' => Some((
            Meaning::Char(char::from_u32(digits(escaped, 2, 4, 16)?)?),
            6,
        )),
        'U' => Some((
            Meaning::Char(char::from_u32(digits(escaped, 2, 8, 16)?)?),
            10,
        )),
        _ => None,
    }
}

/// Exactly `count` digits of `text` from byte `from`.
fn digits(text: &str, from: usize, count: usize, radix: u32) -> Option<u32> {
    let digits = text.get(from..from + count)?;
    // `from_str_radix` would take a sign.
    digits
        .chars()
        .all(|c| c.is_digit(radix))
        .then(|| u32::from_str_radix(digits, radix).ok())?
}

fn length_while(text: &str, wanted: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| wanted(*byte)).count()
}

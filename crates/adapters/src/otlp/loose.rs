//! OTLP's JSON as programs write it: numbers as strings and strings as numbers, null for nothing, ids in two spellings.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::wire::{AnyValue, Value};

/// What is absent or null is nothing.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// A text. Half a surrogate pair, which a JavaScript agent makes by cutting a text in the middle of a character, and what is not
/// UTF-8 become U+FFFD: neither may cost the request.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Option::<Text>::deserialize(from).map(|text| text.unwrap_or_default().0)
}

#[derive(Default)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }
        from.deserialize_bytes(Bytes)
    }
}

/// A number that JSON may have as a number, as a string, or not at all.
pub(super) fn number<'de, D: Deserializer<'de>, T: Number>(from: D) -> Result<T, D::Error> {
    Loose::<T>::deserialize(from).map(|Loose(number)| number.unwrap_or_default())
}

/// The same, where that it is not there says something.
pub(super) fn maybe<'de, D: Deserializer<'de>, T: Number>(from: D) -> Result<Option<T>, D::Error> {
    Loose::<T>::deserialize(from).map(|Loose(number)| number)
}

pub(super) fn numbers<'de, D: Deserializer<'de>, T: Number>(from: D) -> Result<Vec<T>, D::Error> {
    let numbers = Option::<Vec<Loose<T>>>::deserialize(from)?.unwrap_or_default();
    Ok(numbers
        .into_iter()
        .map(|Loose(number)| number.unwrap_or_default())
        .collect())
}

/// An enum: its number. Its name, which OTLP does not allow and some write, is 0: unspecified.
pub(super) fn named<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    struct Named;
    impl Visitor<'_> for Named {
        type Value = i32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an enum's number")
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<i32, E> {
            Ok(i32::try_from(number).unwrap_or_default())
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<i32, E> {
            Ok(i32::try_from(number).unwrap_or_default())
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<i32, E> {
            Ok(text.parse().unwrap_or_default())
        }

        fn visit_unit<E: de::Error>(self) -> Result<i32, E> {
            Ok(0)
        }
    }
    from.deserialize_any(Named)
}

/// The id of a trace or span: hexadecimal as OTLP says, base64 as protobuf's JSON does.
pub(super) fn id<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    from_hex(&text)
        .or_else(|| from_base64(&text))
        .ok_or_else(|| de::Error::custom("an id is hexadecimal digits"))
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() % 2 == 1 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Either alphabet, padded or not.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes();
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::with_capacity(text.len() / 4 * 3 + 3));
    for digit in digits {
        let digit = match digit {
            b'-' => b'+',
            b'_' => b'/',
            digit => digit,
        };
        let value = BASE64.iter().position(|known| *known == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = BASE64[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// What a number of JSON may become.
pub(super) trait Number: Default + FromStr + Sized {
    fn from_u64(number: u64) -> Option<Self>;
    fn from_i64(number: i64) -> Option<Self>;
    fn from_f64(number: f64) -> Option<Self>;
}

macro_rules! whole {
    ($($type:ty)*) => {$(
        impl Number for $type {
            fn from_u64(number: u64) -> Option<Self> {
                number.try_into().ok()
            }

            fn from_i64(number: i64) -> Option<Self> {
                number.try_into().ok()
            }

            fn from_f64(number: f64) -> Option<Self> {
                // Beyond it a double has no fractions to be whole about.
                let whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
                #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
                let number = whole.then_some(number as i64)?;
                number.try_into().ok()
            }
        }
    )*};
}
whole!(u64 i64 u32 i32);

impl Number for f64 {
    fn from_u64(number: u64) -> Option<Self> {
        #[expect(clippy::cast_precision_loss, reason = "a double is what it is to be")]
        Some(number as Self)
    }

    fn from_i64(number: i64) -> Option<Self> {
        #[expect(clippy::cast_precision_loss, reason = "a double is what it is to be")]
        Some(number as Self)
    }

    fn from_f64(number: f64) -> Option<Self> {
        Some(number)
    }
}

struct Loose<T>(Option<T>);

impl<'de, T: Number> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<T: Number> Any<T> {
            fn checked<E: de::Error>(number: Option<T>) -> Result<Loose<T>, E> {
                let number = number.ok_or_else(|| E::custom("a number is out of its range"))?;
                Ok(Loose(Some(number)))
            }
        }
        impl<T: Number> Visitor<'_> for Any<T> {
            type Value = Loose<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Self::checked(T::from_u64(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Self::checked(T::from_i64(number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                Self::checked(T::from_f64(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text.is_empty() {
                    return Ok(Loose(None));
                }
                Self::checked(text.parse().ok())
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Loose(None))
            }
        }
        from.deserialize_any(Any(PhantomData))
    }
}

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = AnyValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, such as {\"stringValue\":\"…\"}")
            }

            fn visit_unit<E: de::Error>(self) -> Result<AnyValue, E> {
                Ok(AnyValue::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyValue, A::Error> {
                let mut value = None;
                while let Some(key) = map.next_key::<Text>()? {
                    let found = match key.0.as_str() {
                        "stringValue" => map.next_value::<Option<Text>>()?.map(|Text(text)| Value::Text(text)),
                        "boolValue" => map.next_value::<Option<_>>()?.map(Value::Bool),
                        "intValue" => map.next_value::<Loose<i64>>()?.0.map(Value::Int),
                        "doubleValue" => map.next_value::<Loose<f64>>()?.0.map(Value::Double),
                        "arrayValue" => map.next_value::<Option<_>>()?.map(Value::Array),
                        "kvlistValue" => map.next_value::<Option<_>>()?.map(Value::Map),
                        "bytesValue" => {
                            let text: Option<String> = map.next_value()?;
                            let bytes = |text: String| {
                                from_base64(&text).ok_or_else(|| de::Error::custom("bytesValue is not base64"))
                            };
                            text.map(bytes).transpose()?.map(Value::Bytes)
                        }
                        _ => {
                            map.next_value::<de::IgnoredAny>()?;
                            None
                        }
                    };
                    value = found.or(value);
                }
                Ok(AnyValue { value })
            }
        }
        from.deserialize_any(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Option<Value> {
        serde_json::from_str::<AnyValue>(json).unwrap().value
    }

    #[test]
    fn a_value_is_read_as_programs_write_it() {
        assert_eq!(
            value(r#"{"stringValue":"a\ud83d"}"#),
            Some(Value::Text("a\u{fffd}\u{fffd}\u{fffd}".to_owned()))
        );
        assert_eq!(value(r#"{"intValue":7}"#), Some(Value::Int(7)));
        assert_eq!(value(r#"{"intValue":"-7"}"#), Some(Value::Int(-7)));
        assert_eq!(value(r#"{"intValue":7.0}"#), Some(Value::Int(7)));
        assert_eq!(value(r#"{"doubleValue":1}"#), Some(Value::Double(1.0)));
        assert_eq!(
            value(r#"{"doubleValue":"NaN"}"#).map(|v| matches!(v, Value::Double(n) if n.is_nan())),
            Some(true)
        );
        assert_eq!(value(r#"{"bytesValue":"aGk="}"#), Some(Value::Bytes(b"hi".to_vec())));
        for empty in ["{}", "null", r#"{"stringValue":null}"#, r#"{"newValue":{"a":[1]}}"#] {
            assert_eq!(value(empty), None, "{empty}");
        }
        for wrong in [
            r#"{"intValue":1.5}"#,
            r#"{"intValue":"x"}"#,
            r#"{"boolValue":"true"}"#,
            "7",
            "[]",
        ] {
            assert!(serde_json::from_str::<AnyValue>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_and_their_spellings_are_one() {
        for bytes in [&b""[..], b"a", b"ab", b"abc", b"\xff\x00\xfe\xfd"] {
            assert_eq!(from_base64(&base64(bytes)).as_deref(), Some(bytes));
            assert_eq!(from_hex(&hex(bytes)).as_deref(), Some(bytes));
        }
        assert_eq!(from_base64("_-8"), from_base64("/+8="));
        assert!(from_hex("abc").is_none() && from_hex("zz").is_none() && from_base64("a*").is_none());
    }
}

//! Closed lists of words: enums that are spelt one way, in JSON, in queries and for people.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$word_doc:meta])* $word:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $text)] $word,)*
        }

        impl $name {
            /// Every one, in the order of `docs/protocol.md`.
            pub const ALL: &[Self] = &[$(Self::$word),*];

            /// As it is spelt on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::words::UnknownWord> {
                match text {
                    $($text => Ok(Self::$word),)*
                    _ => Err($crate::words::UnknownWord { what: $what, all: &[$($text),*] }),
                }
            }
        }
    };
}

pub(crate) use words;

/// Not one of the words that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no {what}; there are {}", all.join(", "))]
pub struct UnknownWord {
    pub(crate) what: &'static str,
    pub(crate) all: &'static [&'static str],
}

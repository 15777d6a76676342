//! Enums whose variants have names: in configurations, headers and requests, in metrics, logs and statements.

/// A name that no variant of an enum has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", .known.join(", "))]
#[non_exhaustive]
pub struct UnknownName {
    /// The names that there are.
    pub known: &'static [&'static str],
}

/// Gives each variant its name, and each name its variant.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns its name, wherever it is written.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::words::named::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::words::named::UnknownName { known: &[$($name),+] }),
                }
            }
        }
    };
}

pub(crate) use named;

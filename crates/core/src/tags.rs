//! A macro for enums whose variants each have a byte and a name.

macro_rules! tags {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $tag:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// Every variant, by ascending tag.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The byte that encodes this variant. Tags are never reused.
            #[must_use]
            pub const fn tag(self) -> u8 {
                match self {
                    $(Self::$variant => $tag,)*
                }
            }

            /// Looks up a variant by its tag.
            #[must_use]
            pub const fn from_tag(tag: u8) -> Option<Self> {
                match tag {
                    $($tag => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Name in block files and output.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Looks up a variant by its [`name`](Self::name).
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut $crate::codec::Writer) {
                out.u8(self.tag());
            }
        }

        impl $crate::codec::Decode for $name {
            fn decode(input: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                let tag = input.u8()?;
                Self::from_tag(tag).ok_or(input.error($crate::codec::DecodeErrorKind::UnknownTag))
            }
        }
    };
}

pub(crate) use tags;

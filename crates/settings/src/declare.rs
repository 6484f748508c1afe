//! The declaration of settings.

/// Declares a struct of settings: `field: Type = "key", default, Live | Restart;`, with ` as Form` behind a type
/// whose text needs a unit or bounds.
///
/// ```
/// use settings::{Millis, Settings as _, settings};
/// use std::time::Duration;
///
/// settings! {
///     /// What an operator can tell this component.
///     pub struct Settings {
///         /// Port to listen on.
///         pub listen_port: u16 = "listenPort", 9876, Restart;
///         /// Pause between two rounds.
///         pub scan_interval: Duration as Millis<100> = "scanInterval", Duration::from_secs(5), Live;
///     }
/// }
///
/// let mut settings = Settings::default();
/// settings.set("scanInterval", "250")?;
/// assert_eq!(settings.scan_interval, Duration::from_millis(250));
/// assert_eq!(settings.to_properties_text(), "listenPort=9876\nscanInterval=250\n");
/// # Ok::<(), settings::Error>(())
/// ```
#[macro_export]
macro_rules! settings {
    ($(#[doc = $about:literal])* $vis:vis struct $name:ident {
        $($(#[doc = $doc:literal])+
          pub $field:ident : $type:ty $(as $form:ty)? = $key:literal, $default:expr, $change:ident;)*
    }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name { $($(#[doc = $doc])+ pub $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }

        impl $crate::Settings for $name {
            fn keys(&self) -> &'static [$crate::Key] {
                const KEYS: &[$crate::Key] = &[$($crate::Key {
                    name: $key,
                    doc: concat!($($doc, "\n"),+),
                    unit: <$crate::form!($($form)?) as $crate::Form<$type>>::UNIT,
                    change: $crate::Change::$change,
                },)*];
                KEYS
            }

            fn get(&self, key: &str) -> Option<String> {
                match key {
                    $($key => Some(<$crate::form!($($form)?) as $crate::Form<$type>>::show(&self.$field)),)*
                    _ => None,
                }
            }

            fn check(&self, key: &str, text: &str) -> Result<(), $crate::Error> {
                match key {
                    $($key => $crate::parse::<$type, $crate::form!($($form)?)>($key, text).map(drop),)*
                    _ => Err($crate::unknown(key, self.keys())),
                }
            }

            fn set(&mut self, key: &str, text: &str) -> Result<(), $crate::Error> {
                match key {
                    $($key => self.$field = $crate::parse::<$type, $crate::form!($($form)?)>($key, text)?,)*
                    _ => return Err($crate::unknown(key, self.keys())),
                }
                Ok(())
            }
        }
    };
}

/// The form of a field: the one named, or the type's own.
#[doc(hidden)]
#[macro_export]
macro_rules! form {
    () => {
        $crate::Plain
    };
    ($form:ty) => {
        $form
    };
}

/// Declares an enum whose values are words: `Variant = "WORD"`.
#[macro_export]
macro_rules! choices {
    ($(#[$about:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $name { $($(#[$doc])* $variant,)* }

        impl $crate::Setting for $name {
            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($name::$variant),)*
                    _ => Err(format!("it must be one of {}", [$($word),*].join(", "))),
                }
            }

            fn show(&self) -> String {
                match self { $($name::$variant => $word.into(),)* }
            }
        }
    };
}

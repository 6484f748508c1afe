//! Who speaks: language and release of a peer, as every frame names them.

use serde::{Deserialize, Serialize};

/// Release that every frame of ours announces: `MQVersion.V5_5_0`.
pub const VERSION: i32 = 513;

/// First release that reads quoted map keys in a route (`MQVersion.V4_9_4`).
pub const VERSION_STANDARD_JSON: i32 = 401;

/// First release whose `maxReconsumeTimes` counts (`MQVersion.V3_4_9`).
pub const VERSION_MAX_RECONSUME_TIMES: i32 = 121;

/// First release that registers with a `RegisterBrokerBody` (`MQVersion.V3_0_11`).
pub const VERSION_REGISTER_BODY: i32 = 37;

/// Name of a release for humans, from its `MQVersion` ordinal: each release and its snapshot are consecutive.
pub fn version_name(ordinal: i32) -> String {
    // Ordinals of the releases that users run; in between, the nearest below with a plus sign is honest enough.
    const KNOWN: [(i32, &str); 13] = [
        (513, "V5_5_0"),
        (493, "V5_4_0"),
        (483, "V5_3_5"),
        (481, "V5_3_4"),
        (479, "V5_3_3"),
        (477, "V5_3_2"),
        (475, "V5_3_1"),
        (473, "V5_3_0"),
        (413, "V5_0_0"),
        (401, "V4_9_4"),
        (121, "V3_4_9"),
        (62, "V3_1_8"),
        (0, "V3_0_0"),
    ];
    match KNOWN.iter().find(|(known, _)| *known <= ordinal) {
        Some((known, name)) if *known == ordinal => (*name).into(),
        Some((_, name)) => format!("{name}+"),
        None => ordinal.to_string(),
    }
}

/// A peer's language as its number on the wire. Source: `LanguageCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Language(pub u8);

const NAMES: [&str; 14] = [
    "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS", "RUST",
    "NODE_JS",
];

impl Language {
    /// What our servers and clients answer: clients branch on nothing else.
    pub const JAVA: Language = Language(0);

    /// The enum name, `None` for a number that has none.
    pub fn name(self) -> Option<&'static str> {
        NAMES.get(usize::from(self.0)).copied()
    }

    /// The language of a name.
    pub fn named(name: &str) -> Option<Language> {
        NAMES.iter().position(|known| *known == name).map(|at| Language(at as u8))
    }
}

impl Serialize for Language {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name().unwrap_or("OTHER"))
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Language::named(&name).unwrap_or_default())
    }
}

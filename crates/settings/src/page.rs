//! The page of keys in `docs/`.

use crate::{Change, Settings};

/// Renders the keys of a group as a Markdown table under a heading. Give it the defaults.
pub fn page(heading: &str, defaults: &dyn Settings) -> String {
    let mut page = format!("## {heading}\n\n| key | default | unit | change | meaning |\n|---|---|---|---|---|\n");
    for key in defaults.keys() {
        let default = defaults.get(key.name).filter(|text| !text.is_empty());
        let default = default.map(|text| format!("`{text}`")).unwrap_or_default();
        let change = match key.change {
            Change::Live => "at once",
            Change::Restart => "restart",
        };
        let meaning = key.doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        page.push_str(&format!("| `{}` | {default} | {} | {change} | {meaning} |\n", key.name, key.unit));
    }
    page
}

#[cfg(test)]
mod tests {
    crate::settings! {
        /// Test.
        struct Sample {
            /// Port that clients
            /// connect to.
            pub listen_port: u16 = "listenPort", 9876, Restart;
        }
    }

    #[test]
    fn a_key_is_a_row() {
        let page = super::page("Sample", &Sample::default());
        let row = "| `listenPort` | `9876` |  | restart | Port that clients connect to. |";
        assert_eq!(page.lines().last(), Some(row));
    }
}

//! The page in `docs/` says what can be set.

#[test]
fn the_page_of_settings_is_current() {
    let page = include_str!("../../../../docs/configuration.md");
    let expected = settings::page("TLS", &remoting::TlsSettings::default());
    assert!(page.contains(&expected), "put this into docs/configuration.md:\n\n{expected}");
}

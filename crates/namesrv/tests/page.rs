//! The page of settings says what the settings are.

#[test]
fn the_page_of_settings_is_current() {
    let page = include_str!("../../../docs/configuration.md");
    let expected = settings::page("Name server", &namesrv::Settings::default());
    assert!(page.contains(&expected), "put this into docs/configuration.md:\n\n{expected}");
}

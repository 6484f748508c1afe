//! The page in `docs/` says what can be set.

#[test]
fn the_page_of_settings_is_current() {
    let page = include_str!("../../../docs/configuration.md");
    let grpc = settings::page("gRPC", &proxy::Settings::default());
    let proxy = settings::page("Proxy", &proxy::ClusterSettings::default());
    for expected in [grpc, proxy] {
        assert!(page.contains(&expected), "put this into docs/configuration.md:\n\n{expected}");
    }
}

//! What a file may say of the API.

use coalmine_node::config::Config;

#[test]
fn limits_of_streams_are_read_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Config::read(&file)
    };
    let config = read("[http]\nstreams = 50\nstreams_per_address = 50\nbehind_proxy = true\n").unwrap();
    assert_eq!((config.http.streams, config.http.streams_per_address, config.http.behind_proxy), (50, 50, true));
    // What a node writes it reads.
    assert_eq!(read(&config.to_text()).unwrap(), config);
    for bad in [
        "[http]\nstreams = 0\n",
        "[http]\nstreams = 100001\n",
        "[http]\nstreams = 10\n",
        "[http]\nstreams_per_address = 0\n",
        "[http]\nstreams_per_address = -1\n",
        "[http]\nstream = 10\n",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

//! Generates what is checked in: the Rust of the gRPC protocol from its `.proto` files, without protoc.
//!
//! ```text
//! cargo run --manifest-path xtask/Cargo.toml            write
//! cargo run --manifest-path xtask/Cargo.toml -- check   fail if what is there differs
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use prost::Message as _;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the repository")?;
    let checked_in = root.join("crates/proxy/src/grpc");
    match std::env::args().nth(1).as_deref() {
        None => generate(root, &checked_in),
        Some("check") => {
            let fresh = std::env::temp_dir().join(format!("rocketmq-xtask-{}", std::process::id()));
            fs::create_dir_all(&fresh)?;
            let checked = generate(root, &fresh).and_then(|()| compare(&fresh, &checked_in));
            fs::remove_dir_all(&fresh)?;
            checked
        }
        Some(other) => bail!("{other:?} is no task; there is none, or `check`"),
    }
}

fn generate(root: &Path, out: &Path) -> Result<()> {
    let protos = root.join("crates/proxy/proto");
    let files = protox::compile(["apache/rocketmq/v2/service.proto"], [&protos])?;
    // Reflection hands this out.
    fs::write(out.join("descriptor.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        // Transport is chosen by who uses the client, which is our tests.
        .build_transport(false)
        .bytes(".apache.rocketmq.v2.Message.body")
        .out_dir(out)
        .compile_fds(files)?;
    format(root, out)
}

/// `cargo fmt` formats what is checked in, so it has to be compared formatted.
fn format(root: &Path, out: &Path) -> Result<()> {
    let files = fs::read_dir(out)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let sources = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--config-path"]).arg(root).args(sources);
    let status = rustfmt.status().context("run rustfmt")?;
    if !status.success() {
        bail!("rustfmt ended with {status}");
    }
    Ok(())
}

fn compare(fresh: &Path, checked_in: &Path) -> Result<()> {
    for entry in fs::read_dir(fresh)? {
        let entry: PathBuf = entry?.path();
        let name = entry.file_name().context("a file has a name")?;
        let there = checked_in.join(name);
        if fs::read(&entry)? != fs::read(&there).unwrap_or_default() {
            bail!("{} is not what the .proto files say: cargo run --manifest-path xtask/Cargo.toml", there.display());
        }
    }
    Ok(())
}

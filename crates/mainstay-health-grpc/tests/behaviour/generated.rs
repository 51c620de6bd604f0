//! The code under `src/generated` is what the proto file says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use prost::Message;

/// Run the tests with this variable set to write the code instead of comparing it.
const REWRITE: &str = "MAINSTAY_REWRITE_GENERATED";

#[test]
fn the_committed_code_is_what_the_proto_file_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().unwrap();
    let files = protox::compile(["grpc/health/v1/health.proto"], [root.join("proto")]).unwrap();
    let descriptors = files.encode_to_vec();
    tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".")
        .emit_rerun_if_changed(false)
        .out_dir(fresh.path())
        .compile_fds(files)
        .unwrap();

    for (name, fresh) in [
        ("grpc.health.v1.rs", fs::read(fresh.path().join("grpc.health.v1.rs")).unwrap()),
        ("grpc.health.v1.bin", descriptors),
    ] {
        let committed = root.join("src/generated").join(name);
        if std::env::var_os(REWRITE).is_some() {
            fs::write(committed, fresh).unwrap();
        } else if fs::read(&committed).unwrap_or_default() != fresh {
            panic!(
                "{} differs from what the proto file generates: set {REWRITE}=1 and run this test",
                committed.display()
            );
        }
    }
}

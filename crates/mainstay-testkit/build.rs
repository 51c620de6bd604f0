//! Compiles the test service's proto file, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "grpc")]
    {
        println!("cargo::rerun-if-changed=proto");
        let files = protox::compile(["test.proto"], ["proto"])?;
        tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds(files)?;
    }
    Ok(())
}

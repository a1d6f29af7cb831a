//! Compiles the protobuf schema with a compiler written in Rust, so that no `protoc` is needed.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let schema = protox::compile(["proto/holdfast.proto"], ["proto"])?;
    let mut config = prost_build::Config::new();
    // A password is never printed: `wire::proto::LogIn` says itself how it shows.
    config.bytes(["."]).btree_map(["."]).skip_debug([".holdfast.v1.LogIn"]).compile_fds(schema)?;
    Ok(())
}

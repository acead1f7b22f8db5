//! Compiles every file of `squall/v1` without protoc: messages with feature `wire`, services with `grpc` too.

#[cfg(feature = "wire")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    wire::generate()
}

#[cfg(not(feature = "wire"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}

#[cfg(feature = "wire")]
mod wire {
    use std::error::Error;
    use std::path::PathBuf;
    use std::{env, fs, io};

    const FOLDER: &str = "squall/v1";

    pub(super) fn generate() -> Result<(), Box<dyn Error>> {
        println!("cargo::rerun-if-changed=build.rs");
        println!("cargo::rerun-if-changed={FOLDER}");
        let grpc = env::var_os("CARGO_FEATURE_GRPC").is_some();
        let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("failed to find OUT_DIR")?);

        let mut compiler = protox::Compiler::new(["."])?;
        compiler.include_imports(true).include_source_info(true);
        compiler.open_files(sources()?)?;
        // Comments become the documentation of the generated code; reflection has no use for them.
        let documented = compiler.file_descriptor_set();
        compiler.include_source_info(false);
        fs::write(out.join("squall.v1.bin"), compiler.encode_file_descriptor_set())?;

        tonic_prost_build::configure()
            .build_client(grpc)
            .build_server(grpc)
            .btree_map(".")
            .out_dir(out)
            .compile_fds(documented)?;
        Ok(())
    }

    /// All `.proto` files, in the order of their names: the same input gives the same output.
    fn sources() -> io::Result<Vec<PathBuf>> {
        let mut sources = fs::read_dir(FOLDER)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        sources.retain(|path: &PathBuf| path.extension() == Some("proto".as_ref()));
        sources.sort();
        Ok(sources)
    }
}

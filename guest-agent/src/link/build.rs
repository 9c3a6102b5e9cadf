//! Links the released binary without unwind tables. Tests need theirs, so this cannot be a flag for all profiles.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=src/link/no-tables.ld");
    if env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    let Ok(directory) = env::var("CARGO_MANIFEST_DIR") else {
        return;
    };
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{directory}/src/link/no-tables.ld");
    println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
}

//! libFuzzer over one door.

use std::ffi::{CString, c_char, c_int};
use std::sync::OnceLock;

use anyhow::{Result, ensure};
use squall_fuzz::Door;

static DOOR: OnceLock<&'static Door> = OnceLock::new();

unsafe extern "C" {
    /// libFuzzer's loop, with the arguments of its command line.
    fn LLVMFuzzerRunDriver(
        count: *mut c_int,
        arguments: *mut *mut *mut c_char,
        test: unsafe extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;

    /// Of `libfuzzer_sys`: hands the input to [`rust_fuzzer_test_input`].
    fn LLVMFuzzerTestOneInput(bytes: *const u8, length: usize) -> c_int;
}

/// What `libfuzzer_sys` calls with each input.
#[unsafe(no_mangle)]
#[expect(improper_ctypes_definitions, reason = "Rust calls it, and declares it so")]
extern "C" fn rust_fuzzer_test_input(bytes: &[u8]) -> c_int {
    if let Some(door) = DOOR.get() {
        door.open(bytes);
    }
    0
}

/// Runs libFuzzer with its own arguments. It ends the process itself when something is found.
pub(super) fn run(door: &'static Door, arguments: &[String]) -> Result<()> {
    // Also a panic that the code under test would catch is a finding: it ends here, with its input.
    libfuzzer_sys::initialize(std::ptr::null(), std::ptr::null());
    DOOR.get_or_init(|| door);
    let own = ["squall-fuzz".to_owned(), format!("-max_len={}", door.longest)];
    let words: Vec<CString> = own
        .iter()
        .chain(arguments)
        .map(|word| CString::new(word.as_str()))
        .collect::<Result<_, _>>()?;
    let mut pointers: Vec<*mut c_char> =
        words.iter().map(|word| word.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect();
    let mut count = c_int::try_from(words.len())?;
    let mut arguments = pointers.as_mut_ptr();
    // SAFETY: `arguments` are `count` texts that end in 0, then a null, and outlive the call; libFuzzer only reads them.
    let status =
        unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut arguments, LLVMFuzzerTestOneInput) };
    ensure!(status == 0, "libFuzzer ended with {status}");
    Ok(())
}

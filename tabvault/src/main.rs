//! The binary; everything is in the library beside it.

/// Gives back what is freed, whichever thread freed it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    tabvault::main()
}

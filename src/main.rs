//! Parse, run, report: exit codes only.

fn main() -> std::process::ExitCode {
    roundtable::cli::main()
}

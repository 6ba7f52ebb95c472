//! Runs one fuzz target under libFuzzer: `turnwire-fuzz TARGET [libFuzzer's arguments]`. See `README.md`.

mod adapters;
mod cursors;
mod hooks;
mod hub;
mod otlp;
mod publish;
mod query;
mod sse;
mod targets;
mod views;

use std::{
    env,
    ffi::{CString, c_char, c_int},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::OnceLock,
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use targets::Target;

/// Time at work that one input may take: every bound of the parsers is far below it.
const SLOW: Duration = Duration::from_secs(10);

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let target = TARGET.get().expect("main sets it before libFuzzer runs");
    let before = worked();
    target.run(data);
    let spent = worked() - before;
    assert!(spent < SLOW, "one input takes {spent:?}");
});

unsafe extern "C" {
    fn LLVMFuzzerRunDriver(
        argc: *mut c_int,
        argv: *mut *mut *mut c_char,
        one: unsafe extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
    fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> c_int;
}

/// How libFuzzer, when it starts this program again (`-jobs`, `-merge`), passes the target on: it leaves `--` alone.
const FLAG: &str = "--target=";

fn main() -> ExitCode {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let name = match args.iter().position(|arg| arg.starts_with(FLAG)) {
        Some(at) => args.remove(at)[FLAG.len()..].to_owned(),
        None if args.is_empty() => "--help".to_owned(),
        None => args.remove(0),
    };
    match name.as_str() {
        "--list" => {
            targets::all().iter().for_each(|target| println!("{}", target.name));
            ExitCode::SUCCESS
        }
        "all" => each_in_turn(&args),
        name => match targets::all().into_iter().find(|target| target.name == name) {
            Some(target) => fuzz(target, args),
            None => {
                eprintln!("usage: turnwire-fuzz TARGET|all|--list [libFuzzer's arguments]\ntargets:");
                targets::all().iter().for_each(|target| eprintln!("  {}", target.name));
                ExitCode::FAILURE
            }
        },
    }
}

fn each_in_turn(args: &[String]) -> ExitCode {
    let me = env::current_exe().expect("the program that runs has a path");
    for target in targets::all() {
        println!("== {}", target.name);
        let status = Command::new(&me).arg(&target.name).args(args).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!(
                "{} has a finding: its input is in {}",
                target.name,
                artifacts(&target.name).display()
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// How long this thread has worked: the clock on the wall also runs while the machine does something else.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn artifacts(name: &str) -> PathBuf {
    home().join("artifacts").join(name)
}

fn fuzz(target: Target, given: Vec<String>) -> ExitCode {
    let corpus = home().join("corpus").join(&target.name);
    for dir in [&corpus, &artifacts(&target.name)] {
        fs::create_dir_all(dir).expect("the corpus can be written beside the sources");
    }
    let mut args = vec![
        env::args().next().unwrap_or_default(),
        format!("{FLAG}{}", target.name),
        format!("-artifact_prefix={}/", artifacts(&target.name).display()),
        // A loop without end; what is merely slow is found by the time at work.
        "-timeout=300".into(),
        // Every bound of the parsers is below it.
        "-rss_limit_mb=1024".into(),
        "-print_final_stats=1".into(),
    ];
    if let Some(dict) = target.dictionary() {
        args.push(format!("-dict={}", dict.display()));
    }
    let places = given.iter().any(|arg| !arg.starts_with('-'));
    args.extend(given);
    if !places {
        // What is found goes to the first; the others are read.
        let seeds = target.seeds.iter().map(|dir| home().join(dir));
        let dirs = std::iter::once(corpus).chain(seeds.filter(|dir| dir.is_dir()));
        args.extend(dirs.map(|dir| dir.display().to_string()));
    }
    TARGET.set(target).unwrap_or_else(|_| unreachable!("set once"));
    drive(args)
}

fn drive(args: Vec<String>) -> ExitCode {
    let args: Vec<CString> = args
        .into_iter()
        .map(|arg| CString::new(arg).expect("arguments have no NUL"))
        .collect();
    let mut pointers: Vec<*mut c_char> = args.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    let mut argc = c_int::try_from(pointers.len()).expect("a command line is short");
    pointers.push(std::ptr::null_mut());
    let mut argv = pointers.as_mut_ptr();
    // SAFETY: `argc` and `argv` are as C's main gets them and live until the call returns; libFuzzer reads the strings and
    // may reorder the pointers, but writes to no string.
    let code = unsafe { LLVMFuzzerRunDriver(&raw mut argc, &raw mut argv, LLVMFuzzerTestOneInput) };
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

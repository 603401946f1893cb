//! The test's side of the library that lets system calls fail: what is to happen is written into a file that the program under test shares.
//! `preload/control.rs` is the other side, and says what each number means.

use std::ffi::OsString;
use std::fs::{self, File};
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::harness::{eventually, example};

const HELLO: u64 = 0;
const ARMED: u64 = 1;
const KINDS: u64 = 2;
const FIRST: u64 = 3;
const LAST: u64 = 4;
const FAULT: u64 = 5;
const COUNT: u64 = 6;
const STRUCK: u64 = 7;

/// Kinds of calls, as bits.
pub mod kinds {
    pub const CREATE: u64 = 1 << 0;
    pub const OPEN: u64 = 1 << 1;
    pub const WRITE: u64 = 1 << 2;
    pub const TRUNCATE: u64 = 1 << 3;
    pub const FLUSH: u64 = 1 << 4;
    pub const RENAME: u64 = 1 << 5;
    pub const REMOVE: u64 = 1 << 6;
    pub const MAKE: u64 = 1 << 7;
    pub const LABEL: u64 = 1 << 8;
    pub const LOCK: u64 = 1 << 9;
    pub const READ: u64 = 1 << 10;
    pub const LOOK: u64 = 1 << 11;
    pub const ACCEPT: u64 = 1 << 12;
    pub const SEND: u64 = 1 << 13;
    pub const RECEIVE: u64 = 1 << 14;
    pub const ANSWER: u64 = 1 << 15;
    pub const SPAWN: u64 = 1 << 16;

    /// All that change something on disk.
    pub const CHANGES: u64 = CREATE | WRITE | TRUNCATE | FLUSH | RENAME | REMOVE | MAKE | LABEL | LOCK;
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The program is killed immediately before it (or after it, if it is an answer).
    Kill,
    /// It fails with this error number.
    Error(i32),
    /// It writes half of what it was asked to.
    Short,
}

/// Counts and strikes the calls of one program.
pub struct Injector {
    page: File,
    path: PathBuf,
    record: Option<PathBuf>,
}

impl Injector {
    /// For the program of this name. With `record` what it does is written down there.
    pub fn new(directory: &Path, name: &str, record: Option<PathBuf>) -> Injector {
        let path = directory.join(format!("{name}.faults"));
        fs::write(&path, [0; 4096]).expect("create a file to share");
        let page = File::options().read(true).write(true).open(&path).expect("open it");
        Injector { page, path, record }
    }

    /// What the program's environment must have.
    #[track_caller]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let control =
            [("LD_PRELOAD", example("libfaults.so").into()), ("FAULT_CONTROL", self.path.clone().into())];
        let record = self.record.iter().map(|record| ("FAULT_RECORD", record.clone().into()));
        control.into_iter().chain(record).collect()
    }

    /// Fails unless the library is in the process: a statically linked program, for one, loads none.
    #[track_caller]
    pub fn check_hello(&self, process: u32) {
        eventually("the program to load the library that injects faults; is it linked statically?", || {
            let hello = self.get(HELLO);
            if hello == u64::from(process) { Ok(()) } else { Err(format!("{hello} instead of {process}")) }
        });
    }

    /// From now on calls of these kinds count, and these of them are struck.
    pub fn arm(&self, fault: Fault, kinds: u64, calls: RangeInclusive<u64>) {
        self.disarm();
        let fault = match fault {
            Fault::Kill => 0,
            Fault::Error(number) => u64::try_from(number).expect("error numbers are positive"),
            Fault::Short => 1 << 16,
        };
        let numbers = [(KINDS, kinds), (FIRST, *calls.start()), (LAST, *calls.end()), (FAULT, fault)];
        for (place, number) in numbers.into_iter().chain([(COUNT, 0), (STRUCK, 0), (ARMED, 1)]) {
            self.set(place, number);
        }
    }

    /// From now on nothing counts, and nothing is struck.
    pub fn disarm(&self) {
        self.set(ARMED, 0);
    }

    /// How many calls counted since it was armed.
    pub fn count(&self) -> u64 {
        self.get(COUNT)
    }

    /// How many of them were struck.
    pub fn struck(&self) -> u64 {
        self.get(STRUCK)
    }

    fn get(&self, place: u64) -> u64 {
        let mut bytes = [0; 8];
        self.page.read_exact_at(&mut bytes, 8 * place).expect("read the file that is shared");
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, place: u64, number: u64) {
        self.page.write_all_at(&number.to_ne_bytes(), 8 * place).expect("write the file that is shared");
    }
}

/// Functions of the C library that change something on disk and that the library does not stand in front of. A program that begins to use
/// one needs it there.
const NOT_COUNTED: [&str; 23] = [
    "chmod",
    "creat",
    "creat64",
    "fallocate",
    "fallocate64",
    "fchmodat2",
    "ftruncate",
    "futimes",
    "lchmod",
    "link",
    "linkat",
    "mknod",
    "mknodat",
    "open",
    "posix_fallocate",
    "pwrite",
    "pwritev",
    "rename",
    "renameat",
    "rmdir",
    "symlink",
    "truncate64",
    "unlink",
];

#[test]
fn no_change_goes_past_the_injector() {
    for program in ["server", "client_a", "client_b"] {
        let path = crate::harness::program(program).get_program().to_owned();
        let binary = fs::read(path).expect("read a program");
        let linked = linked(&binary);
        assert!(linked.contains(&"fdatasync"), "{program} links {linked:?} only; is it linked statically?");
        let missed: Vec<&&str> = NOT_COUNTED.iter().filter(|name| linked.contains(*name)).collect();
        assert!(
            missed.is_empty(),
            "{program} uses {missed:?}, which preload/lib.rs does not stand in front of"
        );
    }
}

/// The names of what is linked dynamically: they stand one after the other, with a NUL between each and the next.
fn linked(binary: &[u8]) -> Vec<&str> {
    const ANY: &[u8] = b"\0__libc_start_main\0";
    let at = binary.windows(ANY.len()).position(|window| window == ANY).unwrap_or(0);
    let is_end = |byte: &u8| *byte != 0 && !byte.is_ascii_graphic();
    let start = binary[..at].iter().rposition(is_end).map_or(0, |last| last + 1);
    let end = binary[at..].iter().position(is_end).map_or(binary.len(), |first| at + first);
    let names = binary[start..end].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.filter_map(|name| std::str::from_utf8(name).ok()).collect()
}

//! Programs that are killed immediately before any system call, whose calls fail, and whose disk forgets what was not flushed.
//!
//! A small library that is loaded into the programs under test counts their calls and lets one of them go wrong (`preload/`). A *point* is
//! one call of one program in one scenario. At each, the same must hold: nothing is lost, nothing is torn, nothing is left over, and
//! everybody comes to agree on exactly what the users did, without a conflict that was none.
//!
//! There are some 18,000 points. By default a few of each scenario are tried, drawn from a seed that is printed;
//! `scripts/faults` tries them all.
//!
//! ```text
//!     FILESYNC_FAULTS=all          every point instead of a sample
//!     FILESYNC_EVERY=5             ... or each fifth of every scenario, the first of them drawn from the seed
//!     FILESYNC_SCENARIO=rename     only scenarios whose name has this in it
//!     FILESYNC_POINT=17            only the 17th call of each
//!     FILESYNC_SEED=N              the sample that this seed gave
//!     FILESYNC_PARALLEL=4          so many scenarios at a time
//! ```

mod errors;
pub mod injector;
mod kill;
mod lost;
mod power;
mod readers;
mod requests;
mod scenarios;
mod scene;
mod sweep;

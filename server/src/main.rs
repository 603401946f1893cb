//! Placeholder.
mod hub;
mod store;
fn main() {}

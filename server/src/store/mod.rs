mod book;
mod change;
mod index;
mod look;
mod pick;
mod records;
mod rules;

mod alone;
mod candidate;
mod table;

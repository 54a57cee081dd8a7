mod alone;
mod candidate;

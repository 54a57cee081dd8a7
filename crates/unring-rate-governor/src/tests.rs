mod controller;
mod meter;

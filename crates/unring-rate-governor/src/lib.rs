//! Admission control that holds measured CPU at a budget: so far, the controller and the meter.
#![forbid(unsafe_code)]

mod budget;
mod controller;
mod meter;
#[cfg(test)]
mod tests;

pub use budget::{CpuBudget, InvalidBudget, MAX_BUDGET_PERCENT, MIN_BUDGET_PERCENT};
pub use controller::{BLIND_FACTOR, CONTROL_PERIOD, Controller, FLOOR, MAX_SCALE, Measurement, SENSOR_GRACE};
pub use meter::{CpuMeter, MAX_THREADS};

#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod active;
mod bucket;
mod budget;
mod callers;
mod controller;
mod cost;
mod decision;
mod governor;
mod machine;
mod meter;
mod rate;
#[cfg(test)]
mod tests;

pub use ::governor::clock;
pub use budget::{CpuBudget, InvalidBudget, MAX_BUDGET_PERCENT, MIN_BUDGET_PERCENT};
pub use controller::{
    BLIND_FACTOR, CONTROL_PERIOD, Controller, FLOOR, MAX_SCALE, Measurement, SENSOR_GRACE,
};
pub use decision::{Decision, Limited, Priority, WhichLimit};
pub use governor::{Config, Control, DEFAULT_MAX_CALLERS, Governor};
pub use machine::{
    DOUBLED_IN, HALVED_IN, InvalidMachineFile, LEAST_PART, LoweredBy, Machine, PRESSURE_HIGH,
    PRESSURE_LOW, THROTTLED_HIGH, THROTTLED_LOW, Yielding, parse_cpu_max, parse_cpu_pressure,
    parse_own_cgroup, parse_throttled,
};
pub use meter::{CpuMeter, MAX_THREADS};
pub use rate::{InvalidRate, MAX_RATE, MIN_BURST, Rate};

//! The meter on fixture files, and on threads of this process.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::meter::{CpuMeter, MAX_THREADS, parse_schedstat, thread_clock};

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn write(root: &Path, tid: i32, text: &str) {
    let task = root.join(tid.to_string());
    fs::create_dir_all(&task).unwrap();
    fs::write(task.join("schedstat"), text).unwrap();
}

fn set(root: &Path, tid: i32, nanos: u64) {
    write(root, tid, &format!("{nanos} 77 5\n"));
}

#[test]
fn schedstat_is_parsed_strictly() {
    for (text, expected) in [
        ("1274338311 12345 678\n", Some(1_274_338_311)),
        ("18446744073709551615 18446744073709551615 18446744073709551615\n", Some(u64::MAX)),
        ("1 0 0", Some(1)),
        ("0 0 0\n", None),
        ("", None),
        ("\n", None),
        ("12\n", None),
        ("12 13\n", None),
        ("12 13 14 15\n", None),
        ("-1 0 0\n", None),
        ("1.5 0 0\n", None),
        ("x 0 0\n", None),
        ("18446744073709551616 0 0\n", None),
    ] {
        assert_eq!(parse_schedstat(text), expected, "{text:?}");
    }
}

#[test]
fn shares_are_taken_between_samples() {
    let root = tempfile::tempdir().unwrap();
    let meter = CpuMeter::with_task_directory(root.path());
    set(root.path(), 1, 5_000_000_000);
    set(root.path(), 2, 1);
    meter.register(1);
    meter.register(2);
    assert_eq!(meter.cpu_seconds(), 0.0, "what was used before counts for nothing");
    assert_eq!(meter.sample(at(1000)), None, "nothing to compare with yet");
    set(root.path(), 1, 5_030_000_000);
    set(root.path(), 2, 20_000_001);
    assert!((meter.sample(at(2000)).unwrap() - 0.05).abs() < 1e-12);
    assert_eq!(meter.sample(at(2000)), None, "no time has passed");
    assert_eq!(meter.sample(at(1500)), None, "nor has it gone back");
    set(root.path(), 1, 5_040_000_000);
    assert!((meter.sample(at(2200)).unwrap() - 0.05).abs() < 1e-12);
    assert!((meter.cpu_seconds() - 0.06).abs() < 1e-12);
}

#[test]
fn the_sum_never_falls_when_threads_come_and_go() {
    let root = tempfile::tempdir().unwrap();
    let meter = CpuMeter::with_task_directory(root.path());
    set(root.path(), 1, 1);
    set(root.path(), 2, 1);
    meter.register(1);
    meter.register(2);
    assert_eq!(meter.sample(at(0)), None);
    set(root.path(), 1, 500_000_001);
    meter.unregister(1);
    assert_eq!((meter.cpu_seconds(), meter.threads()), (0.5, 1), "its last value is kept");
    assert_eq!(meter.sample(at(1000)), Some(0.5));
    // Its id goes to another thread that has run less.
    set(root.path(), 1, 100_000_000);
    meter.register(1);
    set(root.path(), 1, 200_000_000);
    assert!((meter.cpu_seconds() - 0.6).abs() < 1e-12);
    // A thread that ends without saying so: its id comes back with a smaller number.
    set(root.path(), 2, 300_000_001);
    assert!((meter.cpu_seconds() - 0.9).abs() < 1e-12);
    set(root.path(), 2, 50_000_000);
    assert!((meter.cpu_seconds() - 0.95).abs() < 1e-12);
    // Or its file is gone: it counts with what was read last.
    fs::remove_dir_all(root.path().join("2")).unwrap();
    assert!((meter.cpu_seconds() - 0.95).abs() < 1e-12);
    assert!(meter.sample(at(2000)).is_some(), "the other thread can be read");
}

#[test]
fn without_run_times_there_is_no_sample() {
    let root = tempfile::tempdir().unwrap();
    let meter = CpuMeter::with_task_directory(root.path().join("absent"));
    meter.register(1);
    meter.unregister(99);
    assert_eq!((meter.sample(at(0)), meter.sample(at(1000))), (None, None));
    assert_eq!(meter.cpu_seconds(), 0.0);

    let meter = CpuMeter::with_task_directory(root.path());
    assert_eq!(
        (meter.sample(at(0)), meter.sample(at(1000))),
        (None, None),
        "no thread is registered"
    );
    meter.register(1);
    for text in ["0 0 0\n", "garbage", ""] {
        write(root.path(), 1, text);
        assert_eq!((meter.sample(at(2000)), meter.sample(at(3000))), (None, None), "{text:?}");
    }
    // Back: the first sample only starts the next stretch.
    set(root.path(), 1, 900_000_000);
    assert_eq!(meter.sample(at(4000)), None);
    set(root.path(), 1, 950_000_000);
    assert_eq!(meter.sample(at(5000)), Some(0.05));
}

#[test]
fn threads_beyond_the_cap_are_counted_not_metered() {
    let root = tempfile::tempdir().unwrap();
    let meter = CpuMeter::with_task_directory(root.path());
    for tid in 0..i32::try_from(MAX_THREADS).unwrap() + 5 {
        meter.register(tid);
    }
    meter.register(0);
    assert_eq!((meter.threads(), meter.unmetered()), (MAX_THREADS, 5));
}

/// Uses some CPU until the meter has seen `seconds` of it, or gives up.
fn burn(meter: &CpuMeter, seconds: f64) {
    for _ in 0..1_000_000 {
        if meter.cpu_seconds() > seconds {
            return;
        }
    }
}

#[test]
fn without_proc_the_clocks_of_the_threads_are_asked() {
    let meter = CpuMeter::by_clocks_alone();
    assert_eq!(meter.sample(at(0)), None, "no thread is registered");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            meter.register_current_thread();
            burn(&meter, 0.02);
            assert_eq!(meter.sample(at(1000)), None, "nothing to compare with yet");
            burn(&meter, 0.03);
            let share = meter.sample(at(2000)).unwrap();
            assert!((0.0..1.0).contains(&share), "{share}");
            meter.unregister_current_thread();
        });
    });
    let banked = meter.cpu_seconds();
    assert!((0.03..1.0).contains(&banked), "{banked}");
    assert_eq!(meter.cpu_seconds(), banked, "its thread has stopped, its sum stays");
}

#[test]
fn file_and_clock_count_the_same_time() {
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    let file = fs::read_to_string(format!("/proc/self/task/{tid}/schedstat"));
    // A kernel without the file is what the clock is for.
    let Some(by_file) = file.ok().and_then(|text| parse_schedstat(&text)) else { return };
    let by_clock = thread_clock(tid).unwrap();
    assert!(by_clock >= by_file && by_clock - by_file < 1_000_000_000, "{by_file} {by_clock}");
    assert_eq!(thread_clock(i32::MAX), None, "no such thread");
}

/// On the real kernel: the registered thread's work shows, an unregistered one's does not.
#[test]
fn only_registered_threads_are_metered() {
    let meter = CpuMeter::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Burns CPU all the while and is nobody's business.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let idle = std::thread::spawn(std::thread::park);
        assert_eq!(meter.cpu_seconds(), 0.0);
        scope
            .spawn(|| {
                meter.register_current_thread();
                meter.register_current_thread();
                assert_eq!(meter.threads(), 1);
                // The kernel may have been built without run times: then there is nothing to see, and no hang either.
                for _ in 0..100_000 {
                    if meter.cpu_seconds() > 0.02 {
                        break;
                    }
                }
                meter.unregister_current_thread();
            })
            .join()
            .unwrap();
        stop.store(true, Ordering::Relaxed);
        idle.thread().unpark();
        idle.join().unwrap();
    });
    let used = meter.cpu_seconds();
    assert_eq!(meter.threads(), 0);
    if Path::new("/proc/self/schedstat").exists() {
        assert!((0.02..1.0).contains(&used), "{used} s");
    }
    assert_eq!(meter.cpu_seconds(), used, "what the other thread burns does not count");
}

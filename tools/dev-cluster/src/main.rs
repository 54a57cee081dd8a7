//! The command behind `cargo xtask dev-cluster`.

mod args;

use std::io::{self, Write as _, stderr, stdout};
use std::process::ExitCode;
use std::sync::Arc;

use args::Args;
use clap::Parser as _;
use dev_cluster::cluster::Stop;
use dev_cluster::dir::ClusterDir;
use dev_cluster::error_chain;
use dev_cluster::netns::Netns;
use dev_cluster::plan::Plan;
use dev_cluster::report::{Report, Verdict, to_json};
use dev_cluster::run::run;
use dev_cluster::screen::Screen;
use dev_cluster::trigger::GrpcTrigger;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// EX_USAGE of sysexits.h.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(err) => {
            let wrong = err.use_stderr();
            // Help that cannot be written helps nobody.
            let _ = err.print();
            return if wrong { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let mut plan = match args.plan() {
        Ok(plan) => plan,
        Err(wrong) => {
            complain(&wrong);
            return ExitCode::from(USAGE);
        }
    };
    let mut screen = if args.json { Screen::stderr() } else { Screen::stdout() };
    let verdict = act(&args, &mut plan, &mut screen)
        .and_then(|report| show(&args, &report, &mut screen).map(|()| report.verdict));
    match verdict {
        Ok(Verdict::Pass) => ExitCode::SUCCESS,
        Ok(Verdict::Fail) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn act(args: &Args, plan: &mut Plan, screen: &mut Screen) -> Result<Report, String> {
    let stop = watched_signals().map_err(|err| format!("signals cannot be watched: {err}"))?;
    if args.netns() {
        // Before any other thread starts: threads and processes inherit where this one is.
        let netns = Netns::create(plan.setup.topology.nodes.len());
        let netns = netns.map_err(|err| error_chain(&err))?;
        netns.enter().map_err(|err| error_chain(&err))?;
        plan.setup.netns = Some(Arc::new(netns));
    }
    let mut trigger = GrpcTrigger::new().map_err(|err| error_chain(&err))?;
    let dir = ClusterDir::open(&args.dir).map_err(|err| error_chain(&err))?;
    run(plan, &Arc::new(dir), &stop, &mut trigger, screen).map_err(|err| error_chain(&err))
}

/// A stop that Ctrl-C, SIGTERM and the end of the terminal ask for.
fn watched_signals() -> io::Result<Stop> {
    let stop = Stop::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.flag())?;
    }
    Ok(stop)
}

fn show(args: &Args, report: &Report, screen: &mut Screen) -> Result<(), String> {
    screen.note(&report.summary());
    screen.note(&format!("The whole report: {}", args.dir.join("report.json").display()));
    if args.json {
        let json = to_json(report).map_err(|err| err.to_string())?;
        stdout()
            .write_all(json.as_bytes())
            .map_err(|err| format!("the report cannot be printed: {err}"))?;
    }
    Ok(())
}

fn complain(what: &str) {
    let _ = writeln!(stderr(), "dev-cluster: {what}");
}

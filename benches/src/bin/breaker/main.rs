//! Measures the breaker beside its peers and prints it as tables: time, ratios, scaling, allocations, instructions, budgets.
//!
//! `cargo run -p mainstay-benches --release --bin breaker`; `--quick` for a smoke run.
//!
//! See `benches/README.md` for how to run it and how to read it.

#![forbid(unsafe_code)]

mod args;
mod budgets;
mod figures;
mod live;
mod page;
mod scaling;
mod timing;

use std::error::Error;
use std::process::ExitCode;

use args::{Args, Command};
use figures::Figures;
use mainstay_benches::workers::Workers;
use mainstay_benches::{allocations, instructions, machine};

fn main() -> ExitCode {
    match Args::parse(std::env::args().skip(1)).map_err(Into::into).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("breaker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Box<dyn Error>> {
    match &args.command {
        Command::List => live::keys(&args.only).iter().for_each(|key| println!("{key}")),
        Command::One { key, calls } => live::call(key, *calls)?,
        Command::Report => report(&args)?,
    }
    Ok(())
}

fn report(args: &Args) -> Result<(), Box<dyn Error>> {
    if args.instructions {
        instructions::ready()?;
    }
    let load = machine::load();
    // Some peers ask for a runtime when two calls meet; see `Workers::start`.
    let workers = Workers::start(scaling::THREADS.into_iter().max().unwrap_or(2))?;
    let mut subjects = live::all(&args.only);
    let mut figures = Figures::of(&subjects);

    eprintln!("timing {} subjects, {} rounds ...", subjects.len(), args.rounds());
    figures.nanos(&timing::measure(&mut subjects, args.rounds(), args.round()));
    eprintln!("more than one thread ...");
    figures.scaling(&scaling::measure(&subjects, &workers, args.rounds() / 3, args.round()));
    eprintln!("allocations ...");
    figures.allocations(&allocations::measure("breaker")?.calls);
    let memory = allocations::measure("memory")?.memory;
    if args.instructions {
        eprintln!("instructions ...");
        figures.instructions(&instructions::measure(&figures.countable())?);
    }

    print!("{}", page::write(&figures, &memory, args, load));
    Ok(())
}

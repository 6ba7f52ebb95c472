//! `man`: the manual, made from the same definition as the help.

use std::{fs, process::ExitCode};

use clap::CommandFactory;
use clap_mangen::Man as Page;

use crate::{
    args::{Args, Man},
    out,
};

pub(crate) fn man(args: &Man) -> anyhow::Result<ExitCode> {
    let command = Args::command();
    match &args.dir {
        Some(dir) => {
            fs::create_dir_all(dir)?;
            clap_mangen::generate_to(command, dir)?;
        }
        None => {
            let mut text = Vec::new();
            Page::new(command).render(&mut text)?;
            out::print(String::from_utf8_lossy(&text).trim_end())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! `export`, `import`, `send`, `receive`: homes that move to another machine, as they are: encrypted.

use super::Outcome;
use crate::bus::{Failure, Order, Who};
use crate::carried::{
    Arriving, Bar, Export, Identity, Leaving, Place, Replace, elsewhere, explained, is_another,
    is_the_one_sent, place,
};
use crate::context::Context;
use carry::{Greeting, Parcel, Peer, receive, send};
use records::settings::HOME_ROOT;
use records::{FullName, Record, Refusal, Sections, Storage};
use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What runs at the other end: as root, who alone may write to `/home`.
const THERE: &str = "if [ \"$(id -u)\" = 0 ]; then exec homectl receive REPLACE; else exec sudo -n homectl receive REPLACE; fi";

/// `export USER [FILE]`
pub fn export(ctx: &Context<'_>, words: &[&str]) -> Outcome {
    let (leaving, greeting, _path) = leaving(ctx, words[0])?;
    let parcel = Parcel { source: leaving.source(), greeting: &greeting };
    let bar = Bar::of(words[0]);
    let mut watch = |progress| bar.show(progress);
    match words.get(1).copied().unwrap_or("-") {
        "-" if std::io::stdout().is_terminal() => {
            return Err(Failure::say("A home is not for a terminal. Name a file, or use a pipe"));
        }
        "-" => {
            let mut line = BufWriter::new(std::io::stdout().lock());
            send(parcel, &mut line, Peer::None, &mut watch).map_err(|failure| unfinished(&failure))?;
            line.flush().map_err(|error| Failure::say(format!("writing: {error}")))?;
        }
        file => to_file(file, parcel, &mut watch)?,
    }
    Ok(0)
}

/// Whole or not there: whoever finds it under its name may remove the home.
fn to_file(file: &str, parcel: Parcel<'_>, watch: carry::Watch<'_>) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::say(format!("{file}: {error}. The home here was not changed."));
    let export = Export::begin(Path::new(file)).map_err(failed)?;
    let mut line = BufWriter::new(export.file());
    send(parcel, &mut line, Peer::None, watch).map_err(|failure| unfinished(&failure))?;
    line.into_inner().map_err(|error| failed(error.into_error()))?;
    export.put_in_place().map_err(failed)
}

/// `import [FILE]`
pub fn import(ctx: &Context<'_>, words: &[&str]) -> Outcome {
    root_only(ctx)?;
    let mut line: Box<dyn Read> = match words.first().copied().unwrap_or("-") {
        "-" => Box::new(BufReader::new(std::io::stdin().lock())),
        file => {
            let opened = File::open(file).map_err(|error| Failure::say(format!("{file}: {error}")))?;
            Box::new(BufReader::with_capacity(1 << 20, opened))
        }
    };
    let offer = receive(&mut *line, None).map_err(|failure| explained(&failure))?;
    let name = offer.greeting().name.clone();
    let mut arriving = begin(ctx, offer.greeting())?;
    if let Some(place) = arriving.replaces() {
        ctx.asker.notice(&format!("This is the home of {name}. It takes the place of {}.", place.display()));
    }
    let bar = Bar::of("import");
    let (target, older) = arriving.ends();
    offer.accept(target, older, &mut |progress| bar.show(progress)).map_err(|failure| explained(&failure))?;
    let place = arriving.put_in_place()?;
    drop(bar);
    ctx.asker.notice(&format!("The home of {name} is at {}. It opens with its password.", place.display()));
    Ok(0)
}

/// Begins, unless what opens under that name here is another file than the one that would be written.
fn begin(ctx: &Context<'_>, greeting: &Greeting) -> Result<Arriving, Failure> {
    let name = FullName::parse(&greeting.name)
        .map_err(|_| Failure::say("The name that comes with it cannot be that of a home"))?;
    let place = place(Path::new(HOME_ROOT), &name);
    match ctx.daemon.record(Who::Name(&name.user.to_string())) {
        Err(failure) if failure.is(Refusal::NoSuchHome) => {}
        Err(failure) => return Err(failure),
        Ok(reply) => {
            let record =
                Record::parse(&reply.json, Sections::OWNER).map_err(|e| Failure::say(e.to_string()))?;
            if let Some(kept) = elsewhere(&record, &ctx.machine, &place) {
                return Err(Failure::say(format!(
                    "There is a home of {} already, at {kept}, and what arrives would be at {}. Nothing was changed. \
                     If it is not needed: homectl remove {}",
                    name.user,
                    place.display(),
                    name.user
                )));
            }
            // An image that lies there says by itself which home it is.
            if place.symlink_metadata().is_err() && is_another(&record, &ctx.machine, &greeting.luks) {
                return Err(Failure::say(format!(
                    "What arrives is another home of that name than the one of {0} that is known here, and whose image is \
                     away. Nothing was changed. If that one is not coming back: homectl unregister {0}",
                    name.user
                )));
            }
        }
    }
    let arrives = Place { root: Path::new(HOME_ROOT), machine: &ctx.machine };
    Arriving::begin(arrives, greeting, replace(ctx))
}

/// `receive`: the other end of `send`.
pub fn there(ctx: &Context<'_>, _: &[&str]) -> Outcome {
    let (mut line, mut answers) = (BufReader::new(std::io::stdin().lock()), std::io::stdout().lock());
    if std::io::stdin().is_terminal() {
        return Err(Failure::say("receive is what homectl send runs at the other end"));
    }
    let offer = receive(&mut line, Some(&mut answers)).map_err(|failure| explained(&failure))?;
    let mut arriving = match root_only(ctx).and_then(|()| begin(ctx, offer.greeting())) {
        Ok(arriving) => arriving,
        Err(failure) => {
            // Whoever sends says it to the user.
            let _ = offer.refuse(&said(&failure));
            return Ok(1);
        }
    };
    let (target, older) = arriving.ends();
    let Ok(received) = offer.accept(target, older, &mut |_| ()) else { return Ok(1) };
    match arriving.put_in_place() {
        Ok(_) => received.done().map(|()| 0).map_err(|failure| explained(&failure)),
        Err(failure) => {
            let _ = received.failed(&said(&failure));
            Ok(1)
        }
    }
}

/// `send USER HOST`
pub fn to_host(ctx: &Context<'_>, words: &[&str]) -> Outcome {
    let (name, host) = (words[0], words[1]);
    let (leaving, greeting, path) = leaving(ctx, name)?;
    let sent = leaving.identity();
    if ctx.settings.moves && sent.is_none() {
        return Err(Failure::say(format!(
            "{} has no LUKS header by which it would be known at {host}. Nothing was changed; send it without --move",
            path.display()
        )));
    }
    let mut child = ssh(host, &there_words(ctx))?;
    let moved = over_the_line(&mut child, &leaving, &greeting);
    // Its pipes are closed: it ends.
    let ended = child.wait();
    let moved = match (moved, ended) {
        (Ok(moved), _) => moved,
        (Err(failure), Ok(status)) if !status.success() && status.code() == Some(255) => {
            return Err(Failure::say(format!("ssh could not go on. {}", said(&failure))));
        }
        (Err(failure), _) => return Err(failure),
    };
    ctx.asker
        .notice(&format!("The home of {name} is at {host}, verified; {moved} bytes went over the line."));
    if let Some(sent) = sent.filter(|_| ctx.settings.moves) {
        opened_there(ctx, host, &greeting, &sent)?;
        leaving.remove(&path)?;
        ctx.daemon.order("RemoveHome", Order::Text(name))?;
    }
    Ok(0)
}

fn over_the_line(child: &mut Child, leaving: &Leaving, greeting: &Greeting) -> Result<u64, Failure> {
    let (Some(out), Some(mut back)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Failure::say("ssh has no pipes"));
    };
    let bar = Bar::of(&greeting.name);
    let mut line = BufWriter::with_capacity(1 << 20, out);
    let parcel = Parcel { source: leaving.source(), greeting };
    send(parcel, &mut line, Peer::Line(&mut back), &mut |progress| bar.show(progress))
        .map(|sent| sent.moved)
        .map_err(|failure| explained(&failure))
}

/// Opens it once over there, and has its daemon tell which image that was: one of the same name may be another.
fn opened_there(ctx: &Context<'_>, host: &str, greeting: &Greeting, sent: &Identity) -> Result<(), Failure> {
    let kept = |why: &str| {
        Failure::say(format!(
            "{why}; nothing was removed here, and both are whole. To try again: homectl send --move"
        ))
    };
    let name = FullName::parse(&greeting.name).map_err(|_| kept("Its name is none of a home"))?;
    let user = name.user.to_string();
    ctx.asker.notice(&format!("Before it is removed here, it is opened once at {host}:"));
    let terminal = std::io::stdin().is_terminal().then_some("-t");
    let mut open = Command::new("ssh");
    open.args(terminal).args(["--", host, "homectl", "with", &user, "--", "true"]);
    if !open.status().is_ok_and(|status| status.success()) {
        return Err(kept(&format!("It did not open at {host}")));
    }
    let mut inspect = Command::new("ssh");
    inspect.args(["-T", "--", host, "homectl", "inspect", "-j", &user]).stdin(Stdio::null());
    let told = inspect.stderr(Stdio::inherit()).output();
    let told = told.ok().filter(|told| told.status.success());
    let told = told.ok_or_else(|| kept(&format!("{host} does not tell which home it has opened")))?;
    is_the_one_sent(&String::from_utf8_lossy(&told.stdout), sent, &place(Path::new(HOME_ROOT), &name))
        .map_err(|why| kept(&format!("{host} has not opened the home that was sent: {why}")))
}

/// The image of a home here, locked, and what is said of it.
fn leaving(ctx: &Context<'_>, name: &str) -> Result<(Leaving, Greeting, PathBuf), Failure> {
    root_only(ctx)?;
    let reply = ctx.daemon.record(Who::Name(name))?;
    let record = Record::parse(&reply.json, Sections::OWNER).map_err(|e| Failure::say(e.to_string()))?;
    let settings = record.of_home_on(&ctx.machine);
    let path = settings.effective_image_path().map(PathBuf::from).unwrap_or_default();
    if settings.effective_storage() != Storage::Luks {
        return Err(Failure::say(format!(
            "The home of {name} is no image: close it, and copy {} with tar or rsync",
            path.display()
        )));
    }
    let leaving = Leaving::open(&path, name, &ctx.machine)?;
    let luks = leaving.identity().map(|identity| identity.luks).unwrap_or_default();
    let greeting = Greeting {
        name: record.full_name().to_string(),
        size: leaving.size,
        content: leaving.content(),
        luks,
    };
    Ok((leaving, greeting, path))
}

fn root_only(ctx: &Context<'_>) -> Result<(), Failure> {
    match ctx.settings.uid {
        0 => Ok(()),
        _ => Err(Failure::say(
            "Images belong to root: run it with sudo (to keep your ssh agent: sudo --preserve-env=SSH_AUTH_SOCK)",
        )),
    }
}

fn replace(ctx: &Context<'_>) -> Replace {
    if ctx.settings.replace { Replace::Yes } else { Replace::No }
}

fn there_words(ctx: &Context<'_>) -> String {
    THERE.replace("REPLACE", if ctx.settings.replace { "--replace" } else { "" })
}

/// The user's own ssh, with a line that is known to be dead after a minute.
fn ssh(host: &str, words: &str) -> Result<Child, Failure> {
    let mut command = Command::new("ssh");
    command.args(["-T", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4", "--", host, words]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    child.map_err(|error| Failure::say(format!("ssh: {error}. Nothing was changed.")))
}

fn unfinished(failure: &carry::Failure) -> Failure {
    Failure::say(format!("{failure}. The copy is not whole; the home here was not changed."))
}

fn said(failure: &Failure) -> String {
    match failure {
        Failure::Refused(_, text) | Failure::Other(text) => text.clone(),
    }
}

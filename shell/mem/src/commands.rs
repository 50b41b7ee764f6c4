//! What each command does, over the client of the scheme; output goes to the given writer.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use memory_api::{Client, ContextRequest, Found};

use crate::args::Args;
use crate::index;

fn usage(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Runs a command; says whether it found what it was asked for.
///
/// # Errors
/// The scheme's, and `InvalidInput` for a wrong command line.
pub fn run(args: &Args, client: &Client, out: &mut dyn Write) -> io::Result<bool> {
    match &args.command[..] {
        "add" => add(args, client, out),
        "find" => find(args, client, out),
        "index" => {
            let dir = args
                .values
                .first()
                .ok_or_else(|| usage("index needs a directory"))?;
            index::index(args, client, Path::new(dir), out)
        }
        "forget" => forget(args, client, out),
        "ls" => list(args, client, out),
        "context" => context(args, client, out),
        "history" => history(args, client, out),
        "undo" => {
            client.control(
                args.target(),
                ".undo",
                args.values.first().map_or("\n", |id| id),
            )?;
            Ok(true)
        }
        "export" => {
            let mut file = fs::File::open(client.path(args.target()).join(".export"))?;
            io::copy(&mut file, out).map(|_| true)
        }
        "import" => {
            let file = args
                .values
                .first()
                .ok_or_else(|| usage("import needs a file"))?;
            client.make_collection(args.target())?;
            client.control(
                args.target(),
                ".import",
                &String::from_utf8_lossy(&input(file)?),
            )?;
            Ok(true)
        }
        "check" => check(args, client, out),
        "" => Err(usage("a command is missing")),
        other => Err(usage(&format!("unknown command {other}"))),
    }
}

fn input(file: &str) -> io::Result<Vec<u8>> {
    if file != "-" {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file's path as the path of a document: without a root, `.` and `..`.
pub(crate) fn document_path(path: &Path) -> String {
    let parts = path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => name.to_str(),
        _ => None,
    });
    parts
        .map(|name| name.trim_start_matches('.'))
        .filter(|name| !name.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}

fn add(args: &Args, client: &Client, out: &mut dyn Write) -> io::Result<bool> {
    if args.values.is_empty() {
        return Err(usage("add needs a file"));
    }
    client.make_collection(args.target())?;
    let metadata = (!args.metadata.is_empty()).then(|| args.metadata.join("\n"));
    for file in &args.values {
        let path = match (&file[..], &args.name) {
            ("-", None) => return Err(usage("standard input needs --name")),
            (_, Some(name)) => name.clone(),
            (file, None) => {
                document_path(Path::new(Path::new(file).file_name().unwrap_or_default()))
            }
        };
        client.put(args.target(), &path, &input(file)?, metadata.as_deref())?;
        writeln!(out, "memory:/{}/{path}", args.target())?;
    }
    Ok(true)
}

fn find(args: &Args, client: &Client, out: &mut dyn Write) -> io::Result<bool> {
    let question = args.values.join(" ");
    if question.trim().is_empty() {
        return Err(usage("find needs a question"));
    }
    let collections = match &args.collection {
        Some(name) => vec![name.clone()],
        None => client.collections()?,
    };
    let mut found: Vec<Found> = Vec::new();
    for name in &collections {
        found.extend(client.search(name, &question, &args.search)?);
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(args.search.k);
    for hit in &found {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(hit)?)?;
        } else {
            let [start, end] = hit.span;
            writeln!(out, "{} {start}-{end}  {:.3}", hit.source, hit.score)?;
            for line in hit.text.lines() {
                writeln!(out, "    {line}")?;
            }
        }
    }
    Ok(!found.is_empty())
}

fn forget(args: &Args, client: &Client, out: &mut dyn Write) -> io::Result<bool> {
    if args.values.is_empty() {
        return Err(usage("forget needs a path"));
    }
    for path in &args.values {
        let prefix = format!("memory:/{}/", args.target());
        let path = path.strip_prefix(&prefix).unwrap_or(path);
        client.forget(args.target(), path)?;
        writeln!(out, "forgot {path}")?;
    }
    Ok(true)
}

fn list(args: &Args, client: &Client, out: &mut dyn Write) -> io::Result<bool> {
    let dir = match (&args.collection, args.values.first()) {
        (None, None) => {
            for name in client.collections()? {
                writeln!(out, "{name}/")?;
            }
            return Ok(true);
        }
        (Some(name), None) => client.path(name),
        (Some(name), Some(folder)) => client.path(name).join(folder),
        (None, Some(path)) => {
            client.path(path.trim_start_matches("memory:").trim_start_matches('/'))
        }
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    names.iter().try_for_each(|name| writeln!(out, "{name}"))?;
    Ok(true)
}

fn context(args: &Args, client: &Client, out: &mut dyn Write) -> io::Result<bool> {
    let goal = args.values.join(" ");
    let from = args.collection.iter().cloned().collect();
    let parts = client.context(&ContextRequest {
        goal,
        tokens: args.tokens,
        from,
    })?;
    for part in &parts {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(part)?)?;
        } else {
            let [start, end] = part.span;
            writeln!(out, "[{} {start}-{end}]\n{}\n", part.source, part.text)?;
        }
    }
    Ok(!parts.is_empty())
}

fn history(args: &Args, client: &Client, out: &mut dyn Write) -> io::Result<bool> {
    if args.json {
        out.write_all(client.read(args.target(), ".history")?.as_bytes())?;
        return Ok(true);
    }
    for entry in client.history(args.target())? {
        let undone = if entry.undone { " (taken back)" } else { "" };
        writeln!(
            out,
            "{:>6}  {}  {} {}{undone}",
            entry.id,
            entry.path,
            entry.change,
            entry.detail.trim()
        )?;
        if let Some(line) = entry
            .before
            .as_deref()
            .and_then(|before| before.lines().next())
        {
            writeln!(out, "        before: {line}")?;
        }
    }
    Ok(true)
}

fn check(args: &Args, client: &Client, out: &mut dyn Write) -> io::Result<bool> {
    let names = match &args.collection {
        Some(name) => vec![name.clone()],
        None => client.collections()?,
    };
    let mut is_whole = true;
    for name in names {
        match client.control(&name, ".ctl", "check\n") {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => return Err(error),
        }
        let report = client.read(&name, ".check")?;
        is_whole &= report.lines().count() <= 1;
        for line in report.lines() {
            writeln!(out, "{name}: {line}")?;
        }
    }
    Ok(is_whole)
}

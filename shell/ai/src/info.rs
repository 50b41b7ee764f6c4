//! What is installed and what is running.

use std::io;
use std::time::Instant;

use ai_api::Client;
use serde_json::Value;

use crate::args::Args;
use crate::ask::explain;

pub(crate) fn models(client: &Client, json: bool) -> io::Result<()> {
    let names = client.models()?;
    if json {
        println!("{}", Value::from(names));
    } else if names.is_empty() {
        println!("no model is installed; `ai add FILE` installs one");
    } else {
        names.iter().for_each(|name| println!("{name}"));
    }
    Ok(())
}

pub(crate) fn show(client: &Client, name: &str) -> io::Result<()> {
    let card = client
        .read(&format!("models/{name}/card"))
        .map_err(|error| explain(client, error))?;
    let card: Value = serde_json::from_str(&card).map_err(io::Error::other)?;
    for (key, value) in card.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => println!("{key:13} {text}"),
            other => println!("{key:13} {other}"),
        }
    }
    Ok(())
}

pub(crate) fn embed(client: &Client, text: &str) -> io::Result<()> {
    let vectors = client.embed(&[text])?;
    println!("{}", Value::from(vectors.concat()));
    Ok(())
}

pub(crate) fn ps(client: &Client) -> io::Result<()> {
    print!("{}", client.read("status")?);
    for name in client.models()? {
        let status = client.read(&format!("models/{name}/status"))?;
        if let Some(error) = status.lines().find(|line| line.starts_with("error ")) {
            println!("{name}: {error}");
        }
    }
    Ok(())
}

/// One reply of a fixed length, timed from here.
pub(crate) fn bench(client: &Client, args: &Args) -> io::Result<()> {
    let mut settings = args.settings.clone();
    settings.max_tokens = settings.max_tokens.or(Some(64));
    settings.temperature = Some(0.0);
    for round in ["cold", "warm"] {
        let begun = Instant::now();
        let mut chat = client.chat(&settings)?;
        chat.send("Count from one to one hundred.")?;
        let (mut first, mut bytes) = (None, 0);
        while let Some(text) = chat.read().map_err(|error| explain(client, error))? {
            first.get_or_insert_with(|| begun.elapsed());
            bytes += text.len();
        }
        let whole = begun.elapsed();
        let first = first.unwrap_or(whole);
        let rate = bytes as f64 / (whole - first).as_secs_f64().max(1e-9);
        println!(
            "{round}: first byte after {:.1} ms, {bytes} bytes in {:.1} ms, {rate:.0} bytes/s",
            first.as_secs_f64() * 1000.0,
            whole.as_secs_f64() * 1000.0
        );
    }
    Ok(())
}

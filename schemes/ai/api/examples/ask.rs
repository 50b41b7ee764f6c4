//! Asks one question: `ask QUESTION`. The client in a few lines.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let question = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "What can you do?".to_owned());
    let mut chat = ai_api::Client::open()?.chat(&ai_api::Settings::default())?;
    chat.send(&question)?;
    while let Some(text) = chat.read()? {
        print!("{text}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

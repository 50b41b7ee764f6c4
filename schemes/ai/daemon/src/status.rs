//! What the daemon tells about itself: `status`, `metrics`, and the `status` of a model.

use std::fmt::Write;

use crate::worker::Shown;

/// The `status` file: a line per fact, a line per model.
pub(crate) fn status(
    default: Option<&str>,
    models: &[(String, Shown)],
    sessions: usize,
    threads: usize,
) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "default {}", default.unwrap_or("-"));
    let _ = writeln!(out, "sessions {sessions}");
    let _ = writeln!(out, "threads {threads}");
    for (name, shown) in models {
        let engine = shown.engine;
        let _ = writeln!(
            out,
            "model {name} {} active {} queued {} weights {} cache {} of {}",
            shown.state,
            engine.active,
            engine.queued,
            shown.bytes,
            engine.reserved_bytes + engine.prefix_bytes,
            engine.budget_bytes,
        );
    }
    out
}

/// The `status` of one model.
pub(crate) fn model(shown: &Shown) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "state {}", shown.state);
    let _ = writeln!(out, "keep {}s", shown.keep_s);
    if !shown.error.is_empty() {
        let _ = writeln!(out, "error {}", shown.error.replace('\n', " "));
    }
    if !shown.kernel.is_empty() {
        let _ = writeln!(out, "kernel {}", shown.kernel);
        let _ = writeln!(out, "weights {}", shown.bytes);
        let engine = shown.engine;
        let _ = writeln!(out, "active {}\nqueued {}", engine.active, engine.queued);
        let _ = writeln!(
            out,
            "reserved {}\nprefixes {}\nbudget {}",
            engine.reserved_bytes, engine.prefix_bytes, engine.budget_bytes
        );
    }
    out
}

/// The `metrics` file, in the text form of Prometheus.
pub(crate) fn metrics(models: &[(String, Shown)], sessions: usize) -> String {
    let mut out = format!("# TYPE ai_sessions gauge\nai_sessions {sessions}\n");
    type Field = fn(&Shown) -> u64;
    let fields: [(&str, &str, Field); 9] = [
        ("ai_model_loaded", "gauge", |shown| {
            u64::from(shown.state == "loaded")
        }),
        ("ai_weights_bytes", "gauge", |shown| shown.bytes as u64),
        ("ai_cache_bytes", "gauge", |shown| {
            (shown.engine.reserved_bytes + shown.engine.prefix_bytes) as u64
        }),
        ("ai_requests_active", "gauge", |shown| {
            shown.engine.active as u64
        }),
        ("ai_requests_queued", "gauge", |shown| {
            shown.engine.queued as u64
        }),
        ("ai_steps_total", "counter", |shown| shown.engine.steps),
        ("ai_prompt_tokens_total", "counter", |shown| {
            shown.engine.prompt_tokens
        }),
        ("ai_cached_tokens_total", "counter", |shown| {
            shown.engine.cached_tokens
        }),
        ("ai_reply_tokens_total", "counter", |shown| {
            shown.engine.reply_tokens
        }),
    ];
    for (name, kind, field) in fields {
        let _ = writeln!(out, "# TYPE {name} {kind}");
        for (model, shown) in models {
            let label = model
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = writeln!(out, "{name}{{model=\"{label}\"}} {}", field(shown));
        }
    }
    out
}

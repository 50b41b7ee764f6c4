//! Writes a model file with random weights: `invent SHAPE FORMAT FILE`, shapes `tiny`, `15m`, `110m`, `1b`.

use ai_engine::invent::Recipe;
use ai_engine::quant::Format;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [shape, format, file] = &args[..] else {
        eprintln!("usage: invent tiny|15m|110m|1b FORMAT FILE");
        std::process::exit(2);
    };
    let format = Format::ALL
        .into_iter()
        .find(|of| format!("{of:?}").eq_ignore_ascii_case(format));
    let recipe = Recipe::named(shape, format.expect("a format such as Q4_0"));
    std::fs::write(file, recipe.expect("a shape").file()).expect("the file can be written");
}

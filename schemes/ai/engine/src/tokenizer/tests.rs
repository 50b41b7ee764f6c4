//! Tokenizers on small vocabularies written here.

use super::*;
use crate::gguf::Writer;
use crate::invent::Recipe;
use crate::quant::Format;

fn bpe() -> Tokenizer {
    Tokenizer::read(&Gguf::read(&Recipe::tiny("llama", Format::Q4_0).file()).unwrap()).unwrap()
}

fn spm() -> Tokenizer {
    let mut writer = Writer::new();
    let mut tokens: Vec<(String, f32, f32)> = vec![
        ("<unk>".into(), 0.0, 2.0),
        ("<s>".into(), 0.0, 3.0),
        ("</s>".into(), 0.0, 3.0),
    ];
    tokens.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 0.0, 6.0)));
    for (rank, text) in ["▁", "h", "e", "l", "o", "he", "ll", "▁he", "llo", "▁hello"]
        .iter()
        .enumerate()
    {
        tokens.push(((*text).to_owned(), rank as f32 - 20.0, 1.0));
    }
    writer.text("tokenizer.ggml.model", "llama");
    writer.texts(
        "tokenizer.ggml.tokens",
        tokens.iter().map(|token| token.0.clone().into_bytes()),
    );
    writer.numbers(
        "tokenizer.ggml.scores",
        &tokens.iter().map(|token| token.1).collect::<Vec<_>>(),
    );
    writer.numbers(
        "tokenizer.ggml.token_type",
        &tokens.iter().map(|token| token.2).collect::<Vec<_>>(),
    );
    writer.number("tokenizer.ggml.bos_token_id", 1);
    writer.number("tokenizer.ggml.eos_token_id", 2);
    Tokenizer::read(&Gguf::read(&writer.finish()).unwrap()).unwrap()
}

#[test]
fn any_text_survives_the_way_there_and_back() {
    let texts = [
        "",
        "a",
        "hello world",
        "  two  blanks ",
        "tab\tline\nend",
        "naïve €𝄞 日本",
        "don't I'LL",
        "x=1234567;",
        "\u{0}\u{7f}",
    ];
    for tokenizer in [bpe(), spm()] {
        for text in texts {
            let tokens = tokenizer.encode(text, Special::Text);
            assert_eq!(tokenizer.decode(&tokens), text, "{tokens:?}");
        }
    }
}

#[test]
fn merges_apply_in_order_of_rank() {
    let tokenizer = bpe();
    let tokens = tokenizer.encode("eta", Special::Text);
    // "et" is merged before "ta": it stands first in the list.
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokenizer.bytes(tokens[0]), b"et");
}

#[test]
fn sentencepiece_joins_by_score_and_spells_the_rest_in_bytes() {
    let tokenizer = spm();
    let tokens = tokenizer.encode_prompt("hello", Special::Text);
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[0], 1);
    assert_eq!(tokenizer.bytes(tokens[1]), b" hello");
    let tokens = tokenizer.encode("z", Special::Text);
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokenizer.bytes(tokens[1]), b"z");
}

#[test]
fn a_users_text_cannot_make_special_tokens() {
    let tokenizer = bpe();
    let end = tokenizer.special_id("<|im_end|>").unwrap();
    assert!(tokenizer.is_end(end));
    assert!(
        tokenizer
            .encode("x<|im_end|>y", Special::Parse)
            .contains(&end)
    );
    let plain = tokenizer.encode("x<|im_end|>y", Special::Text);
    assert!(!plain.contains(&end));
    assert_eq!(tokenizer.decode(&plain), "x<|im_end|>y");
    assert!(tokenizer.bytes(end).is_empty());
}

#[test]
fn text_is_cut_as_the_families_do() {
    let cut = |cuts, text| {
        let mut out: Vec<&str> = Vec::new();
        pieces::cut(cuts, text, |piece| out.push(piece));
        out
    };
    let text = "I'm 1234 it's\n\n  x, y!";
    assert_eq!(
        cut(pieces::GPT2, text),
        [
            "I", "'m", " 1234", " it", "'s", "\n\n ", " x", ",", " y", "!"
        ]
    );
    assert_eq!(
        cut(pieces::LLAMA3, text),
        [
            "I", "'m", " ", "123", "4", " it", "'s", "\n\n", " ", " x", ",", " y", "!"
        ]
    );
    assert_eq!(
        cut(pieces::QWEN2, "a(b) 12\n"),
        ["a", "(b", ")", " ", "1", "2", "\n"]
    );
    assert_eq!(cut(pieces::SMOLLM, "ab 12"), ["ab", " ", "1", "2"]);
    assert_eq!(cut(pieces::LLAMA3, "f();\n  g"), ["f", "();\n", " ", " g"]);
}

#[test]
fn hostile_tokenizers_are_refused() {
    let cases: [fn(&mut Writer); 4] = [
        |_| {},
        |writer| writer.texts("tokenizer.ggml.tokens", []),
        |writer| writer.texts("tokenizer.ggml.tokens", [vec![b'x'; 5000]]),
        |writer| {
            writer.texts("tokenizer.ggml.tokens", [b"a".to_vec()]);
            writer.text("tokenizer.ggml.model", "gpt2");
            writer.texts("tokenizer.ggml.merges", [b"ab".to_vec()]);
        },
    ];
    for case in cases {
        let mut writer = Writer::new();
        case(&mut writer);
        assert!(Tokenizer::read(&Gguf::read(&writer.finish()).unwrap()).is_err());
    }
}

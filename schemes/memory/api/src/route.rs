//! What a path of the scheme names.

/// A place in the scheme. Paths are normalised: no leading or trailing slash, the root is empty.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// The list of collections.
    Root,
    /// Counts, sizes, recall, index state of everything the caller sees.
    Status,
    /// The same as Prometheus text.
    Metrics,
    /// Prompt contexts.
    Context,
    /// A collection.
    Collection(String),
    /// A document or a folder of documents: collection and path.
    Document(String, String),
    /// A search: collection and options.
    Search(String, SearchOptions),
    /// A directory of the best documents.
    Best(String, SearchOptions),
    /// A document in such a directory.
    BestDocument(String, String),
    /// A file of a collection that is not a document.
    Control(String, Control),
    /// Metadata of a document, or a folder of those (path may be empty).
    Meta(String, String),
    /// The kernel's own scheme, passed through.
    Kernel(String),
}

/// The control files of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Options, and actions.
    Ctl,
    /// What changed.
    History,
    /// Taking it back.
    Undo,
    /// Everything as JSON Lines.
    Export,
    /// The same, to be written.
    Import,
    /// Result of the last check.
    Check,
}

impl Control {
    /// All of them with their names.
    pub const ALL: [(&'static str, Control); 6] = [
        (".ctl", Control::Ctl),
        (".history", Control::History),
        (".undo", Control::Undo),
        (".export", Control::Export),
        (".import", Control::Import),
        (".check", Control::Check),
    ];
}

/// How a search ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SearchMode {
    /// Both, fused.
    #[default]
    Hybrid,
    /// By meaning.
    Vector,
    /// By words.
    Text,
}

/// Options of a search, as they stand in a query.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOptions {
    /// Question, where it stands in the path.
    pub question: String,
    /// How many results.
    pub k: usize,
    /// How they are ranked.
    pub mode: SearchMode,
    /// Filter expression, empty for none.
    pub filter: String,
    /// Only documents under this path.
    pub prefix: String,
}

/// Results when `k` is not given.
pub const K_DEFAULT: usize = 10;

/// Names at the root that the kernel's scheme of the same name has.
const KERNEL_NAMES: [&str; 3] = ["zeroed", "physical", "translation"];

impl Default for SearchOptions {
    fn default() -> Self {
        let (question, filter, prefix) = (String::new(), String::new(), String::new());
        Self {
            question,
            k: K_DEFAULT,
            mode: SearchMode::Hybrid,
            filter,
            prefix,
        }
    }
}

impl SearchOptions {
    /// Reads the pairs of a query, already percent-decoded; `None` for an unknown or bad one.
    pub fn from_pairs(pairs: &[(String, String)]) -> Option<Self> {
        let mut options = SearchOptions::default();
        for (key, value) in pairs {
            match &key[..] {
                "q" => options.question.clone_from(value),
                "k" => options.k = value.parse().ok()?,
                "filter" => options.filter.clone_from(value),
                "in" => options.prefix.clone_from(value),
                "mode" => {
                    options.mode = match &value[..] {
                        "hybrid" => SearchMode::Hybrid,
                        "vector" => SearchMode::Vector,
                        "text" => SearchMode::Text,
                        _ => return None,
                    }
                }
                _ => return None,
            }
        }
        Some(options)
    }

    /// The query that says this.
    pub fn to_query(&self) -> String {
        let mode = match self.mode {
            SearchMode::Hybrid => "hybrid",
            SearchMode::Vector => "vector",
            SearchMode::Text => "text",
        };
        let mut query = format!("k={}&mode={mode}", self.k);
        for (key, value) in [
            ("q", &self.question),
            ("filter", &self.filter),
            ("in", &self.prefix),
        ] {
            if !value.is_empty() {
                query += &format!("&{key}={}", encode_name(value));
            }
        }
        query
    }
}

/// Percent-encodes everything but plain name characters, so that the text is one path part and one query value.
pub fn encode_name(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// Percent-decodes; `None` if that gives no text.
pub fn decode_name(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (digits, after) = after.split_at_checked(2)?;
                out.push(u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = after;
            }
            b'+' => out.push(b' '),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode_name(key)?, decode_name(value)?))
        })
        .collect()
}

impl Route {
    /// Reads a normalised path with its query; `None` where no such place can be.
    pub fn parse(path: &str) -> Option<Route> {
        let (plain, query) = match path.split_once('?') {
            Some((plain, query)) => (plain.trim_end_matches('/'), Some(query)),
            None => (path.trim_end_matches('/'), None),
        };
        if KERNEL_NAMES.iter().any(|name| plain.starts_with(name)) {
            return Some(Route::Kernel(path.to_owned()));
        }
        let (first, rest) = plain.split_once('/').unwrap_or((plain, ""));
        match (first, rest, query) {
            ("", "", None) => Some(Route::Root),
            ("status", "", None) => Some(Route::Status),
            ("metrics", "", None) => Some(Route::Metrics),
            ("context", "", None) => Some(Route::Context),
            ("" | "status" | "metrics" | "context", ..) => None,
            (name, "", None) => Some(Route::Collection(name.to_owned())),
            (name, rest, query) => Self::parse_inside(name, rest, query),
        }
    }

    fn parse_inside(name: &str, rest: &str, query: Option<&str>) -> Option<Route> {
        let name = name.to_owned();
        if rest == ".search" {
            let options = SearchOptions::from_pairs(&pairs(query.unwrap_or(""))?)?;
            return Some(Route::Search(name, options));
        }
        if let Some(query) = query {
            if !rest.is_empty() {
                return None;
            }
            return match query.split_once('/') {
                Some((_, entry)) => Some(Route::BestDocument(name, decode_name(entry)?)),
                None => Some(Route::Best(
                    name,
                    SearchOptions::from_pairs(&pairs(query)?)?,
                )),
            };
        }
        if let Some((_, control)) = Control::ALL.iter().find(|(known, _)| *known == rest) {
            return Some(Route::Control(name, *control));
        }
        if rest == ".meta" {
            return Some(Route::Meta(name, String::new()));
        }
        if let Some(path) = rest.strip_prefix(".meta/") {
            return Some(Route::Meta(name, path.to_owned()));
        }
        Some(Route::Document(name, rest.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_documented_path_is_read() {
        let document = |c: &str, p: &str| Some(Route::Document(c.into(), p.into()));
        assert_eq!(Route::parse(""), Some(Route::Root));
        assert_eq!(
            Route::parse("notes"),
            Some(Route::Collection("notes".into()))
        );
        assert_eq!(Route::parse("notes/a/b.md"), document("notes", "a/b.md"));
        assert_eq!(
            Route::parse("notes/.meta/a/b.md"),
            Some(Route::Meta("notes".into(), "a/b.md".into()))
        );
        assert_eq!(
            Route::parse("notes/.undo"),
            Some(Route::Control("notes".into(), Control::Undo))
        );
        assert_eq!(
            Route::parse("zeroed@wb?phys_contiguous"),
            Some(Route::Kernel("zeroed@wb?phys_contiguous".into()))
        );
        let Some(Route::Search(_, options)) =
            Route::parse("notes/.search?k=5&mode=text&filter=a%20%3D%201")
        else {
            panic!()
        };
        assert_eq!(
            (options.k, options.mode, &options.filter[..]),
            (5, SearchMode::Text, "a = 1")
        );
        for path in ["notes/?q=boot+order&k=3", "notes?q=boot+order&k=3"] {
            let Some(Route::Best(_, options)) = Route::parse(path) else {
                panic!()
            };
            assert_eq!((options.k, &options.question[..]), (3, "boot order"));
        }
        assert_eq!(
            Route::parse("notes/?q=x/a%2Fb.md"),
            Some(Route::BestDocument("notes".into(), "a/b.md".into()))
        );
        assert_eq!(Route::parse("notes/.search?colour=red"), None);
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in any::<String>()) {
            let _ = Route::parse(&path);
            let _ = Route::parse(&format!("c/?{path}"));
        }

        #[test]
        fn options_read_back_from_their_query(question in ".{0,20}", k in 0usize..99) {
            let options = SearchOptions { question, k, filter: "a = \"&\"".into(), ..Default::default() };
            prop_assert_eq!(SearchOptions::from_pairs(&pairs(&options.to_query()).unwrap()), Some(options));
        }
    }
}

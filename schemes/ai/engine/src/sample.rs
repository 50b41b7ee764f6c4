//! From logits to a token.
//!
//! Order: logit bias, repeat penalty, constraint (by the caller), then at temperature 0 the best token; otherwise
//! temperature, top-k, min-p, top-p and one draw from the seeded generator. The same seed, options and logits give the
//! same token everywhere.

use crate::error::{Error, Result};
use crate::limits;
use crate::random::Random;

/// How to choose tokens and when to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// 0 takes the best token; larger flattens.
    pub temperature: f32,
    /// Only the so many best; 0 is off.
    pub top_k: usize,
    /// Only the best that make up this share; 1 is off.
    pub top_p: f32,
    /// Only those at least this share as likely as the best; 0 is off.
    pub min_p: f32,
    /// Tokens seen lately are divided by this; 1 is off.
    pub repeat_penalty: f32,
    /// Seed of the draws.
    pub seed: u64,
    /// Most tokens of the reply.
    pub max_tokens: usize,
    /// Texts that end the reply and are not part of it.
    pub stop: Vec<String>,
    /// Added to the logits of tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// How many alternatives to report with each token.
    pub logprobs: usize,
    /// Go on past the model's own end of reply.
    pub ignore_end: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            temperature: 0.7,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            seed: 0,
            max_tokens: 1024,
            stop: Vec::new(),
            logit_bias: Vec::new(),
            logprobs: 0,
            ignore_end: false,
        }
    }
}

/// Most alternatives per token.
const ALTERNATIVES: usize = 20;

impl Options {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the option and its range.
    pub fn check(&self) -> Result<()> {
        let within = |name: &str, value: f32, low: f32, high: f32| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(Error::BadOption(format!(
                    "{name} {value} is not within {low} to {high}"
                )))
            }
        };
        within("temperature", self.temperature, 0.0, 5.0)?;
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("repeat_penalty", self.repeat_penalty, 0.1, 10.0)?;
        let at_most = |name: &str, value: usize, limit: usize| {
            if value <= limit {
                Ok(())
            } else {
                Err(Error::BadOption(format!(
                    "{name} is {value}, more than {limit}"
                )))
            }
        };
        at_most("max_tokens", self.max_tokens, limits::REPLY_TOKENS)?;
        at_most("the number of stop texts", self.stop.len(), limits::STOPS)?;
        at_most(
            "the number of logit biases",
            self.logit_bias.len(),
            limits::BIASES,
        )?;
        at_most("logprobs", self.logprobs, ALTERNATIVES)?;
        for stop in &self.stop {
            at_most("the length of a stop text", stop.len(), limits::STOP_BYTES)?;
        }
        if self.logit_bias.iter().any(|(_, bias)| bias.is_nan()) {
            return Err(Error::BadOption("a logit bias is not a number".to_owned()));
        }
        Ok(())
    }
}

/// A chosen token, with how likely it and the best others were.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The token.
    pub token: u32,
    /// Natural logarithm of its probability under the model alone; 0 where it was not asked for.
    pub logprob: f32,
    /// The best tokens with theirs.
    pub alternatives: Vec<(u32, f32)>,
}

/// Changes the logits as the options say, before any constraint.
pub fn adjust(options: &Options, recent: &[u32], logits: &mut [f32]) {
    for (token, bias) in &options.logit_bias {
        if let Some(logit) = logits.get_mut(*token as usize) {
            *logit += bias;
        }
    }
    if options.repeat_penalty != 1.0 {
        let mut seen = recent[recent.len().saturating_sub(limits::PENALTY_WINDOW)..].to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(logit) = logits.get_mut(token as usize) {
                let penalty = options.repeat_penalty;
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
    }
}

/// Chooses a token from adjusted logits.
pub fn choose(options: &Options, random: &mut Random, logits: &[f32]) -> Choice {
    let token = if options.temperature <= 0.0 {
        best(logits)
    } else {
        draw(options, random, logits)
    };
    if options.logprobs == 0 {
        return Choice {
            token,
            logprob: 0.0,
            alternatives: Vec::new(),
        };
    }
    let total = log_total(logits);
    let at = |token: u32| {
        logits
            .get(token as usize)
            .map_or(f32::NEG_INFINITY, |logit| logit - total)
    };
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let count = options.logprobs.min(order.len());
    order.select_nth_unstable_by(count.saturating_sub(1), |a, b| descending(logits, *a, *b));
    order.truncate(count);
    order.sort_unstable_by(|a, b| descending(logits, *a, *b));
    let alternatives = order.into_iter().map(|token| (token, at(token))).collect();
    Choice {
        token,
        logprob: at(token),
        alternatives,
    }
}

fn descending(logits: &[f32], a: u32, b: u32) -> core::cmp::Ordering {
    logits[b as usize]
        .total_cmp(&logits[a as usize])
        .then(a.cmp(&b))
}

fn log_total(logits: &[f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    largest
        + logits
            .iter()
            .map(|logit| (logit - largest).exp())
            .sum::<f32>()
            .ln()
}

/// The token with the largest logit; of equals, the first. NaN loses to everything.
fn best(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, logit) in logits.iter().enumerate() {
        if *logit > best.1 {
            best = (token, *logit);
        }
    }
    best.0 as u32
}

fn draw(options: &Options, random: &mut Random, logits: &[f32]) -> u32 {
    // The most that any filter may keep, so that a large vocabulary is not sorted whole.
    const CANDIDATES: usize = 1024;
    let keep = if options.top_k == 0 {
        CANDIDATES
    } else {
        options.top_k.min(CANDIDATES)
    };
    let mut order: Vec<u32> = (0..logits.len() as u32)
        .filter(|token| logits[*token as usize] > f32::NEG_INFINITY)
        .collect();
    if order.len() > keep {
        order.select_nth_unstable_by(keep - 1, |a, b| descending(logits, *a, *b));
        order.truncate(keep);
    }
    order.sort_unstable_by(|a, b| descending(logits, *a, *b));
    let Some(first) = order.first() else {
        return best(logits);
    };
    let top = logits[*first as usize];
    let weights: Vec<f32> = order
        .iter()
        .map(|token| ((logits[*token as usize] - top) / options.temperature).exp())
        .take_while(|weight| *weight >= options.min_p)
        .collect();
    if weights.is_empty() {
        // Infinite or broken logits have no shares.
        return *first;
    }
    let total: f32 = weights.iter().sum();
    let mut share = 0.0;
    let mut kept = weights.len();
    for (index, weight) in weights.iter().enumerate() {
        share += weight;
        if share >= options.top_p * total {
            kept = index + 1;
            break;
        }
    }
    let kept = kept.max(1).min(weights.len());
    let mut point = random.unit() * weights[..kept].iter().sum::<f32>();
    for (token, weight) in order.iter().zip(&weights[..kept]) {
        point -= weight;
        if point < 0.0 {
            return *token;
        }
    }
    order[kept - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(options: &Options, logits: &[f32]) -> Vec<usize> {
        let mut random = Random::new(3);
        let mut counts = vec![0; logits.len()];
        for _ in 0..2000 {
            counts[choose(options, &mut random, logits).token as usize] += 1;
        }
        counts
    }

    fn plain() -> Options {
        Options {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            ..Options::default()
        }
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let counts = count(
            &plain(),
            &[0.0, 2.0f32.ln(), f32::NEG_INFINITY, 5.0f32.ln()],
        );
        assert!((200..300).contains(&counts[0]), "{counts:?}");
        assert!((430..570).contains(&counts[1]), "{counts:?}");
        assert_eq!(counts[2], 0);
    }

    #[test]
    fn filters_keep_the_best() {
        let logits = [0.0, 1.0, 2.0, 3.0];
        let zero = |options: &Options| {
            count(options, &logits)
                .iter()
                .filter(|count| **count == 0)
                .count()
        };
        assert_eq!(zero(&plain()), 0);
        assert_eq!(
            zero(&Options {
                top_k: 2,
                ..plain()
            }),
            2
        );
        assert_eq!(
            zero(&Options {
                top_p: 0.5,
                ..plain()
            }),
            3
        );
        assert_eq!(
            zero(&Options {
                min_p: 0.3,
                ..plain()
            }),
            2
        );
        assert_eq!(
            zero(&Options {
                temperature: 0.0,
                ..plain()
            }),
            3
        );
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        assert_eq!(
            count(&plain(), &[0.1, 0.2, 0.3]),
            count(&plain(), &[0.1, 0.2, 0.3])
        );
    }

    #[test]
    fn penalty_and_bias_move_logits() {
        let mut logits = [1.0, -1.0, 1.0];
        let options = Options {
            repeat_penalty: 2.0,
            logit_bias: vec![(2, 3.0), (99, 1.0)],
            ..plain()
        };
        adjust(&options, &[0, 1, 1], &mut logits);
        assert_eq!(logits, [0.5, -2.0, 4.0]);
    }

    #[test]
    fn logprobs_are_those_of_the_model() {
        let options = Options {
            temperature: 0.0,
            logprobs: 2,
            ..plain()
        };
        let choice = choose(&options, &mut Random::new(1), &[0.0, 3.0f32.ln()]);
        assert_eq!(choice.token, 1);
        assert!((choice.logprob - 0.75f32.ln()).abs() < 1e-6);
        assert_eq!(choice.alternatives.len(), 2);
    }

    #[test]
    fn broken_logits_choose_something() {
        for logits in [[f32::NAN; 3], [f32::NEG_INFINITY; 3], [f32::INFINITY; 3]] {
            assert!(choose(&plain(), &mut Random::new(1), &logits).token < 3);
        }
    }

    #[test]
    fn options_out_of_range_are_named() {
        let error = Options {
            temperature: -1.0,
            ..plain()
        }
        .check()
        .unwrap_err();
        assert!(error.to_string().contains("temperature"));
        assert!(
            Options {
                temperature: f32::NAN,
                ..plain()
            }
            .check()
            .is_err()
        );
        assert!(
            Options {
                stop: vec![String::new(); 17],
                ..plain()
            }
            .check()
            .is_err()
        );
        assert!(Options::default().check().is_ok());
    }
}

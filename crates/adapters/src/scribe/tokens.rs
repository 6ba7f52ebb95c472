//! Sums of tokens and money.

use turnwire_proto::Usage;

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

/// What both have used; the model and the cost are the first's.
pub(crate) fn add(a: &Usage, b: &Usage) -> Usage {
    each(a, b, sum)
}

/// What a running total has gained since `before`; one that went back began anew, and then it is all of it.
pub(crate) fn since(total: &Usage, before: &Usage) -> Usage {
    let back = |a: Option<u64>, b: Option<u64>| a.is_some_and(|a| a < b.unwrap_or(0));
    if back(total.input_tokens, before.input_tokens) || back(total.output_tokens, before.output_tokens) {
        return total.clone();
    }
    less(total, before)
}

/// `a` without `b`, never below nothing.
pub(crate) fn less(a: &Usage, b: &Usage) -> Usage {
    each(a, b, |a, b| a.map(|a| a.saturating_sub(b.unwrap_or(0))))
}

fn each(a: &Usage, b: &Usage, of: impl Fn(Option<u64>, Option<u64>) -> Option<u64>) -> Usage {
    Usage {
        input_tokens: of(a.input_tokens, b.input_tokens),
        output_tokens: of(a.output_tokens, b.output_tokens),
        cache_read_input_tokens: of(a.cache_read_input_tokens, b.cache_read_input_tokens),
        cache_creation_input_tokens: of(a.cache_creation_input_tokens, b.cache_creation_input_tokens),
        reasoning_tokens: of(a.reasoning_tokens, b.reasoning_tokens),
        model: a.model.clone(),
        cost_usd: a.cost_usd,
        // A context is no sum.
        context_tokens: None,
        context_window: None,
    }
}

/// Whether no token was used.
pub(crate) fn nothing(usage: &Usage) -> bool {
    [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
        usage.reasoning_tokens,
    ]
    .iter()
    .all(|count| count.unwrap_or(0) == 0)
}

/// Money without the dust of binary fractions: to a ten-thousandth of a millionth of a dollar.
pub(crate) fn money(dollars: f64) -> f64 {
    (dollars * 1e10).round() / 1e10
}

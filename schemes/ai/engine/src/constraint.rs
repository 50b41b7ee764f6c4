//! What a reply must look like, token by token.

use crate::error::Result;

/// Holds a reply to some form.
pub trait Constraint: Send {
    /// Sets the logits of tokens that may not come next to minus infinity. At least one token stays.
    ///
    /// # Errors
    /// Where the form cannot be met any more: a bug, or a form that nothing meets.
    fn mask(&mut self, logits: &mut [f32]) -> Result<()>;

    /// Tells which token was taken. Gives whether the reply is whole and must end.
    ///
    /// # Errors
    /// Where the token was not allowed.
    fn accept(&mut self, token: u32) -> Result<bool>;
}

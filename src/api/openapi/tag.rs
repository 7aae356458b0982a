//! The part of the document that belongs to no door: health and metrics.

use poem_openapi::Tags;

/// A part of the document.
#[derive(Tags)]
pub(crate) enum Tag {
    /// For programs and people that watch the server.
    Health,
}

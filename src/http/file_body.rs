//! A file as an answer, read and sent in pieces: it is never in memory as a whole.

use std::{fs::File, io::Read};

use poem::{Body, Response, http::header};
use tokio::io::{AsyncWriteExt, duplex};

/// Bytes of a piece.
const PIECE: usize = 128 << 10;

/// Marks an answer that is sent in pieces.
#[derive(Debug, Clone, Copy)]
struct InPieces;

/// Whether an answer is sent in pieces.
pub(crate) fn is_in_pieces(response: &Response) -> bool {
    response.data::<InPieces>().is_some()
}

/// An answer that is this file, of this length, to be kept under this name.
pub(crate) fn download(file: File, length: u64, name: &str) -> Response {
    let (mut into, out) = duplex(PIECE);
    tokio::spawn(async move {
        let mut file = file;
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; PIECE];
                let length = file.read(&mut piece)?;
                piece.truncate(length);
                std::io::Result::Ok((file, piece))
            });
            // A read that fails, or a client that is gone, ends the answer before its length.
            let Ok(Ok((rest, piece))) = read.await else { return };
            if piece.is_empty() || into.write_all(&piece).await.is_err() {
                return;
            }
            file = rest;
        }
    });
    Response::builder()
        .content_type("application/octet-stream")
        .header(header::CONTENT_LENGTH, length)
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", name.replace(['"', '\\'], "_")))
        .extension(InPieces)
        .body(Body::from_async_read(out))
}

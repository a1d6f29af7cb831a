//! What a camera is asked, and what its answer is worth. Pure: bytes in, bytes out.
//!
//! The question is OPTIONS for the camera as a whole: no stream, no path (some hold passwords), no log-in. Any
//! RTSP answer shows that the camera is there, a refusal as well.

use super::Answer;

/// A head longer than this is no camera's.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A body longer than this is no answer to OPTIONS.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What was sent is not RTSP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotRtsp;

/// The question. `authority` is `host:port`.
pub(super) fn options(authority: &str, cseq: u32) -> String {
    format!("OPTIONS rtsp://{authority}/ RTSP/1.0\r\nCSeq: {cseq}\r\nUser-Agent: holdfast\r\n\r\n")
}

/// The answer at the beginning of `bytes`, and how long it is; `None` until all of it is there.
pub(super) fn answer(bytes: &[u8]) -> Result<Option<(Answer, usize)>, NotRtsp> {
    let magic = b"RTSP/";
    if bytes.iter().zip(magic).any(|(found, expected)| found != expected) {
        return Err(NotRtsp);
    }
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(NotRtsp) } else { Ok(None) };
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let body = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())
    });
    let body = body.unwrap_or(Some(0)).filter(|body| *body <= BODY_BYTES_MAX).ok_or(NotRtsp)?;
    let length = end + 4 + body;
    let answer = worth(status.ok_or(NotRtsp)?);
    Ok((bytes.len() >= length).then_some((answer, length)))
}

/// Not enough bandwidth, and service unavailable: how cameras say that they have no session left.
fn worth(status: u16) -> Answer {
    if matches!(status, 453 | 503) { Answer::Busy } else { Answer::Free }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_rtsp_status_is_an_answer() {
        for (status, expected) in
            [(200, Answer::Free), (401, Answer::Free), (453, Answer::Busy), (503, Answer::Busy)]
        {
            let text = format!("RTSP/1.0 {status} Whatever\r\nCSeq: 1\r\n\r\n");
            assert_eq!(answer(text.as_bytes()), Ok(Some((expected, text.len()))), "{status}");
        }
    }

    #[test]
    fn an_answer_ends_with_its_body() {
        let text = b"RTSP/1.0 404 Not Found\r\ncontent-LENGTH: 5\r\n\r\nhelloRTSP/1.0 ";
        let whole = text.len() - "RTSP/1.0 ".len();
        for cut in 0..whole {
            assert_eq!(answer(&text[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(answer(text), Ok(Some((Answer::Free, whole))));
    }

    #[test]
    fn what_is_not_rtsp_is_no_answer() {
        assert_eq!(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Err(NotRtsp));
        assert_eq!(answer(b"SSH-2.0"), Err(NotRtsp));
        assert_eq!(answer(b"RTSP/1.0 no\r\n\r\n"), Err(NotRtsp));
        assert_eq!(answer(b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n"), Err(NotRtsp));
        let endless = [b"RTSP/1.0 200 OK\r\n".to_vec(), vec![b'x'; HEAD_BYTES_MAX]].concat();
        assert_eq!(answer(&endless), Err(NotRtsp));
    }

    #[test]
    fn the_question_holds_nothing_secret() {
        assert_eq!(
            options("10.0.0.5:554", 7),
            "OPTIONS rtsp://10.0.0.5:554/ RTSP/1.0\r\nCSeq: 7\r\nUser-Agent: holdfast\r\n\r\n"
        );
    }
}

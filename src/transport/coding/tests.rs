use futures_util::FutureExt;
use futures_util::stream;
use http::HeaderValue;

use super::*;

const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\ndata: [DONE]\n\n";

fn compressed(format: &str) -> Vec<u8> {
    let plain = TEXT.as_bytes();
    match format {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).expect("memory");
            encoder.finish().expect("memory")
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).expect("memory");
            encoder.finish().expect("memory")
        }
        "raw deflate" => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).expect("memory");
            encoder.finish().expect("memory")
        }
        "zstd" => zstd::encode_all(plain, 3).expect("memory"),
        // Brotli of it, uncompressed within: one block whose length is told in 16 bits, and the empty last one.
        "br" => {
            let length = plain.len() - 1;
            let bits: u32 = (u32::try_from(length).expect("short") << 4) | (1 << 20);
            let mut body = vec![(bits & 0xff) as u8, ((bits >> 8) & 0xff) as u8, ((bits >> 16) & 0xff) as u8];
            body.extend_from_slice(plain);
            body.push(3);
            body
        }
        _ => plain.to_vec(),
    }
}

/// Returns what a body is, cut into pieces of this many bytes, and whether it ended well.
fn read(encoding: Option<&str>, body: &[u8], size: usize) -> (Vec<u8>, bool) {
    let mut headers = HeaderMap::new();
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_str(encoding).expect("a value"));
    }
    let chunks: Vec<_> = body.chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let mut plain = Plain::new(&mut headers, stream::iter(chunks));
    let mut all = Vec::new();
    while let Some(chunk) = plain.next().now_or_never().expect("nothing waits here") {
        match chunk {
            Ok(chunk) => all.extend_from_slice(&chunk),
            Err(_) => return (all, false),
        }
    }
    assert!(headers.is_empty() || encoding.is_some());
    (all, true)
}

#[test]
fn an_unasked_compression_is_read_at_any_cut() {
    for (encoding, format) in [
        (Some("gzip"), "gzip"),
        (Some("x-gzip"), "gzip"),
        (Some("deflate"), "deflate"),
        (Some("deflate"), "raw deflate"),
        (Some("zstd"), "zstd"),
        (Some("br"), "br"),
        // The headers do not say so, or say something else.
        (None, "gzip"),
        (None, "zstd"),
        (Some("identity"), "gzip"),
        (Some("br"), "gzip"),
        // It is said, and not so.
        (Some("gzip"), "plain"),
        (Some("br"), "plain"),
        (Some("deflate"), "plain"),
        (None, "plain"),
    ] {
        for size in [1, 2, 7, 4096] {
            let found = read(encoding, &compressed(format), size);
            assert_eq!(found, (TEXT.as_bytes().to_vec(), true), "{encoding:?} {format} {size}");
        }
    }
    assert_eq!(read(None, &[0x1f], 1), (vec![0x1f], true), "too little to tell");
    assert_eq!(read(Some("gzip"), &[], 1), (vec![], true));
}

#[test]
fn a_compressed_stream_goes_on_chunk_by_chunk() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"data: 1\n\n").expect("memory");
    encoder.flush().expect("memory");
    let first = std::mem::take(encoder.get_mut());
    encoder.write_all(b"data: 2\n\n").expect("memory");
    let second = encoder.finish().expect("memory");
    let body = stream::iter([first, second].map(|chunk| Ok(Bytes::from(chunk))));
    let plain = Plain::new(&mut HeaderMap::new(), body);
    let chunks: Vec<Bytes> = plain.map(|chunk| chunk.expect("gzip")).collect().now_or_never().expect("nothing waits");
    assert_eq!(chunks, ["data: 1\n\n", "data: 2\n\n"]);
}

#[test]
fn a_body_that_grows_a_thousandfold_is_unpacked_in_small_pieces() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    io::copy(&mut io::Read::take(io::repeat(b'a'), 100 << 20), &mut encoder).expect("memory");
    let body = stream::iter([Ok(Bytes::from(encoder.finish().expect("memory")))]);
    let plain = Plain::new(&mut HeaderMap::new(), body);
    let sizes = plain.map(|chunk| chunk.expect("gzip").len()).collect::<Vec<usize>>();
    let sizes = sizes.now_or_never().expect("nothing waits");
    assert_eq!(sizes.iter().sum::<usize>(), 100 << 20);
    assert!(sizes.iter().all(|size| *size <= PLAIN_BYTES_MAX), "{sizes:?}");
}

#[test]
fn a_body_that_is_cut_or_grows_beyond_measure_is_not_whole() {
    for format in ["gzip", "deflate", "raw deflate", "br"] {
        let body = compressed(format);
        let encoding = if format == "raw deflate" { "deflate" } else { format };
        let (_, whole) = read(Some(encoding), &body[..body.len() / 2], 4096);
        assert!(!whole, "{format}");
    }
    let bomb = zstd::encode_all(io::Read::take(io::repeat(b'a'), 65 << 20), 3).expect("memory");
    assert!(!read(None, &bomb, 1 << 20).1);
}

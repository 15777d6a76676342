//! The certificate and its key, and the TLS settings made of them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig as RustlsConfig};

use crate::config::is_path;
use crate::words::ConfigError;

/// The longest file of certificates or keys.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// Certificate and key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Reads a file of certificates or keys: one that ends, and is no pipe that waits for a writer.
fn text(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is no file: a folder, a pipe or a device is not read"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(PEM_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > PEM_BYTES_MAX {
        return Err(io::Error::other(format!("is longer than {PEM_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Reads certificate and key.
pub(super) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, ConfigError> {
    let problem = |field: &str, path: &Path, what: String| {
        let what = if is_path(path) {
            format!("{}: {what}", path.display())
        } else {
            format!("must be the path of a PEM file, not what is in it, as \"/etc/standin/{field}.pem\": {what}")
        };
        ConfigError::new(format!("server.tls.{field}"), what)
    };
    let read = |field: &str, path: &Path| text(path).map_err(|error| problem(field, path, error.to_string()));
    let chain = CertificateDer::pem_slice_iter(&read("certificate", &config.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| problem("certificate", &config.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(problem("certificate", &config.certificate, "holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read("key", &config.key)?)
        .map_err(|error| problem("key", &config.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config_rustls = RustlsConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| problem("key", &config.key, format!("does not go with the certificate: {error}")))?;
    config_rustls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config_rustls)))
}

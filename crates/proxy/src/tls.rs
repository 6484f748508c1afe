//! TLS on the port of plaintext: the certificate of the settings, or one made here.
//!
//! Official clients expect TLS unless told otherwise, and accept any certificate.
//! Source: `ProxyAndTlsProtocolNegotiator`, `tlsTestModeEnable`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::settings::Settings;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate is nothing without its key, nor a key without its certificate.
    #[error("tlsCertPath and tlsKeyPath go together: name both, or none for a self-signed certificate")]
    Half,
    /// A file is missing or holds something else.
    #[error("read {}: {reason}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not fit, or none could be made.
    #[error("use the certificate: {0}")]
    Certificate(String),
}

/// The first byte of a TLS connection, a handshake record. HTTP/2 begins with "PRI".
pub(crate) const FIRST_BYTE: u8 = 0x16;

pub(crate) fn acceptor(settings: &Settings) -> Result<TlsAcceptor, TlsError> {
    let (chain, key) = match (&settings.tls_cert_path, &settings.tls_key_path) {
        (Some(chain), Some(key)) => (read_chain(chain)?, read_key(key)?),
        (None, None) => self_signed()?,
        _ => return Err(TlsError::Half),
    };
    let wrong = |error: rustls::Error| TlsError::Certificate(error.to_string());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(wrong)?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).map_err(wrong)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let chain = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("it holds no certificate in PEM form".into()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |error: rustls_pki_types::pem::Error| TlsError::File {
        path: path.to_owned(),
        reason: format!("{error}; it must be an unencrypted key in PEM form"),
    };
    PrivateKeyDer::from_pem_file(path).map_err(wrong)
}

fn self_signed() -> Result<Identity, TlsError> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(|error| TlsError::Certificate(error.to_string()))?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    Ok((vec![made.cert.into()], key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(settings: &Settings) -> String {
        acceptor(settings).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_certificate_is_made_or_read_and_mistakes_are_named() {
        assert_eq!(why(&Settings::default()), "");
        let dir = tempfile::tempdir().unwrap();
        let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
        let both =
            Settings { tls_cert_path: Some(chain.clone()), tls_key_path: Some(key.clone()), ..Settings::default() };
        assert!(why(&both).contains("chain.pem"), "{}", why(&both));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&chain, made.cert.pem()).unwrap();
        std::fs::write(&key, "no key").unwrap();
        assert!(why(&both).contains("key.pem"), "{}", why(&both));
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        assert_eq!(why(&both), "");
        assert!(why(&Settings { tls_key_path: None, ..both }).contains("go together"));
    }
}

//! TLS on the ports of plaintext: the certificate of the settings, or one made here.
//!
//! Official clients accept any certificate unless told otherwise, and those of gRPC expect TLS.
//! Sources: `TlsMode.PERMISSIVE` and `HandshakeHandler` of `NettyRemotingServer`; `ProxyAndTlsProtocolNegotiator`;
//! `tlsTestModeEnable`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use settings::{Millis, settings};
use tracing::{info, warn};

settings! {
    /// Settings of TLS, the same for all ports of a process.
    pub struct TlsSettings {
        /// Certificate for TLS, a PEM file with the whole chain. Without it a self-signed one is made when the first
        /// client comes over TLS, which the official clients accept.
        pub cert_path: Option<PathBuf> = "tlsCertPath", None, Restart;
        /// Private key of that certificate, a PEM file.
        pub key_path: Option<PathBuf> = "tlsKeyPath", None, Restart;
        /// Time between two looks at these files. A new certificate counts for connections that come later.
        pub watch_interval: Duration as Millis<100> = "tlsCertWatchIntervalMs", Duration::from_secs(10), Restart;
    }
}

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

/// The first byte of a TLS connection, a handshake record. HTTP/2 begins with "PRI", and a frame with the top of a length
/// below 16 MiB, which is 0.
pub const FIRST_BYTE: u8 = 0x16;

/// What TLS connections begin with, now.
#[derive(Debug, Default)]
pub struct Tls {
    /// Chain and key, if there are any.
    files: Option<(PathBuf, PathBuf)>,
    /// Empty until the self-signed certificate is needed: to make one takes longer than everything else at the start.
    config: Mutex<Option<Arc<ServerConfig>>>,
}

/// Bytes of chain and key.
type Files = (Vec<u8>, Vec<u8>);

impl Tls {
    /// Reads the certificate, and from then on takes a new one within the interval of the settings. Needs a runtime.
    ///
    /// # Errors
    /// Names the file that is missing or holds something else.
    pub fn start(settings: &TlsSettings) -> Result<Arc<Tls>, TlsError> {
        let tls = Arc::new(Tls::new(settings)?);
        if let Some(files) = tls.files.clone() {
            tokio::spawn(watch(Arc::downgrade(&tls), files, settings.watch_interval));
        }
        Ok(tls)
    }

    fn new(settings: &TlsSettings) -> Result<Tls, TlsError> {
        let files = match (&settings.cert_path, &settings.key_path) {
            (Some(chain), Some(key)) => Some((chain.clone(), key.clone())),
            (None, None) => None,
            _ => return Err(TlsError::Half),
        };
        let config = match &files {
            Some(files) => Some(config_of(files, &read(files)?)?),
            None => None,
        };
        Ok(Tls { files, config: Mutex::new(config) })
    }

    /// For one more connection.
    ///
    /// # Errors
    /// A self-signed certificate could not be made.
    pub async fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        if let Some(config) = &*self.config.lock() {
            return Ok(config.clone());
        }
        let tls = self.clone();
        let made = tokio::task::spawn_blocking(move || {
            // Held while it is made, so that all connections have the same.
            let mut config = tls.config.lock();
            if config.is_none() {
                *config = Some(config_with(self_signed()?)?);
            }
            Ok(config.clone().expect("it was made above"))
        });
        made.await.map_err(|error| TlsError::Certificate(error.to_string()))?
    }

    /// Takes files that are not those seen before; the answer is what was seen now.
    fn look(&self, files: &(PathBuf, PathBuf), seen: Option<Files>) -> Option<Files> {
        let now = match read(files) {
            Ok(now) => now,
            Err(error) => {
                warn!(%error, "certificate not renewed");
                return seen;
            }
        };
        // At the first look they are those of the start, or newer.
        if seen.as_ref() == Some(&now) {
            return seen;
        }
        match config_of(files, &now) {
            Ok(config) => {
                *self.config.lock() = Some(config);
                if seen.is_some() {
                    info!(path = %files.0.display(), "new certificate taken");
                }
            }
            // Told once: chain and key are written one after the other, and the next look may find both.
            Err(error) => warn!(%error, "certificate not renewed"),
        }
        Some(now)
    }
}

/// Takes new files as they come, until nobody needs them. What cannot be used changes nothing.
async fn watch(tls: Weak<Tls>, files: (PathBuf, PathBuf), interval: Duration) {
    let mut seen = None;
    while let Some(tls) = tls.upgrade() {
        let files = files.clone();
        let looked = tokio::task::spawn_blocking(move || tls.look(&files, seen)).await;
        seen = looked.unwrap_or_default();
        tokio::time::sleep(interval).await;
    }
}

fn read((chain, key): &(PathBuf, PathBuf)) -> Result<Files, TlsError> {
    let read = |path: &Path| {
        let wrong = |error: std::io::Error| TlsError::File { path: path.to_owned(), reason: error.to_string() };
        std::fs::read(path).map_err(wrong)
    };
    Ok((read(chain)?, read(key)?))
}

fn config_of((chain, key): &(PathBuf, PathBuf), bytes: &Files) -> Result<Arc<ServerConfig>, TlsError> {
    config_with((chain_of(chain, &bytes.0)?, key_of(key, &bytes.1)?))
}

fn config_with((chain, key): Identity) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |error: rustls::Error| TlsError::Certificate(error.to_string());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(wrong)?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).map_err(wrong)?;
    // Clients of gRPC insist on it; those of remoting offer nothing, and get nothing.
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn chain_of(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_slice_iter(bytes);
    let chain = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("it holds no certificate in PEM form".into()));
    }
    Ok(chain)
}

fn key_of(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |error: rustls_pki_types::pem::Error| TlsError::File {
        path: path.to_owned(),
        reason: format!("{error}; it must be an unencrypted key in PEM form"),
    };
    PrivateKeyDer::from_pem_slice(bytes).map_err(wrong)
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

    fn why(settings: &TlsSettings) -> String {
        Tls::new(settings).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_certificate_is_made_or_read_and_mistakes_are_named() {
        assert_eq!(why(&TlsSettings::default()), "");
        let dir = tempfile::tempdir().unwrap();
        let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
        let both =
            TlsSettings { cert_path: Some(chain.clone()), key_path: Some(key.clone()), ..TlsSettings::default() };
        assert!(why(&both).contains("chain.pem"), "{}", why(&both));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&chain, made.cert.pem()).unwrap();
        std::fs::write(&key, "no key").unwrap();
        assert!(why(&both).contains("key.pem"), "{}", why(&both));
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        assert_eq!(why(&both), "");
        assert!(why(&TlsSettings { key_path: None, ..both }).contains("go together"));
    }

    #[test]
    fn new_files_are_taken_and_broken_ones_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
        let write = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(&files.0, made.cert.pem()).unwrap();
            std::fs::write(&files.1, made.signing_key.serialize_pem()).unwrap();
        };
        write();
        let (cert_path, key_path) = (Some(files.0.clone()), Some(files.1.clone()));
        let tls = Tls::new(&TlsSettings { cert_path, key_path, ..TlsSettings::default() }).unwrap();
        let current = || tls.config.lock().clone().unwrap();
        let seen = tls.look(&files, None);
        let first = current();
        let seen = tls.look(&files, seen);
        assert!(Arc::ptr_eq(&first, &current()), "the same files are no news");
        std::fs::write(&files.1, "no key").unwrap();
        let seen = tls.look(&files, seen);
        assert!(Arc::ptr_eq(&first, &current()));
        write();
        tls.look(&files, seen);
        assert!(!Arc::ptr_eq(&first, &current()));
    }
}

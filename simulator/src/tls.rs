//! TLS for a simulator on a port, with a certificate of `localhost` that is made for it.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::io;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

/// The server side of TLS.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Makes a certificate of `localhost`.
    ///
    /// # Panics
    /// If the certificate cannot be made.
    #[must_use]
    pub fn of_localhost() -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![cert.der().clone()], key).unwrap();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate: cert.pem() }
    }

    /// The certificate, for `AWS_CA_BUNDLE`.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Performs the TLS handshake.
    ///
    /// # Errors
    /// The error with which the handshake fails.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        self.acceptor.accept(stream).await
    }
}

"""The certificate with which the bridge is known to senders, read again when its files change."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from otel_helicone.bridge.watched_files import WatchedFiles
from otel_helicone.settings.reading import SettingError

__all__ = ["ServerCertificate"]


class ServerCertificate:
    """A certificate and its private key, for HTTP and for gRPC.

    Attributes:
        context: what HTTP uses; a connection that begins after :meth:`renew` has the new ones.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read the files.

        Args:
            certificate: the chain, in PEM, the server's own first.
            key: its private key, in PEM and without a passphrase.

        Raises:
            SettingError: where they can't be used.
        """
        self._certificate = certificate
        self._key = key
        self._files = WatchedFiles(certificate, key)
        # Whether there are newer ones than those in use.
        self._is_unread = False
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            self._pair = self._read()
            self._load(self.context)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise SettingError(
                "tls_cert",
                str(certificate),
                f"give a certificate and its key without a passphrase, in PEM ({reason})",
            ) from None

    def _read(self) -> tuple[bytes, bytes]:
        return self._key.read_bytes(), self._certificate.read_bytes()

    def _load(self, context: ssl.SSLContext) -> None:
        # Without a function for the passphrase, OpenSSL would ask for it on the terminal.
        context.load_cert_chain(self._certificate, self._key, password=lambda: "")

    def renew(self) -> str:
        """Read the files again where they have changed.

        Returns:
            What is wrong with them; empty where nothing is. The ones before stay in use then.
        """
        if not self._files.have_changed() and not self._is_unread:
            return ""
        self._is_unread = True
        try:
            pair = self._read()
            self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
            self._load(self.context)
        except (OSError, ValueError) as error:
            return str(error)
        self._pair = pair
        self._is_unread = False
        return ""

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Return what gRPC uses; it asks for the certificate at each new connection."""
        in_use = self._pair

        def current() -> grpc.ServerCertificateConfiguration | None:
            nonlocal in_use
            if self._pair is in_use:
                return None
            in_use = self._pair
            return grpc.ssl_server_certificate_configuration([in_use])

        return grpc.dynamic_ssl_server_credentials(
            grpc.ssl_server_certificate_configuration([in_use]),
            current,  # type: ignore[arg-type]  # None says that there is no newer one
        )

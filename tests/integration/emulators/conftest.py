"""Fixtures for tests of the emulators: free ports, certificates, and what a handshake is given.

No cluster is needed here; `pytest tests/integration/emulators` runs without one.
"""

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import Callable, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Returns a port of 127.0.0.1 that was free a moment ago."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def self_signed() -> Callable[..., tuple[str, str]]:
    """Makes a self-signed certificate for these names; returns its PEM and that of its key."""

    def make(
        *names: str, kind: str = "ec", password: bytes = b"", days: int = 30
    ) -> tuple[str, str]:
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
        if kind == "rsa":
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        else:
            key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            encryption = serialization.BestAvailableEncryption(password)
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        return pem, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        ).decode()

    return make


@pytest.fixture
def served() -> Callable[..., object]:
    """Shakes hands with 127.0.0.1:`port` for a name; returns the certificate as PEM.

    `ciphers` narrows TLS 1.2 to a key type. Raises ssl.SSLError when the handshake is refused.
    """

    async def shake(port: int, name: str | None, ciphers: Sequence[str] = ()) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if ciphers:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(":".join(ciphers))
        # asyncio takes "" for no server name.
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name or ""
        )
        try:
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.transport.abort()
        return ssl.DER_cert_to_PEM_cert(found)

    return shake

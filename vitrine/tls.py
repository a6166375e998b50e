"""TLS for the public port: a given certificate, or one made here for this machine's names and addresses.

Browsers give a page the camera and the microphone only over HTTPS or on the machine itself
(https://www.w3.org/TR/secure-contexts/), so another device needs a certificate.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vitrine.errors import FrontError
from vitrine.settings import ServerConfig

VALID_DAYS: Final = 397
"""Browsers refuse certificates valid for longer than 398 days."""
RENEW_DAYS: Final = 14

BROWSER_WORDS: Final = (
    "This certificate was made here, so every browser warns once per device before it opens the page:\n"
    "  Chromium, Chrome, Edge: 'Your connection is not private' -> Advanced -> Proceed to ...\n"
    "  Firefox: 'Warning: Potential Security Risk Ahead' -> Advanced... -> Accept the Risk and Continue\n"
    "  Safari: 'This Connection Is Not Private' -> Show Details -> visit this website\n"
    "The connection is encrypted all the same. Compare the fingerprint if in doubt. To avoid the warning,\n"
    "put a certificate that the devices trust into server.cert and server.key, with server.tls = 'files'."
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate on disk.

    Attributes:
        cert: PEM chain.
        key: PEM private key, mode 0600.
        fingerprint: SHA-256 of the certificate as browsers show it ("AB:CD:...").
        names: host names and addresses it is good for.
    """

    cert: Path
    key: Path
    fingerprint: str
    names: tuple[str, ...]

    @property
    def words(self) -> str:
        """What to tell people before they open the page."""
        return f"{BROWSER_WORDS}\nFingerprint (SHA-256): {self.fingerprint}"


def local_names(host: str) -> list[str]:
    """Names and addresses under which this machine may be reached when it listens on `host`."""
    names = ["localhost", "127.0.0.1", "::1"]
    if host not in ("0.0.0.0", "::", ""):
        return [*names, host] if host not in names else names
    names.append(socket.gethostname())
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:  # connecting a UDP socket sends nothing; it only picks the outgoing address
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                names.append(str(probe.getsockname()[0]).split("%")[0])
        except OSError:
            continue
    return list(dict.fromkeys(names))


def self_signed(data_dir: Path, names: Iterable[str], now: datetime.datetime | None = None) -> Certificate:
    """The certificate kept in `data_dir`, made anew when it lacks a name or ends within two weeks.

    Raises:
        FrontError: `data_dir` cannot be written.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    wanted = tuple(dict.fromkeys(names))
    cert, key = data_dir / "tls-cert.pem", data_dir / "tls-key.pem"
    try:
        found = _load(cert, key)
        if found is None or not _covers(found, wanted, now):
            data_dir.mkdir(parents=True, exist_ok=True)
            found = _make(cert, key, wanted, now)
    except OSError as error:
        raise FrontError(
            f"{error.filename or data_dir}: the self-signed certificate cannot be kept here "
            f"({error.strerror}). Make the folder writable or set server.data_dir to another one.",
            code="front-certificate",
        ) from None
    digest = found.fingerprint(hashes.SHA256())
    return Certificate(cert, key, digest.hex(":").upper(), _names_of(found))


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """A context for the public port: TLS 1.2 and newer, HTTP/1.1 only.

    Raises:
        FrontError: a file is missing, is no PEM, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in (cert, key):
        if not path.is_file():
            raise FrontError(f"{path}: no such file; expected a PEM file.", code="front-certificate")
    try:
        context.load_cert_chain(cert, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "unreadable"
        raise FrontError(
            f"{cert} and {key} cannot be used ({str(reason).lower().replace('_', ' ')}); expected a PEM "
            "chain and its private key without a passphrase.",
            code="front-certificate",
        ) from None
    return context


def context_for(server: ServerConfig) -> tuple[ssl.SSLContext | None, Certificate | None]:
    """What `server.tls` asks for: the context of the port, and the certificate if it was made here."""
    if server.tls == "files" and server.cert and server.key:
        return server_context(server.cert, server.key), None
    if server.tls == "self-signed":
        made = self_signed(server.data_dir, local_names(server.host))
        return server_context(made.cert, made.key), made
    return None, None


def _load(cert: Path, key: Path) -> x509.Certificate | None:
    """The kept certificate if it can be read and belongs to the kept key."""
    if not (cert.exists() and key.exists()):
        return None
    try:
        found = x509.load_pem_x509_certificate(cert.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError):
        return None
    return found if found.public_key() == private.public_key() else None


def _names_of(cert: x509.Certificate) -> tuple[str, ...]:
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in names)


def _covers(cert: x509.Certificate, wanted: tuple[str, ...], now: datetime.datetime) -> bool:
    lasts = cert.not_valid_after_utc - now >= datetime.timedelta(days=RENEW_DAYS)
    return lasts and cert.not_valid_before_utc <= now and set(wanted) <= set(_names_of(cert))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _make(cert: Path, key: Path, names: tuple[str, ...], now: datetime.datetime) -> x509.Certificate:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Vitrine on this machine")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS - 1))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    key.chmod(0o600)
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return made

"""The certificate of a key set's host is checked, against its name. https://www.rfc-editor.org/rfc/rfc9110#section-4.3.4"""

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from fhir_server.auth.jwks import Unfetchable, fetch
from tests.auth.door import ec_key, rsa_jwk
from tests.auth.jwks_test import Origin


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for a name, signed by itself, and its key."""
    key = ec_key("tls", "256")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return pem, secret


def encrypted(folder: Path, name: str) -> Origin:
    """An origin with TLS."""
    origin = Origin()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder, name))
    origin.server.socket = context.wrap_socket(origin.server.socket, server_side=True)
    origin.url = f"https://{origin.host}/jwks"
    origin.serve(rsa_jwk("a"))
    return origin


@pytest.fixture
def named(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Origin]:
    origin = encrypted(tmp_path, request.param)
    yield origin
    origin.server.shutdown()
    origin.server.server_close()


@pytest.mark.parametrize("named", ["localhost"], indirect=True)
async def test_a_certificate_that_nobody_vouches_for_is_refused(named: Origin) -> None:
    with pytest.raises(Unfetchable, match="cannot be fetched"):
        await fetch(named.url, frozenset({"localhost"}))
    assert named.asked == []


@pytest.mark.parametrize(("named", "good"), [("localhost", True), ("other.example", False)], indirect=["named"])
async def test_a_certificate_counts_for_its_name_though_we_connect_to_an_address(
    named: Origin, good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    monkeypatch.setattr("fhir_server.auth.jwks.VERIFIED", lambda: context)
    if good:
        found, _ = await fetch(named.url, frozenset({"localhost"}))
        assert found["keys"][0]["kid"] == "a"
    else:
        with pytest.raises(Unfetchable, match="cannot be fetched"):
            await fetch(named.url, frozenset({"localhost"}))

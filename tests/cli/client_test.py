"""`fhir-server client` and `fhir-server token`: what they register and print is what the server then goes by."""

import json
from pathlib import Path

import pytest

from fhir_server.auth.records import digest
from fhir_server.auth.tokens import grant_of
from fhir_server.cli import main
from tests.auth.door import Door, claims, ec_jwk, rsa_jwk, signed, smart


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    out = capsys.readouterr()
    return code, out.out, out.err


def test_a_backend_service_is_registered_and_served(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(rsa_jwk("a")))  # a single key will do
    about = ["--scope", "system/Observation.cruds system/Patient.rs", "--jwks", str(keys), "--role", "laboratory"]
    about += ["--purpose", "TREAT", "--actor", "Organization/lab", "--study", "s1", "--name", "The laboratory"]
    code, out, _ = run(capsys, "client", "add", "lab", *about, "--store", store_url)
    assert code == 0
    assert "secret" not in out
    assert run(capsys, "client", "add", "lab", *about, "--store", store_url)[0] == 2, "the id is taken"
    assert "lab\tasymmetric\tThe laboratory\t" in run(capsys, "client", "list", "--store", store_url)[1]
    door = Door(smart(store_url))
    try:
        token = door.token(signed(claims("lab"))).json()["access_token"]
        grant = door.run(grant_of(door.server, token))
        assert grant is not None
        assert (grant.client, grant.role, grant.study) == ("lab", "laboratory", "s1")
        assert (grant.purposes, grant.actors) == (("TREAT",), ("Organization/lab",))
        assert grant.scopes == ("system/Patient.rs",)
    finally:
        door.close()
    assert run(capsys, "client", "remove", "lab", "--store", store_url)[0] == 0
    assert run(capsys, "client", "remove", "lab", "--store", store_url)[0] == 1
    assert run(capsys, "client", "list", "--store", store_url)[1] == ""
    door = Door(smart(store_url))
    assert door.run(grant_of(door.server, token)) is None, "a client takes its tokens along"
    door.close()


def test_a_secret_is_printed_once_and_kept_as_a_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = f"sqlite:///{tmp_path / 'fhir.db'}"
    about = ["--kind", "symmetric", "--scope", "patient/*.rs", "--redirect", "https://app.example/cb", "--store", store]
    secret = run(capsys, "client", "add", "portal", *about)[1].split()[-1]
    door = Door(smart(store))
    kept = door.run(door.server.store.get_state("client/portal"))
    door.close()
    assert kept is not None
    assert secret not in kept[0].decode()
    assert digest(secret) in kept[0].decode()
    for name in ("fhir.db", "fhir.db-wal"):
        if (tmp_path / name).exists():
            assert secret.encode() not in (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("add", "needs an ID"),
        ("list x", "no ID"),
        ("add x", "needs a scope"),
        ("add x --scope system/Nothing.rs --redirect https://a.example", "no scopes"),
        ("add x --scope patient/*.sr --redirect https://a.example", "no scopes"),
        ("add x --scope patient/*.rs", "redirect"),
        ("add x --scope patient/*.rs --redirect http://a.example", "redirect"),
        ("add x --scope patient/*.rs --redirect https://a.example/#x", "redirect"),
        ("add x --scope patient/*.rs --redirect https://*.example/", "redirect"),
        ("add x --scope patient/*.rs --redirect javascript:alert(1)", "redirect"),
        ("add x --scope patient/*.rs --redirect https://u:p@a.example/", "redirect"),
        ("add x --scope system/*.rs --kind symmetric --grant client_credentials", "asymmetric"),
        ("add x --scope system/*.rs --kind public --grant client_credentials", "asymmetric"),
        ("add x --scope system/*.rs --kind asymmetric", "key set"),
        ("add x --scope system/*.rs --jwks-url http://a.example/jwks", "https"),
        ("add x --scope system/*.rs --jwks-url https://u@a.example/jwks", "user"),
        ("add x --scope system/*.rs --jwks-url https://a.example/jwks --role king", "Roles"),
        ("add x --scope system/*.rs --jwks-url https://a.example/jwks --actor me", "reference"),
        ("add x --scope system/*.rs --jwks-url https://a.example/jwks --grant password", "Grants"),
        ("add ä --scope patient/*.rs --redirect https://a.example", "ASCII"),
    ],
)
def test_a_client_that_may_not_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: str, message: str
) -> None:
    """S-52 among them: a shared secret does not make a backend service."""
    code, _, err = run(capsys, "client", *argv.split(), "--store", f"sqlite:///{tmp_path / 'fhir.db'}")
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("jwks", "message"),
    [
        ("[]", "key set"),
        ("{", "JSON"),
        ('{"keys": []}', "1 to 50"),
        ('{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}', "private"),
        (json.dumps({"keys": [rsa_jwk("a", d="AQAB")]}), "private"),
        (json.dumps({"keys": [rsa_jwk("a"), rsa_jwk("a")]}), "kid"),
        (json.dumps({"keys": [{**rsa_jwk("a"), "kid": ""}]}), "kid"),
        (json.dumps({"keys": [rsa_jwk("small", 1024)]}), "2048"),
        (json.dumps({"keys": [rsa_jwk("a", n="!")]}), "base64url"),
        (json.dumps({"keys": [{**ec_jwk("b"), "x": ec_jwk("b")["y"]}]}), "broken"),
    ],
)
def test_a_key_set_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], jwks: str, message: str
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(jwks)
    argv = ["add", "x", "--scope", "system/*.rs", "--jwks", str(keys), "--store", f"sqlite:///{tmp_path / 'fhir.db'}"]
    code, _, err = run(capsys, "client", *argv)
    assert code == 2
    assert message in err


def test_a_development_token_is_an_operators_or_of_whom_it_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path / 'fhir.db'}"
    tokens = [
        run(capsys, "token", *argv, "--store", store)[1].strip()
        for argv in ((), ("--patient", "p1"), ("--user", "Practitioner/7", "--scope", "user/Patient.rs openid"))
    ]
    door = Door(smart(store))
    grants = [door.run(grant_of(door.server, token)) for token in tokens]
    shown = [(g.role, g.user, g.patient, g.scopes) for g in grants if g]
    assert shown == [
        ("operator", "", "", ("system/*.cruds",)),
        ("", "", "p1", ("patient/*.cruds",)),
        ("", "Practitioner/7", "", ("user/Patient.rs", "openid")),
    ]
    door.close()
    assert run(capsys, "client", "remove", "fhir-server-token", "--store", store)[0] == 0
    door = Door(smart(store))
    assert [door.run(grant_of(door.server, token)) for token in tokens] == [None] * 3
    door.close()


@pytest.mark.parametrize(
    "argv",
    [
        "--scope patient/*.rs",
        "--scope user/*.rs",
        "--scope system/Nothing.rs",
        "--patient ../x",
        "--user Group/1",
        "--seconds 0",
    ],
)
def test_a_token_that_means_nothing_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: str) -> None:
    """M-1: a scope of a patient without a patient among them."""
    code, out, err = run(capsys, "token", *argv.split(), "--store", f"sqlite:///{tmp_path / 'fhir.db'}")
    assert (code, out) == (2, "")
    assert len(err) > 20

"""Settings are read, checked and documented."""

from pathlib import Path

import pytest

from fhir_server.app import create_app
from fhir_server.settings import Settings, from_environ, table


def test_docs_hold_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    assert table() in text


def test_variables_set_fields_and_the_base_follows() -> None:
    settings = from_environ({"FHIR_SERVER_PORT": "9001", "FHIR_SERVER_ACCESS_LOG": "no", "HOME": "/"})
    assert settings == Settings(port=9001, access_log=False)
    assert settings.base == "http://127.0.0.1:9001/fhir"
    assert Settings(base_url="https://a.example/r4/").base == "https://a.example/r4"


@pytest.mark.parametrize(
    "environ", [{"FHIR_SERVER_PROT": "1"}, {"FHIR_SERVER_PORT": "http"}, {"FHIR_SERVER_ACCESS_LOG": "perhaps"}]
)
def test_nonsense_is_refused_by_name(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(environ))):
        from_environ(environ)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(auth="smart", host="0.0.0.0"), "https://"),
        (Settings(auth="smart", host="0.0.0.0", base_url="http://fhir.example/fhir"), "https://"),
        (Settings(auth="smart", base_url="http://fhir.example/fhir"), "https://"),
        (Settings(auth="smart", access_lifetime=7200), "access_lifetime"),
        (Settings(auth="smart", backend_lifetime=301), "backend_lifetime"),
        (Settings(auth="smart", registration="sometimes"), "registration"),
        (Settings(auth="smart", issuers="https://idp.example"), "issuers"),
        (Settings(auth="smart", issuers="http://idp.example=https://idp.example/jwks"), "issuers"),
        (Settings(auth="none"), "Unknown auth"),
        (Settings(auth="open", host="0.0.0.0"), "loopback"),
        (Settings(page_size=5000), "page_size"),
        (Settings(log_level="LOUD"), "log_level"),
    ],
)
def test_what_cannot_serve_is_refused(settings: Settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_app(settings)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(auth="smart"),
        Settings(auth="smart", host="::1"),
        Settings(auth="smart", base_url="http://localhost:9000/fhir"),
        Settings(auth="smart", host="0.0.0.0", base_url="https://fhir.example/fhir"),
        Settings(auth="smart", host="0.0.0.0", insecure_http=True),
        Settings(auth="smart", issuers="https://a.example/realm=https://a.example/jwks https://b.example=https://b.example/k?x=1"),
    ],
)  # fmt: skip
def test_tokens_travel_over_tls_or_stay_on_this_machine(settings: Settings) -> None:
    settings.check()


def test_the_issuer_lies_beside_the_base() -> None:
    assert Settings().issuer == "http://127.0.0.1:8080/auth"
    assert Settings(base_url="https://a.example/x/fhir/").issuer == "https://a.example/x/auth"
    assert Settings(base_url="https://a.example/r4").issuer == "https://a.example/auth"

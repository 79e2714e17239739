"""What browser tests share: Chromium, the example app served on an address of its own, a server with a record and apps.

Without Chromium the tests are skipped, unless FHIR_SERVER_REQUIRE_CHROMIUM says that they must not be.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.auth.door import rsa_jwk
from tests.serving import Served, served

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PY_REDIRECT = "https://py.example/callback"
PARTICIPANT, CLINICIAN = "Patient/p1", "Practitioner/d1"
RECORD = [
    {"resourceType": "Patient", "id": "p1", "name": [{"given": ["Ada"], "family": "Lind"}], "birthDate": "1961-02-03"},
    {"resourceType": "Patient", "id": "p2", "name": [{"given": ["Bea"], "family": "Lindgren"}]},
    {
        "resourceType": "Practitioner",
        "id": "d1",
        "name": [{"family": "Doctor"}],
    },
    {
        "resourceType": "CareTeam",
        "id": "t1",
        "status": "active",
        "subject": {"reference": "Patient/p1"},
        "participant": [{"member": {"reference": "Practitioner/d1"}}],
    },
    {
        "resourceType": "Condition",
        "id": "c1",
        "subject": {"reference": "Patient/p1"},
        "code": {"text": "Adenocarcinoma of the lung"},
    },
    {
        "resourceType": "Observation",
        "id": "v1",
        "status": "final",
        "subject": {"reference": "Patient/p1"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "69548-6"}]},
        "valueCodeableConcept": {"coding": [{"system": "http://loinc.org", "code": "LA9633-4"}]},
        "component": [
            {
                "code": {"coding": [{"system": "http://loinc.org", "code": "48018-6"}]},
                "valueCodeableConcept": {"text": "EGFR"},
            },
            {
                "code": {"coding": [{"system": "http://loinc.org", "code": "48005-3"}]},
                "valueCodeableConcept": {"text": "p.Leu858Arg"},
            },
        ],
    },
    {"resourceType": "ResearchStudy", "id": "s1", "status": "active", "title": "Third-generation inhibitor"},
    {
        "resourceType": "ResearchSubject",
        "id": "r1",
        "status": "candidate",
        "study": {"reference": "ResearchStudy/s1"},
        "individual": {"reference": "Patient/p1"},
    },
]


class App(NamedTuple):
    """A folder that is served."""

    url: str
    folder: Path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        if os.environ.get("FHIR_SERVER_REQUIRE_CHROMIUM"):
            pytest.fail("There is no chromium: apt-get install chromium")
        pytest.skip("There is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The example app, served as `python -m http.server` does; a test may put more beside it."""
    folder = tmp_path_factory.mktemp("app") / "app"
    shutil.copytree(ROOT / "examples" / "smart-app", folder)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield App(f"http://127.0.0.1:{server.server_port}/", folder)
    server.shutdown()
    server.server_close()


def command(*words: str, stdin: str = "") -> None:
    run = subprocess.run(
        [sys.executable, "-m", "fhir_server.cli", *words], input=stdin, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def record_server(app: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("browser")
    url = f"sqlite:///{folder / 'fhir.db'}"
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}} for one in RECORD
    ]
    (folder / "record.json").write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
    (folder / "keys.json").write_text(json.dumps({"keys": [rsa_jwk("ehr")]}))
    command("load", str(folder / "record.json"), "--store", url)
    for name, who in (("ada", PARTICIPANT), ("doctor", CLINICIAN)):
        command("user", "add", name, "--fhir-user", who, "--password-stdin", "--store", url, stdin=PASSWORD)
    scopes = ("launch", "launch/patient", "openid", "fhirUser", "patient/*.rs")
    about = ("--name", "Trial finder", "--redirect", app.url, "--launch", app.url, "--store", url)
    command("client", "add", "smart-app", "--scope", *scopes, *about)
    more = ("--grant", "authorization_code", "refresh_token", "--store", url)
    for name, redirect in (("py", PY_REDIRECT), ("js", f"{app.url}js/")):
        command("client", "add", name, "--scope", *scopes, "offline_access", "--redirect", redirect, *more)
    keys = ("--jwks", str(folder / "keys.json"), "--role", "ehr")
    command("client", "add", "ehr", "--scope", "system/*.rs", *keys, "--store", url)
    with served(url, FHIR_SERVER_AUTH="smart") as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    opened.errors = []  # type: ignore[attr-defined]
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))  # type: ignore[attr-defined]
    yield opened
    context.close()


def sign_in(page: Page, name: str) -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")

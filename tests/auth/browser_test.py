"""A person, a real browser and the example app: standalone as participant and as clinician, and from an EHR.

Without Chromium this is skipped, unless FHIR_SERVER_REQUIRE_CHROMIUM says that it must not be.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.auth.door import JWT_BEARER, claims, rsa_jwk, signed
from tests.serving import Served, served

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
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
def app() -> Iterator[str]:
    """The address of the example app, served as `python -m http.server` does."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

    handler = functools.partial(Quiet, directory=str(ROOT / "examples" / "smart-app"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def command(*words: str, stdin: str = "") -> None:
    run = subprocess.run(
        [sys.executable, "-m", "fhir_server.cli", *words], input=stdin, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def server(app: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
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
    about = ("--name", "Trial finder", "--redirect", app, "--launch", app, "--store", url)
    command("client", "add", "smart-app", "--scope", *scopes, *about)
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


def sees_the_record(page: Page) -> None:
    """What the app shows when it has a token and the record."""
    expect(page.locator("#said")).to_have_text("This is what the server lets this app see.", timeout=30_000)
    expect(page.locator("#patient")).to_have_text("Ada Lind, born 1961-02-03")
    expect(page.locator("#conditions")).to_contain_text("Adenocarcinoma of the lung")
    expect(page.locator("#variants")).to_contain_text("EGFR p.Leu858Arg")
    expect(page.locator("#trials")).to_contain_text("Third-generation inhibitor (candidate)")
    assert "code=" not in page.url
    assert page.errors == []  # type: ignore[attr-defined]


def picture(page: Page, name: str) -> None:
    """Keep what is seen, phone and desktop, where FHIR_SERVER_PICTURES says."""
    folder = os.environ.get("FHIR_SERVER_PICTURES")
    for width in (390, 1200) if folder else ():
        page.set_viewport_size({"width": width, "height": 800})
        page.screenshot(path=f"{folder}/{name}-{width}.png", full_page=True)


def test_a_participant_signs_in_and_sees_the_own_record(page: Page, app: str, server: Served) -> None:
    page.goto(f"{app}?iss={server.base}")
    page.get_by_role("button", name="Sign in").click()
    picture(page, "login")
    sign_in(page, "ada")
    expect(page.get_by_role("heading", level=1)).to_have_text("Allow “Trial finder”?")
    picture(page, "consent")
    page.get_by_role("button", name="Allow").click()
    sees_the_record(page)
    page.goto(server.base.replace("/fhir", "/auth/apps"))
    picture(page, "apps")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("status")).to_have_text("It is withdrawn.")


def test_a_clinician_picks_the_patient(page: Page, app: str, server: Served) -> None:
    page.goto(f"{app}?iss={server.base}")
    page.get_by_role("button", name="Sign in").click()
    sign_in(page, "doctor")
    expect(page.get_by_role("heading", level=1)).to_have_text("Pick a patient")
    page.get_by_label("Name, or how it begins").fill("lind ada")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2)).to_have_text("1 found")
    picture(page, "picker")
    page.keyboard.press("Enter")  # the first one found has the focus
    expect(page.get_by_role("heading", level=1)).to_have_text("Allow “Trial finder”?")
    page.get_by_role("button", name="Allow").click()
    sees_the_record(page)


def test_refusing_leads_back_to_the_app(page: Page, app: str, server: Served) -> None:
    page.goto(f"{app}?iss={server.base}")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Cancel and go back to the app").click()
    expect(page.locator("#said")).to_have_text("That did not work: The person refused.")


def test_an_ehr_opens_the_app_with_its_patient(page: Page, app: str, server: Served) -> None:
    root = server.base.removesuffix("/fhir")
    assertion = signed(claims("ehr", aud=f"{root}/auth/token"), kid="ehr")
    form = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion_type": JWT_BEARER}
    body = urllib.parse.urlencode({**form, "client_assertion": assertion}).encode()
    with urllib.request.urlopen(f"{root}/auth/token", body) as answer:
        token = json.load(answer)["access_token"]
    asked = json.dumps({"client_id": "smart-app", "patient": "p1", "user": CLINICIAN}).encode()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{root}/auth/launch", asked, headers)) as answer:
        url = json.load(answer)["url"]
    page.goto(url)
    sign_in(page, "doctor")
    expect(page.get_by_role("heading", level=1)).to_have_text("Allow “Trial finder”?")
    page.get_by_role("button", name="Allow").click()
    sees_the_record(page)

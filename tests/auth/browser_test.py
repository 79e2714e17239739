"""A person, a real browser and the example app: standalone as participant and as clinician, and from an EHR."""

import json
import os
import urllib.parse
import urllib.request

from playwright.sync_api import Page, expect

from tests.auth.door import JWT_BEARER, claims, signed
from tests.auth.walk import CLINICIAN, App, sign_in
from tests.serving import Served


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


def test_a_participant_signs_in_and_sees_the_own_record(page: Page, app: App, record_server: Served) -> None:
    page.goto(f"{app.url}?iss={record_server.base}")
    page.get_by_role("button", name="Sign in").click()
    picture(page, "login")
    sign_in(page, "ada")
    expect(page.get_by_role("heading", level=1)).to_have_text("Allow “Trial finder”?")
    picture(page, "consent")
    page.get_by_role("button", name="Allow").click()
    sees_the_record(page)
    page.goto(record_server.base.replace("/fhir", "/auth/apps"))
    picture(page, "apps")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("status")).to_have_text("It is withdrawn.")


def test_a_clinician_picks_the_patient(page: Page, app: App, record_server: Served) -> None:
    page.goto(f"{app.url}?iss={record_server.base}")
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


def test_refusing_leads_back_to_the_app(page: Page, app: App, record_server: Served) -> None:
    page.goto(f"{app.url}?iss={record_server.base}")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Cancel and go back to the app").click()
    expect(page.locator("#said")).to_have_text("That did not work: The person refused.")


def test_an_ehr_opens_the_app_with_its_patient(page: Page, app: App, record_server: Served) -> None:
    root = record_server.base.removesuffix("/fhir")
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

"""Clients that others wrote, as they are: PyPI `fhirclient`, and npm `fhirclient` in a browser."""

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import lxml.html
import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.observation import Observation
from playwright.sync_api import Page, expect

from tests.auth.walk import PASSWORD, PY_REDIRECT, App, sign_in
from tests.serving import Served

NPM_VERSION = "2.6.3"
SCOPE = "launch/patient openid fhirUser offline_access patient/*.rs"
GO = """
const asked = new URLSearchParams(location.search);
const said = document.getElementById("said");
if (asked.has("code") || asked.has("error")) {
  FHIR.oauth2.ready().then(async (client) => {
    const patient = await client.patient.read();
    const found = await client.request(`Observation?patient=${client.patient.id}`, { flat: true, pageLimit: 0 });
    await client.refresh();
    const again = await client.patient.read();
    const names = [patient, again].map((one) => one.name[0].family);
    said.textContent = JSON.stringify({ names, observations: found.length, user: client.user.fhirUser });
  }).catch((error) => { said.textContent = `failed: ${error}`; });
} else {
  const redirectUri = location.href.split("?")[0];
  FHIR.oauth2.authorize({ clientId: "js", scope: "%s", iss: asked.get("iss"), redirectUri });
}
"""


def consented(url: str) -> str:
    """Do at the pages what a participant does; returns where the browser is sent."""
    with httpx2.Client(follow_redirects=True) as http:
        page = http.get(url)
        for action, more in (("login", {"name": "ada", "password": PASSWORD}), ("consent", {"decision": "allow"})):
            form = next(one for one in lxml.html.fromstring(page.text).forms if one.action == action)
            values: dict[str, list[str]] = {}
            for name, value in form.form_values():
                values.setdefault(name, []).append(value)
            target = urljoin(str(page.url), action)
            page = http.post(target, data=values | more, follow_redirects=action == "login")
        return str(page.headers["location"])


def test_the_client_of_pypi_completes_a_standalone_launch(record_server: Served) -> None:
    settings = {"app_id": "py", "api_base": record_server.base, "redirect_uri": PY_REDIRECT, "scope": SCOPE}
    smart = FHIRClient(settings=settings)
    assert not smart.ready
    smart.handle_callback(consented(smart.authorize_url))
    assert smart.ready
    assert smart.human_name(smart.patient.name[0]) == "Ada Lind"
    found = Observation.where({"patient": smart.patient_id}).perform_resources_iter(smart.server)
    assert [one.id for one in found] == ["v1"]
    assert smart.reauthorize()
    assert smart.patient_id == "p1"


@pytest.fixture(scope="module")
def library(pytestconfig: pytest.Config) -> Path:
    """npm's `fhirclient`, as it is published, kept between runs."""
    folder = pytestconfig.cache.mkdir("npm-fhirclient")
    packed = folder / f"fhirclient-{NPM_VERSION}.tgz"
    if not packed.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("There is no npm to fetch the package fhirclient with.")
        command = [npm, "pack", "--silent", f"fhirclient@{NPM_VERSION}"]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
        if run.returncode != 0:
            # Demanded where the browser is, as in CI: a launch of a real client must not go missing unseen.
            give_up = pytest.fail if os.environ.get("FHIR_SERVER_REQUIRE_CHROMIUM") else pytest.skip
            give_up(f"npm cannot fetch fhirclient: {run.stderr[-200:]}")
    with tarfile.open(packed) as archive:
        member = archive.extractfile("package/build/fhir-client.js")
        assert member is not None
        script = folder / "fhir-client.js"
        script.write_bytes(member.read())
    return script


def test_the_client_of_npm_completes_a_standalone_launch(
    library: Path, page: Page, app: App, record_server: Served
) -> None:
    folder = app.folder / "js"
    folder.mkdir()
    shutil.copy(library, folder / "fhir-client.js")
    (folder / "go.js").write_text(GO % SCOPE)
    html = '<p id="said"></p><script src="fhir-client.js"></script><script src="go.js"></script>'
    (folder / "index.html").write_text(f"<!doctype html><title>js</title>{html}")
    page.goto(f"{app.url}js/?iss={record_server.base}")
    sign_in(page, "ada")
    page.get_by_role("button", name="Allow").click()
    expect(page.locator("#said")).not_to_be_empty(timeout=30_000)
    text = page.locator("#said").text_content() or ""
    assert text.startswith("{"), text
    assert json.loads(text) == {"names": ["Lind", "Lind"], "observations": 1, "user": "Patient/p1"}

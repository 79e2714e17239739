"""Someone with a browser, without the browser: cookies kept, forms filled in by their labels' names, no script."""

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import lxml.html
from msgspec.structs import replace

from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.auth import users
from fhir_server.auth.clients import register
from fhir_server.auth.records import Client as Registered
from fhir_server.auth.records import save
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.settings import Settings
from tests.client import Client

HOME = "https://app.example/home?x=1"
PASSWORD = "correct horse battery"
BASE = "http://127.0.0.1:8080/fhir"
SCOPES = (
    "launch/patient",
    "launch",
    "launch/encounter",
    "openid",
    "fhirUser",
    "offline_access",
    "online_access",
    "patient/*.cruds",
    "user/*.rs",
    "system/*.rs",
)
APP = Registered(
    id="app",
    name="Trial finder",
    kind="public",
    scopes=SCOPES,
    grants=("authorization_code", "refresh_token"),
    redirects=(HOME, "http://127.0.0.1/native"),
    launch="https://app.example/launch",
)
OTHER = Registered(
    id="other",
    name="<b>Other</b>",
    kind="public",
    scopes=SCOPES,
    redirects=("https://other.example/",),
    launch="https://other.example/go",
)
DOCTORS = {"generalPractitioner": [{"reference": "Practitioner/doc"}]}
RESOURCES: tuple[dict[str, Any], ...] = (
    {
        "resourceType": "Patient",
        "id": "anna",
        "name": [{"family": "Berg", "given": ["Anna"]}],
        "birthDate": "1970-12-31",
        "gender": "female",
        **DOCTORS,
    },
    {
        "resourceType": "Patient",
        "id": "bo",
        "name": [{"family": "Berger", "given": ["Bo"]}],
        "birthDate": "1980-01-02",
        **DOCTORS,
    },
    {"resourceType": "Patient", "id": "x", "name": [{"family": "<script>alert(1)</script>"}], **DOCTORS},
    {"resourceType": "Patient", "id": "zed", "name": [{"family": "Bergson"}]},  # of no clinician here
    {"resourceType": "Practitioner", "id": "doc", "name": [{"family": "Doctor"}]},
    {"resourceType": "RelatedPerson", "id": "mum", "patient": {"reference": "Patient/bo"}},
    {"resourceType": "RelatedPerson", "id": "past", "active": False, "patient": {"reference": "Patient/bo"}},
    {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": "Patient/anna"},
    },
)
USERS = {
    "anna": "Patient/anna",
    "doc": "Practitioner/doc",
    "mum": "RelatedPerson/mum",
    "past": "RelatedPerson/past",
}


async def fill(settings: Settings) -> None:
    """A store with patients, those who sign in, and apps."""
    async with open_server(settings) as server:
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in RESOURCES
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        await batch_or_transaction(server, OPERATOR, Ask(resource=bundle))
        first = await users.add(server.store, "anna", USERS["anna"], PASSWORD)
        for name, who in USERS.items():  # with the same hash: making one takes a while
            await save(
                server.store, f"user/{name}", replace(first, name=name, fhir_user=who, shown=name), name == "anna"
            )
        for app in (APP, OTHER):
            await register(server, app)


class Person:
    """One browser. `client` is the application; `page` is the last page seen."""

    def __init__(self, client: Client) -> None:
        self.client = client
        transport = httpx2.ASGITransport(app=client.app, raise_app_exceptions=False)
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
        self.page: httpx2.Response
        self.verifier = secrets.token_urlsafe(48)

    def __call__(self, method: str, url: str, **more: Any) -> httpx2.Response:
        """One request, and then whatever our own pages redirect to."""
        self.page = self.client.run(self.http.request(method, url, **more))
        while self.page.is_redirect and not self.gone:
            self.page = self.client.run(self.http.get(str(self.page.url.join(self.page.headers["location"]))))
        return self.page

    @property
    def gone(self) -> dict[str, str]:
        """What the app was sent if the browser went back to it, else nothing."""
        location = self.page.headers.get("location", "")
        if not location.startswith(
            ("https://app.example", "https://other.example", "http://127.0.0.1:9999/", "http://127.0.0.1/native")
        ):
            return {}
        return dict(parse_qsl(urlsplit(location).query, keep_blank_values=True))

    def ask(self, method: str = "GET", drop: str = "", **changes: str) -> httpx2.Response:
        """An app's request, sound but for the changes."""
        asked = request(self.verifier) | changes
        asked.pop(drop, None)
        if method == "POST":
            return self("POST", "/auth/authorize", data=asked)
        return self("GET", f"/auth/authorize?{urlencode(asked)}")

    def submit(self, action: str, drop: str = "", **fields: Any) -> httpx2.Response:
        """Send the page's form with this action, with what is in it and with these fields."""
        page = lxml.html.fromstring(self.page.text)
        form = next(one for one in page.forms if one.action == action)
        values = [(name, value) for name, value in form.form_values() if name not in fields and name != drop]
        for name, value in fields.items():
            values += [(name, one) for one in ([value] if isinstance(value, str) else value)]
        body = urlencode(values)
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self("POST", f"/auth/{action}", content=body, headers=headers)

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx2.Response:
        """Fill in the login page that is shown."""
        return self.submit("login", name=name, password=password)

    def allow(self, **fields: Any) -> dict[str, str]:
        """Consent to what is ticked; returns what the app is sent."""
        self.submit("consent", decision="allow", **fields)
        return self.gone

    def code(self, name: str = "anna", **changes: str) -> str:
        """A code for an app to which this person consents."""
        self.ask(**changes)
        if "/login" in self.page.text or 'action="login"' in self.page.text:
            self.sign_in(name)
        return self.allow()["code"]

    def token(self, client_id: str = "app", **form: str) -> httpx2.Response:
        """What the token endpoint answers to an app."""
        return self.client.run(self.http.post("/auth/token", data={"client_id": client_id, **form}))

    def redeem(self, code: str, /, **changes: str) -> httpx2.Response:
        """The same for a code."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": HOME, "code_verifier": self.verifier}
        return self.token(**{**form, **changes})

    def refresh(self, token: str, /, **more: str) -> httpx2.Response:
        """The same for a refresh token."""
        return self.token(**{"grant_type": "refresh_token", "refresh_token": token, **more})

    def heard(self) -> list[str]:
        """Headings and alerts of the page."""
        page = lxml.html.fromstring(self.page.text)
        return [one.text_content() for one in page.xpath("//h1 | //*[@role='alert'] | //*[@role='status']")]


def request(verifier: str) -> dict[str, str]:
    """A sound authorization request."""
    return {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": HOME,
        "scope": "launch/patient openid fhirUser offline_access patient/*.rs",
        "state": 's&t=a"te',
        "aud": BASE,
        "nonce": "n-0",
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }


def challenge(verifier: str) -> str:
    """PKCE S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def living(person: Person, token: str) -> bool:
    """Whether the server takes an access token."""
    form = {"token": token, "client_id": "app"}
    answer = person.client.run(
        person.http.post("/auth/introspect", data=form, headers={"authorization": f"Bearer {token}"})
    )
    return answer.status_code == 200 and bool(answer.json()["active"])

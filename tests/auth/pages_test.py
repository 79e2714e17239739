"""The pages: nobody else's forms, nobody else's session, nothing in them but text (and S-55: my apps)."""

import re
from pathlib import Path
from urllib.parse import urlencode

import lxml.html
import pytest

from fhir_server.auth.page import FOLDER
from tests.auth.person import OTHER, Person, living, request

FORMS = ("login", "patients", "patient", "consent", "apps", "logout")
COOKIE = "fhir-session"


def test_every_page_is_guarded_by_its_headers(visitor: Person) -> None:
    pages = [
        visitor.ask(),
        visitor.sign_in("doc"),
        visitor("GET", "/auth/apps"),
        visitor("GET", "/auth/continue?flow=x"),
    ]
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["x-frame-options"] == "DENY"
    targets = [re.search("form-action ([^;]*)", page.headers["content-security-policy"])[1] for page in pages]
    assert targets == ["'self' https://app.example", "'self' https://app.example", "'self'", "'self'"]


def test_pages_have_no_script_and_need_none() -> None:
    for path in FOLDER.glob("*.html"):
        text = path.read_text()
        assert "<script" not in text
        assert not re.search(r"\son[a-z]+=", text), path
        assert " style=" not in text
        assert "safe }}" not in text


def test_every_field_has_a_label_and_every_page_one_heading(visitor: Person) -> None:
    visitor.ask()
    pages = [visitor.page, visitor.sign_in("doc"), visitor.submit("patients", name="berg", born="")]
    pages += [visitor.submit("patient", patient="anna"), visitor("GET", "/auth/apps"), visitor("GET", "/auth/continue")]
    for page in pages:
        tree = lxml.html.fromstring(page.text)
        assert tree.get("lang") == "en" or tree.getroottree().getroot().get("lang") == "en"
        assert len(tree.xpath("//h1")) == 1
        assert tree.xpath("//title")[0].text_content().strip()
        ids = tree.xpath("//@id")
        assert len(ids) == len(set(ids))
        for field in tree.xpath("//input[not(@type='hidden')]"):
            assert tree.xpath(f"//label[@for='{field.get('id')}']"), field.get("name")


@pytest.mark.parametrize("action", FORMS)
@pytest.mark.parametrize("token", ["", "wrong", "of another browser"])
def test_a_form_of_anyone_else_does_nothing(visitor: Person, action: str, token: str) -> None:
    other = Person(visitor.client)
    other.ask()
    stolen = dict(lxml.html.fromstring(other.page.text).forms[0].form_values())["csrf"]
    visitor.client.run(other.http.aclose())
    visitor.ask()
    visitor.sign_in("anna")
    fields = dict(lxml.html.fromstring(visitor.page.text).forms[0].form_values())
    fields["csrf"] = stolen if token.startswith("of") else token
    answer = visitor("POST", f"/auth/{action}", data=fields | {"decision": "allow", "patient": "anna"})
    assert answer.status_code == 403
    assert visitor.gone == {}
    assert visitor("GET", "/auth/apps").status_code == 200  # still signed in


def test_without_a_cookie_no_form_is_taken(visitor: Person) -> None:
    visitor.ask()
    visitor.http.cookies.clear()
    assert visitor.sign_in("anna").status_code == 403


def test_a_cookie_from_before_is_worth_nothing_after_signing_in(visitor: Person) -> None:
    """Session fixation: what an attacker planted does not become a session."""
    planted = "planted-by-an-attacker"
    visitor.http.cookies.set(COOKIE, planted, domain="127.0.0.1")
    visitor.ask()
    visitor.sign_in("anna")
    assert visitor.http.cookies[COOKIE] != planted
    attacker = Person(visitor.client)
    attacker.http.cookies.set(COOKIE, planted, domain="127.0.0.1")
    attacker("GET", "/auth/apps")
    assert attacker.heard() == ["Sign in"]
    visitor.client.run(attacker.http.aclose())


def test_the_cookie_is_out_of_reach(visitor: Person) -> None:
    given = visitor.client.run(visitor.http.get("/auth/login")).headers["set-cookie"]
    assert "HttpOnly" in given
    assert "SameSite=lax" in given
    assert "Path=/" in given
    assert "Secure" not in given  # the test's address is plain http


def test_signing_out_ends_the_session(visitor: Person) -> None:
    visitor("GET", "/auth/login")
    visitor.sign_in("anna")
    kept = visitor.http.cookies[COOKIE]
    visitor.submit("logout")
    visitor.http.cookies.set(COOKIE, kept, domain="127.0.0.1")
    visitor("GET", "/auth/apps")
    assert visitor.heard() == ["Sign in"]


def test_another_person_at_the_same_browser_is_asked_anew(visitor: Person) -> None:
    visitor("GET", "/auth/login")
    visitor.sign_in("anna")
    visitor("GET", "/auth/login")
    visitor.sign_in("mum")
    assert "signed in as mum" in visitor.page.text


@pytest.mark.parametrize("next", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_there_is_no_open_redirect(visitor: Person, next: str) -> None:
    names = ("next", "flow", "redirect", "redirect_uri", "url", "continue", "return")
    for path in ("continue", "login", "apps"):
        answer = visitor.client.run(visitor.http.get(f"/auth/{path}?{urlencode(dict.fromkeys(names, next))}"))
        assert "evil" not in answer.headers.get("location", "")
    visitor("GET", "/auth/login")
    visitor.submit("login", name="anna", password="correct horse battery", next=next, redirect_uri=next)
    assert visitor.page.url.path == "/auth/apps"


def test_names_are_text(visitor: Person) -> None:
    changes = {"client_id": "other", "redirect_uri": OTHER.redirects[0], "state": "<script>alert(2)</script>"}
    texts = [visitor.ask(**changes).text]
    texts.append(visitor.sign_in("<script>alert(3)</script>").text)
    texts.append(visitor.sign_in("doc").text)
    texts.append(visitor.submit("patients", name='"><script>alert(4)</script>', born="").text)
    texts.append(visitor.submit("patients", name="<script>", born="").text)
    assert "&lt;script&gt;alert(1)" in texts[-1]
    texts.append(visitor.submit("patient", patient="x").text)
    assert "&lt;script&gt;alert(1)" in texts[-1]
    assert "&lt;b&gt;Other&lt;/b&gt;" in texts[-1]
    visitor.redeem(visitor.allow()["code"], client_id="other", redirect_uri=OTHER.redirects[0])
    texts.append(visitor("GET", "/auth/apps").text)
    assert "&lt;b&gt;Other&lt;/b&gt;" in texts[-1]
    for text in texts:
        assert "<script" not in text
        assert "<b>Other" not in text


def test_my_apps_lists_and_withdraws(person: Person) -> None:
    body = person.redeem(person.code()).json()
    person("GET", "/auth/apps")
    assert "Trial finder" in person.page.text
    assert "Anna Berg" in person.page.text
    assert "see everything in the record" in person.page.text
    tree = lxml.html.fromstring(person.page.text)
    (id,) = tree.xpath("//button[@name='revoke']/@value")
    stranger = Person(person.client)
    stranger("GET", "/auth/login")
    stranger.sign_in("mum")
    stranger.submit("logout")
    stranger.sign_in("mum")
    fields = dict(lxml.html.fromstring(stranger.page.text).forms[-1].form_values())
    stranger("POST", "/auth/apps", data={"csrf": fields["csrf"], "revoke": id})
    assert living(person, body["access_token"])  # it is not hers to withdraw
    person.client.run(stranger.http.aclose())
    person.submit("apps", revoke=id)
    assert person.heard() == ["My apps", "It is withdrawn."]
    assert not living(person, body["access_token"])
    assert person.refresh(body["refresh_token"]).json()["error"] == "invalid_grant"
    assert "No app has access" in person.page.text


def test_the_templates_ship() -> None:
    assert {path.name for path in Path(FOLDER).iterdir()} >= {"base.html", "consent.html", "style.css", "style.json"}
    assert request("v" * 43)["code_challenge_method"] == "S256"

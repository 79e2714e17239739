"""A server that audits, folded by hand, and what its AuditEvents say."""

import base64
from dataclasses import replace
from typing import Any

from fhir_server.app import clock
from fhir_server.audit.event import MINUTE
from fhir_server.audit.fold import fold
from fhir_server.auth.records import Authorization
from fhir_server.auth.tokens import authorize, issue
from fhir_server.settings import Settings
from tests.auth.door import Door

COUNT = "https://participation.example/fhir/StructureDefinition/audit-count"
Headers = dict[str, str]


class Trail(Door):
    """An auditing application whose callers are made at will, and whose clock begins with a minute."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        ahead = MINUTE - self.server.clock() % MINUTE
        self.app.endpoint.server = replace(self.server, clock=lambda: clock() + ahead)

    def bearer(self, client: str = "ehr", scopes: tuple[str, ...] = ("system/*.cruds",), **more: Any) -> Headers:
        """The header of a caller: a client, registered if need be, with the rights, user and purpose given."""
        if self.run(self.server.store.get_state(f"client/{client}")) is None:
            self.register(id=client, redirects=("https://app.example/cb",), scopes=scopes)
        given: dict[str, Any] = {"role": "" if more.get("user") else "ehr", "made": self.server.clock(), **more}
        made = Authorization(client=client, scopes=scopes, **given)
        id = self.run(authorize(self.server, made))
        return {"authorization": f"Bearer {self.run(issue(self.server, id, made, scopes, 600))}"}

    def fold(self) -> int:
        """Turn what is journalled into AuditEvents now."""
        return self.run(fold(self.server))

    def events(self, query: str = "") -> list[dict[str, Any]]:
        """The AuditEvents that a search by an auditor finds, its own left out."""
        self.fold()
        answer = self("GET", f"AuditEvent?_count=1000{'&' if query else ''}{query}", headers=self.bearer("auditor"))
        assert answer.status_code == 200, answer.text
        found = [entry["resource"] for entry in answer.json().get("entry", ())]
        return [one for one in found if client(one) != "auditor"]

    def put(self, headers: Headers, type: str, id: str, **more: Any) -> None:
        """Store a resource under an id."""
        answer = self("PUT", f"{type}/{id}", {"resourceType": type, "id": id, **more}, headers=headers)
        assert answer.status_code in (200, 201), answer.text


def client(event: dict[str, Any]) -> str:
    """The client_id in an event; "" for an unknown one."""
    return str(event["agent"][0]["who"].get("identifier", {}).get("value", ""))


def count(event: dict[str, Any]) -> int:
    """How many accesses it stands for."""
    found = {one["url"]: one["valueInteger"] for one in event["extension"]}
    return int(found[COUNT])


def interaction(event: dict[str, Any]) -> str:
    """The code of its last subtype: the interaction, or the name of the operation."""
    return str(event["subtype"][-1]["code"])


def named(event: dict[str, Any], role: str) -> list[str]:
    """The references of its entities in a role: 1 patients, 4 resources."""
    entities = event.get("entity", ())
    return [one["what"]["reference"] for one in entities if one.get("role", {}).get("code") == role]


def queries(event: dict[str, Any]) -> list[str]:
    """The searches in it."""
    return [base64.b64decode(one["query"]).decode() for one in event.get("entity", ()) if "query" in one]


def requests(event: dict[str, Any]) -> list[str]:
    """The request ids in it."""
    entities = event.get("entity", ())
    return [one["what"]["identifier"]["value"] for one in entities if one["type"]["code"] == "XrequestId"]

"""What access tokens cost, beside the same requests without them in the same run. https://hl7.org/fhir/smart-app-launch/

    python -m bench.smart --store sqlite:///data/big.db

Without a store, the example cohort is loaded into one. Two servers run over it, one with auth smart and one open.
"""

import argparse
import asyncio
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from joserfc import jwk, jwt

from bench import machine
from bench.loading import fill
from bench.process import Running, ask, fhir_server
from bench.searching import questions
from fhir_server.app import open_server
from fhir_server.auth.clients import client_of, register
from fhir_server.auth.records import Client
from fhir_server.commands.token import new_token
from fhir_server.server import Server
from fhir_server.settings import from_environ

ROUNDS, SECONDS = 4, 2.0
SERVICE = "bench-service"
FORMS = 8_000  # assertions signed beforehand: each is good once
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def prepared(store: str) -> dict[str, Any]:
    """A patient with a code, tokens of an operator and of the patient's app, and a service's key."""
    async with open_server(replace(from_environ(), store=store)) as server:
        found = await questions(server)
        if not found:
            await fill(server, 5_000)
            found = await questions(server)
        asked = dict(found[len(found) // 2])
        key = jwk.RSAKey.generate_key(2048, {"kid": "bench", "use": "sig"}, private=True)
        if await client_of(server.store, SERVICE) is not None:
            await server.store.delete_state(f"client/{SERVICE}")
        await register(server, _service(key))
        tokens = {
            "operator": await new_token(server, ["system/*.rs"], seconds=3600),
            "patient": await new_token(server, ["patient/*.rs"], patient=asked["patient"], seconds=3600),
            "clinician": await new_token(server, ["user/*.rs"], user=await _clinician(server), seconds=3600),
        }
    return {"asked": asked, "tokens": tokens, "key": key}


def _service(key: jwk.RSAKey) -> Client:
    jwks = {"keys": [key.as_dict(private=False)]}
    return Client(
        id=SERVICE, name=SERVICE, kind="asymmetric", scopes=("system/*.rs",), grants=("client_credentials",), jwks=jwks,
        role="ehr",
    )  # fmt: skip


async def _clinician(server: Server) -> str:
    from fhir_server.search.predicate import EVERYTHING
    from fhir_server.store.seam import Query

    rows = (await server.store.search(Query(("Practitioner",), EVERYTHING, count=1))).rows
    return f"Practitioner/{rows[0].id}" if rows else "Practitioner/none"


def in_turns(asks: dict[str, tuple[str, str]], clients: int = 16) -> dict[str, dict[str, Any]]:
    """The best of ROUNDS for each URL and token, asked in turns so that what else the machine does meets all alike."""
    best: dict[str, dict[str, Any]] = {}
    for _ in range(ROUNDS):
        for name, (url, token) in asks.items():
            header = f"Authorization: Bearer {token}" if token else ""
            once = ask("GET", url, header=header, clients=clients, seconds=SECONDS)
            if name not in best or once["per_second"] > best[name]["per_second"]:
                best[name] = once
    return best


def measured(smart: Running, plain: Running, given: dict[str, Any], folder: Path) -> list[str]:
    """The rows of the table."""
    asked, tokens = given["asked"], given["tokens"]
    patient = f"Patient/{asked['patient']}"
    read = in_turns({
        "open": (f"{plain.origin}/fhir/{patient}", ""),
        "token": (f"{smart.origin}/fhir/{patient}", tokens["operator"]),
        "patient": (f"{smart.origin}/fhir/{patient}", tokens["patient"]),
    })  # fmt: skip
    code = urlencode({"code": asked["code"], "_sort": "-date", "_count": "20"})
    written = f"/fhir/Observation?patient={asked['patient']}&{code}"
    search = in_turns({
        "written": (plain.origin + written, ""),
        "alike": (smart.origin + written, tokens["operator"]),
        "scope": (smart.origin + f"/fhir/Observation?{code}", tokens["patient"]),
        "both": (smart.origin + written, tokens["patient"]),
    }, clients=1)  # fmt: skip
    forms = folder / "forms"
    forms.write_text("\n".join(_forms(given["key"], f"{smart.origin}/auth/token")))
    token = ask("POST", f"{smart.origin}/auth/token", forms=forms, seconds=4)
    base = search["written"]["p50_ms"]
    return [
        _row("read by id, 16 clients, operator's token",
             f"**{read['token']['per_second'] / read['open']['per_second']:.2f}** of open mode", ">= 0.6",
             f"{read['token']['per_second']:,.0f}/s against {read['open']['per_second']:,.0f}/s"),
        _row("the same with a patient's token",
             f"**{read['patient']['per_second'] / read['open']['per_second']:.2f}** of open mode", ">= 0.6",
             f"{read['patient']['per_second']:,.0f}/s"),
        _row("search by code, a patient's token, 1 client",
             f"**{search['scope']['p50_ms'] / search['alike']['p50_ms']:.2f}** times the patient in the query, a token"
             " that sees all", "<= 1.15",
             f"p50 {search['scope']['p50_ms']:.2f} ms against {search['alike']['p50_ms']:.2f} ms, both audited"),
        _row("the same against open mode, which is not audited",
             f"**{search['scope']['p50_ms'] / base:.2f}** times the patient in the query", "",
             f"p50 {search['scope']['p50_ms']:.2f} ms against {base:.2f} ms"),
        _row("the same with the patient in the query too",
             f"**{search['both']['p50_ms'] / base:.2f}** times", "<= 1.15", f"p50 {search['both']['p50_ms']:.2f} ms"),
        _row("token endpoint, backend services, RS384", f"**{token['per_second']:,.0f}/s**", ">= 200/s",
             f"p50 {token['p50_ms']:.1f} ms, p99 {token['p99_ms']:.1f} ms"),
    ]  # fmt: skip


def _forms(key: jwk.RSAKey, audience: str) -> list[str]:
    claims = {"iss": SERVICE, "sub": SERVICE, "aud": audience, "exp": int(time.time()) + 290}
    header = {"alg": "RS384", "kid": "bench", "typ": "JWT"}
    found = []
    for _ in range(FORMS):
        assertion = jwt.encode(header, {**claims, "jti": uuid.uuid4().hex}, key, algorithms=["RS384"])
        form = {"grant_type": "client_credentials", "scope": "system/Patient.rs", "client_assertion": assertion}
        found.append(urlencode({**form, "client_assertion_type": JWT_BEARER}))
    return found


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure and print as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.smart", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", default="", help="a filled store; left out: a small one is made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fhir-server-bench-") as name:
        store = args.store or f"sqlite:///{name}/smart.db"
        given = asyncio.run(prepared(store))
        quiet = {"access_log": "false", "rate_limit": "0"}
        with fhir_server(store, auth="smart", **quiet) as smart, fhir_server(store, **quiet) as plain:
            print(f"{machine.describe()}\n\n| what | result | to reach | detail |\n|---|---|---|---|")
            print("\n".join(measured(smart, plain, given, Path(name))))


if __name__ == "__main__":
    main()

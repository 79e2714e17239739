// A SMART app in one file: standalone launch and launch from an EHR, with PKCE, and what it shows of a patient.
// https://hl7.org/fhir/smart-app-launch/app-launch.html
//
// Register it with the redirect and launch address at which it is served (docs/smart.md), as the client "smart-app".

const CLIENT = "smart-app";
const HERE = location.origin + location.pathname;
const RECORD = ["Patient", "Condition", "Observation", "ResearchSubject", "ResearchStudy"];
const SCOPES = ["openid", "fhirUser", ...RECORD.map((type) => `patient/${type}.rs`)];
const VARIANT = "http://loinc.org|69548-6";
const PRESENT = "LA9633-4";

const element = (id) => document.getElementById(id);
const say = (text) => { element("said").textContent = text; };

const asked = new URLSearchParams(location.search);
run().catch((error) => say(`That did not work: ${error.message}`));

async function run() {
  if (asked.has("error")) {
    checkState();
    throw new Error(asked.get("error_description") ?? asked.get("error"));
  }
  if (asked.has("code")) return show(await redeem());
  if (asked.has("launch")) return authorize(asked.get("iss"), asked.get("launch"));
  const server = element("base");
  server.value = asked.get("iss") ?? "http://127.0.0.1:8080/fhir";
  element("go").addEventListener("click", () => {
    authorize(server.value).catch((error) => say(`That did not work: ${error.message}`));
  });
  element("start").hidden = false;
  say("Sign in to see the tumour profile of a patient, and the trials that may fit.");
}

// Send the browser to the server's authorization endpoint; what has to be remembered until it comes back is kept.
async function authorize(iss, launch) {
  const base = iss.replace(/\/$/, "");
  const found = await json(`${base}/.well-known/smart-configuration`);
  const verifier = random();
  const state = random();
  const kept = { base, verifier, token: found.token_endpoint, issuer: found.issuer };
  sessionStorage.setItem(state, JSON.stringify(kept));
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const query = new URLSearchParams({
    response_type: "code",
    client_id: CLIENT,
    redirect_uri: HERE,
    scope: [launch ? "launch" : "launch/patient", ...SCOPES].join(" "),
    state,
    aud: base,
    code_challenge: base64url(new Uint8Array(hash)),
    code_challenge_method: "S256",
    ...(launch ? { launch } : {}),
  });
  location.assign(`${found.authorization_endpoint}?${query}`);
}

function checkState() {
  const text = sessionStorage.getItem(asked.get("state") ?? "");
  if (!text) throw new Error("This answer was not asked for in this window.");
  sessionStorage.removeItem(asked.get("state"));
  const kept = JSON.parse(text);
  if (asked.get("iss") !== kept.issuer) throw new Error("Another server answered than the one that was asked.");
  return kept;
}

async function redeem() {
  const kept = checkState();
  const form = { grant_type: "authorization_code", code: asked.get("code"), redirect_uri: HERE, client_id: CLIENT };
  history.replaceState(null, "", HERE); // the code is used up: it need not stay in the address
  const body = new URLSearchParams({ ...form, code_verifier: kept.verifier });
  const token = await json(kept.token, { method: "POST", body });
  return { base: kept.base, ...token };
}

async function show({ base, access_token, patient }) {
  const headers = { authorization: `Bearer ${access_token}`, accept: "application/fhir+json" };
  const get = (path) => json(`${base}/${path}`, { headers });
  const all = (type, query = {}) => pages(`${base}/${type}?${new URLSearchParams({ patient, ...query })}`, headers);
  const person = await get(`Patient/${encodeURIComponent(patient)}`);
  element("patient").textContent = `${nameOf(person)}${person.birthDate ? `, born ${person.birthDate}` : ""}`;
  const [conditions, variants, subjects] = await Promise.all([
    all("Condition"),
    all("Observation", { code: VARIANT }),
    all("ResearchSubject", { _include: "ResearchSubject:study" }),
  ]);
  list("conditions", conditions.map((one) => words(one.code)));
  list("variants", variants.filter(isPresent).map(variantOf));
  const studies = new Map(subjects.map((one) => [`${one.resourceType}/${one.id}`, one]));
  const candidates = subjects.filter((one) => one.resourceType === "ResearchSubject");
  list("trials", candidates.map((one) => {
    const study = studies.get(one.study.reference);
    return `${study?.title ?? one.study.display ?? one.study.reference} (${one.status})`;
  }));
  element("record").hidden = false;
  say("This is what the server lets this app see.");
}

async function pages(url, headers) {
  const found = [];
  for (let next = url; next;) {
    const bundle = await json(next, { headers });
    found.push(...(bundle.entry ?? []).map((entry) => entry.resource));
    next = bundle.link?.find((link) => link.relation === "next")?.url;
  }
  return found;
}

async function json(url, how) {
  const answer = await fetch(url, how);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error_description ?? body.issue?.[0]?.diagnostics ?? `status ${answer.status}`);
  return body;
}

function isPresent(observation) {
  return observation.valueCodeableConcept?.coding?.some((coding) => coding.code === PRESENT);
}

function variantOf(observation) {
  const parts = ["48018-6", "48005-3", "48004-6"].map((code) => {
    const part = observation.component?.find((one) => one.code.coding?.some((coding) => coding.code === code));
    return part && words(part.valueCodeableConcept);
  });
  return parts.filter(Boolean).slice(0, 2).join(" ") || words(observation.code);
}

function nameOf(person) {
  const name = person.name?.find((one) => one.use === "official") ?? person.name?.[0];
  return name?.text ?? [...(name?.given ?? []), name?.family].filter(Boolean).join(" ");
}

function words(concept) {
  return concept?.text ?? concept?.coding?.find((coding) => coding.display)?.display ?? concept?.coding?.[0]?.code ?? "?";
}

function list(id, texts) {
  const items = (texts.length ? texts : ["none"]).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  element(id).replaceChildren(...items);
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

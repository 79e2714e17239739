# The server as one process, not as root; data lives in the volume /data (SQLite) or in MongoDB.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY fhir_server fhir_server
COPY profiles profiles
COPY terminology terminology
RUN python -m venv /opt/fhir-server && /opt/fhir-server/bin/pip install --no-cache-dir ".[mongo]"

FROM python:3.12-slim
COPY --from=build /opt/fhir-server /opt/fhir-server
RUN useradd --system --uid 10001 --create-home fhir && install -d -o fhir /data
USER fhir
WORKDIR /data
VOLUME /data
ENV PATH=/opt/fhir-server/bin:$PATH PYTHONUNBUFFERED=1 \
    FHIR_SERVER_STORE=sqlite:////data/fhir.db
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
# `--auth open` lets every caller in and is served on loopback only: run with `--network host` (compose.yaml does).
CMD ["fhir-server", "serve", "--host", "127.0.0.1", "--port", "8080"]

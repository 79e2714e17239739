# The server as one process, not as root; data lives in the volume /data (SQLite) or in MongoDB.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY fhir_server fhir_server
COPY profiles profiles
COPY terminology terminology
RUN python -m venv /opt/fhir-server && /opt/fhir-server/bin/pip install --no-cache-dir ".[mongo,s3]"

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
# Tokens must not travel in the clear: put TLS before the server, and say with FHIR_SERVER_BASE_URL=https://... and
# FHIR_SERVER_HOST=0.0.0.0 where it is. Without them it listens on loopback: run with `--network host`.
CMD ["fhir-server", "serve"]

# One image for `serve`, `work`, `migrate` and all other commands of a shop: the command is the argument. The sandbox and the load tests
# are not in it, nor the clients of the channels that only tests use (docs/decisions/0030-what-the-image-carries.md).
#   docker build -t tillgate:0.1.0 .
#   docker run --rm tillgate:0.1.0 --help

FROM python:3.11-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/build.lock requirements/runtime.lock requirements/
RUN python -m venv /build \
 && /build/bin/pip install --require-hashes -r requirements/build.lock \
 && /build/bin/pip wheel --require-hashes --no-build-isolation -r requirements/runtime.lock -w /wheels
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY adapters adapters
COPY security security
COPY reconciliation reconciliation
# Every hash was checked above; from here on nothing comes from a network. The final environment has no pip and no build tools.
RUN /build/bin/pip wheel --no-deps --no-build-isolation -w /wheels . \
 && python -m venv --without-pip /opt/tillgate \
 && /build/bin/pip --python /opt/tillgate/bin/python install --no-index --no-deps /wheels/*.whl

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tillgate
COPY --from=build /opt/tillgate /opt/tillgate
# Nothing is written outside /tmp (samples of metrics), so the root file system may be read-only with a tmpfs there.
ENV PATH=/opt/tillgate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TILLGATE_LISTEN=0.0.0.0:8080
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
# For `serve`. Switch it off for `work`, which has no such address (deploy/compose.yaml does).
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["tillgate"]
CMD ["serve"]

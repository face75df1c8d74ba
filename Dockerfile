# syntax=docker/dockerfile:1

# Python 3.13 gets security fixes until October 2029.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements-build.lock requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-build.lock \
 && pip wheel --require-hashes --only-binary=:all: --wheel-dir /wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE plans.toml ./
COPY gateway gateway
COPY resolvers resolvers
COPY models models
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.13-slim
LABEL org.opencontainers.image.title="billing-gateway" \
      org.opencontainers.image.description="A GraphQL billing gateway in front of Stripe" \
      org.opencontainers.image.licenses="MIT"
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m venv /opt/gateway \
 && /opt/gateway/bin/pip install --no-cache-dir --no-index --no-deps --no-compile /wheels/*.whl \
 && /opt/gateway/bin/python -m compileall -q /opt/gateway/lib \
 && useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gateway

ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_ENV=production \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_PORT=8000
WORKDIR /srv
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['GATEWAY_PORT'] + '/readyz', timeout=4)"]
ENTRYPOINT ["gateway"]
CMD ["serve"]

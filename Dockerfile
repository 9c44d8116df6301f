# An image of the gateway: docker build -t chat-gateway .
# How to run it, also with PostgreSQL: gateway/DEPLOYMENT.md

FROM python:3.13-slim AS build
RUN python -m venv /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt /src/
RUN pip install --require-hashes -r /src/requirements.txt
COPY pyproject.toml README.md LICENSE /src/
COPY gateway /src/gateway
COPY adapters /src/adapters
COPY storage /src/storage
RUN pip install --no-deps /src

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data gateway && install -d -o gateway -m 0700 /data
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PORT=8080 DATABASE_URL=sqlite:////data/gateway.db
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
# SIGTERM, the default: the gateway accepts nothing new and finishes what it can within GRACE_SECONDS.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]
ENTRYPOINT ["chat-gateway"]
CMD ["serve"]

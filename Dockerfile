# One agent. Build: docker build -t peerscope .   Run with a read-only root:
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     -v peerscope:/var/lib/peerscope -e PEERSCOPE_NETWORK__SECRET=... -p 4600:4600/udp peerscope
# The dashboard listens inside the container; to reach it set PEERSCOPE_WEB__LISTEN=0.0.0.0:8080 and PEERSCOPE_WEB__TOKEN.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/peerscope
COPY requirements/build.lock requirements/run.lock requirements/
RUN /opt/peerscope/bin/pip install --require-hashes -r requirements/run.lock \
    && pip install --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
# The wheel, not the tree: the image holds what everybody installs.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/peerscope/bin/pip install --no-deps --no-index dist/*.whl \
    && /opt/peerscope/bin/python -m compileall -q /opt/peerscope/lib \
    && rm -rf /opt/peerscope/bin/pip* /opt/peerscope/lib/python3.11/site-packages/pip*

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/peerscope --shell /usr/sbin/nologin peerscope \
    && install -d -m 0700 -o peerscope -g peerscope /var/lib/peerscope
COPY --from=build /opt/peerscope /opt/peerscope
ENV PATH=/opt/peerscope/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    PEERSCOPE_PEER__LISTEN=0.0.0.0:4600 PEERSCOPE_TRANSPORT__PING_PORT=4601
USER 10001
VOLUME /var/lib/peerscope
EXPOSE 4600/udp 4601/udp 8080/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["peerscope"]
CMD ["run", "--state", "/var/lib/peerscope", "--log-format", "json"]

# The service and the sandbox in one image. It has no root, no compiler and no package cache, and every package is locked.
#
#   docker build --build-arg COMMIT="$(git rev-parse HEAD)" -t streamer .
#   docker run -v "$PWD/streamer.yaml":/etc/streamer/streamer.yaml:ro -v streamer-state:/var/lib/streamer streamer
#
# Health, metrics and status are served on port 8080 of every interface of the container. There is no password unless the
# configuration sets one: publish the port to this machine only (-p 127.0.0.1:8080:8080), or let a network policy decide.
# `server: {host: 127.0.0.1}` in the configuration closes it, except for the health check below.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Without pip: the image that runs installs nothing.
RUN python -m venv --without-pip /opt/streamer
# Dependencies before the source, so that a change of the source does not download them again.
COPY requirements.lock requirements-build.lock ./
RUN python -m pip --python /opt/streamer/bin/python install --require-hashes --only-binary :all: -r requirements.lock \
 && python -m pip install --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY streamer streamer
RUN python -m pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
 && python -m pip --python /opt/streamer/bin/python install --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim
LABEL org.opencontainers.image.title="streamer" \
      org.opencontainers.image.description="Delivers survey events from Kafka to Segment" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/streamer /opt/streamer
# A number, because Kubernetes' runAsNonRoot cannot check a name.
RUN install --directory --owner 10001 --group 10001 /var/lib/streamer
ENV PATH=/opt/streamer/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# numpy would start a thread for each core of the machine; streamer has no use for them.
ENV OPENBLAS_NUM_THREADS=1
# A default only: unlike STREAMER_SERVER__HOST it does not override the configuration file.
ENV STREAMER_DEFAULT_SERVER_HOST=::
# What `streamer version`, /status and streamer_build_info say.
ARG COMMIT=unknown
ENV STREAMER_COMMIT=$COMMIT
USER 10001:10001
# The default `state_dir: ./state` is in this directory.
WORKDIR /var/lib/streamer
VOLUME /var/lib/streamer
EXPOSE 8080
STOPSIGNAL SIGTERM
# For the default port. Kubernetes ignores this and has probes of its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
ENTRYPOINT ["streamer"]
CMD ["run", "--config", "/etc/streamer/streamer.yaml"]

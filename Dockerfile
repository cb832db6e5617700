# One image for operator, gateway and checkout: `mooring` is its entry point, the command is the first argument.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t mooring .
#
# BASE may be any Debian with Python 3.11 or newer; git and certificates are added where they lack. The tag below names
# one release of Python. For a release of Mooring pin it by digest as well: --build-arg BASE=docker.io/...@sha256:...
# BUILDER has to have its Python at the same path as BASE. A pip.conf, if packages come from elsewhere, is a secret:
#   --secret id=pip.conf,src=pip.conf
ARG BASE=docker.io/library/python:3.13.5-slim-bookworm
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
# Debian's python3 comes without venv.
RUN python3 -m venv /opt/mooring || { \
      apt-get update && apt-get install -y --no-install-recommends python3-venv && python3 -m venv --clear /opt/mooring; }
WORKDIR /src
COPY requirements/runtime.txt requirements/dev.txt requirements/
# Wheels alone: nobody's setup.py runs here.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /opt/mooring/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --only-binary=:all: \
      --require-hashes -r requirements/runtime.txt
# What builds our own wheel, by the same pins as the tests use.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /opt/build \
    && awk '/^[a-z]/ {keep = /^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==/} keep' \
      requirements/dev.txt > requirements/build.txt \
    && /opt/build/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --only-binary=:all: \
      --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /opt/build/bin/python -m hatchling build -t wheel -d /wheel \
    && /opt/mooring/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-index /wheel/*.whl \
    && /opt/mooring/bin/python -m pip uninstall -y --disable-pip-version-check pip

FROM ${BASE}
# git is for the checkout alone. The rest of the image is what Python needs.
RUN if ! command -v git || ! test -e /etc/ssl/certs/ca-certificates.crt; then \
      apt-get update && apt-get install -y --no-install-recommends git ca-certificates && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=build /opt/mooring /opt/mooring
COPY image/sbom.py /opt/mooring/sbom.py
# Read it with: docker run --rm --entrypoint cat IMAGE /opt/mooring/sbom.cdx.json
RUN /opt/mooring/bin/python /opt/mooring/sbom.py > /opt/mooring/sbom.cdx.json && rm /opt/mooring/sbom.py

ARG VERSION=0.1.0.dev0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mooring" \
      org.opencontainers.image.description="A Kubernetes operator that ties GitHub repositories to running workloads" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Nothing is written: the root file system may be read-only, and compiled files came with the build.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /
# A number, because a node cannot tell that a named user is not root.
USER 65532:65532
ENTRYPOINT ["/opt/mooring/bin/mooring"]

# One image for operator, gateway and checkout: `mooring` is its entry point, the command is the first argument.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t mooring .
#
# Unpacked it has 170 MB beside its base; of these a new version of Mooring with the same libraries changes 5.
#
# BASE may be any Debian with Python 3.11 or newer; git and certificates are added where they lack. The tag below names
# one release of Python. For a release of Mooring pin it by digest as well: --build-arg BASE=docker.io/...@sha256:...
# BUILDER has to have its Python at the same path as BASE. A pip.conf, if packages come from elsewhere, is a secret:
#   --secret id=pip.conf,src=pip.conf
# Without a network: mount the wheels, and tell pip of them by PIP_NO_INDEX, PIP_FIND_LINKS and, where BUILDER has no pip,
# PYTHONPATH (a wheel of pip).
ARG BASE=docker.io/library/python:3.13.5-slim-bookworm
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ARG PYTHONPATH
# pip is a tool of this stage alone. Debian's python3 comes without.
RUN python3 -m pip --version || { \
      apt-get update && apt-get install -y --no-install-recommends python3-pip; }
RUN python3 -m venv --without-pip /opt/mooring && python3 -m venv --without-pip /opt/build
WORKDIR /src
COPY requirements/runtime.txt requirements/dev.txt requirements/
# Wheels alone: nobody's setup.py runs here. Nothing can be compiled later, so it is now, but for the models of all that
# GitHub and Kubernetes know, of which we load none: they would be a fifth of the image.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m pip --python /opt/mooring/bin/python install --no-cache-dir --disable-pip-version-check --no-deps \
      --only-binary=:all: --no-compile --require-hashes -r requirements/runtime.txt \
    && /opt/mooring/bin/python -m compileall -q /opt/mooring/lib \
      -x '/(githubkit_schemas|kubernetes/(aio/)?client/(api|models))/'
# What builds our own wheel, by the same pins as the tests use.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    awk '/^[a-z]/ {keep = /^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==/} keep' \
      requirements/dev.txt > requirements/build.txt \
    && python3 -m pip --python /opt/build/bin/python install --no-cache-dir --disable-pip-version-check --no-deps \
      --only-binary=:all: --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /opt/build/bin/python -m hatchling build -t wheel -d /wheel \
    && python3 -m pip --python /opt/mooring/bin/python install --no-cache-dir --disable-pip-version-check --no-deps \
      --no-index --no-warn-script-location --root /own /wheel/*.whl

FROM ${BASE}
# git is for the checkout alone. The rest of the image is what Python needs.
RUN if ! command -v git || ! test -e /etc/ssl/certs/ca-certificates.crt; then \
      apt-get update && apt-get install -y --no-install-recommends git ca-certificates && rm -rf /var/lib/apt/lists/*; \
    fi
# Apart, because the first is large and changes seldom.
COPY --from=build /opt/mooring /opt/mooring
COPY --from=build /own /
COPY image/sbom.py /opt/mooring/sbom.py
# Read it with: docker run --rm --entrypoint cat IMAGE /opt/mooring/sbom.cdx.json
RUN /opt/mooring/bin/python /opt/mooring/sbom.py > /opt/mooring/sbom.cdx.json && rm /opt/mooring/sbom.py

ARG VERSION=0.1.0
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

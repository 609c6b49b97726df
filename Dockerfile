# The Range42 backend API as one image: the server, Ansible, the playbooks and their bundles.
#
#   docker build -t ghcr.io/range42/range42-backend-api:latest .
#
# Both base images are build arguments, to use a mirror or to pin a digest:
#   --build-arg DEBIAN_IMAGE=debian:bookworm-slim@sha256:…
ARG DEBIAN_IMAGE=docker.io/library/debian:bookworm-slim
ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm

FROM ${RUST_IMAGE} AS builder

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv

WORKDIR /build

# The venv has no pip, because nothing is installed into it later. Its Python has the same path in
# the final stage. The compiled files are not validated by timestamp, because image layers can
# change timestamps; without compiled files, every run would compile Ansible again. ansible_test
# contains Ansible's own test tools, which no run uses.
COPY requirements.txt requirements.yml ./
RUN python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/venv \
    && /opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --no-cache-dir \
        --disable-pip-version-check --no-deps --require-hashes --no-compile --only-binary :all: \
        --requirement requirements.txt \
    && rm -rf /opt/venv/lib/python3.11/site-packages/ansible_test /opt/venv/bin/ansible-test \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

# The playbooks in this repository need no collections, so the build continues without Galaxy.
RUN mkdir -p /usr/share/ansible/collections \
    && if ! timeout 300 /opt/venv/bin/ansible-galaxy collection install --timeout 20 \
        --requirements-file requirements.yml --collections-path /usr/share/ansible/collections; \
    then \
        rm -rf /usr/share/ansible/collections/*; \
        printf '\n%s\n%s\n\n' \
            'Dockerfile: Ansible Galaxy cannot be reached: THE IMAGE HAS NO COLLECTIONS.' \
            'Playbooks that use ansible.posix, ansible.windows or community.general will fail.' >&2; \
    fi \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        /usr/share/ansible/collections

# Builds the dependencies in a separate layer, with an empty crate, because they rarely change. The
# benchmarks are removed from the manifest, because their sources are not copied.
COPY Cargo.toml Cargo.lock ./
RUN sed -i '/^\[\[bench\]\]/,/^$/d' Cargo.toml \
    && mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked \
    && cargo clean --release --package range42-backend-api

COPY build.rs openapi.json ./
COPY assets assets
COPY src src
RUN cargo build --release --locked --bin range42-backend-api


FROM ${DEBIAN_IMAGE} AS runtime

# python3 runs Ansible, Ansible connects to machines with openssh-client, and ca-certificates
# verifies Proxmox hosts whose certificate is signed by a public authority.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates openssh-client python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/*

# Mounted SSH keys keep their owner, and ssh rejects keys that belong to another user. UID and GID
# must therefore be those of the owner of the keys.
ARG UID=1000
ARG GID=1000
# The user's home is the data volume, where Ansible and ssh can write; ~/.ssh is mounted there.
# GID may be an existing group of Debian (such as 100, users), which is then used.
RUN if [ "$UID" -eq 0 ]; then \
        echo 'Dockerfile: UID=0 is root: the SSH keys must belong to an ordinary user, whose uid UID is.' >&2; \
        exit 1; \
    fi \
    && { getent group "$GID" > /dev/null || groupadd --gid "$GID" range42; } \
    && useradd --uid "$UID" --gid "$GID" --home-dir /var/lib/range42 --no-create-home \
        --shell /usr/sbin/nologin --no-log-init range42 \
    && install --directory --owner "$UID" --group "$GID" --mode 0700 \
        /var/lib/range42 /var/lib/range42/.ssh

COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /usr/share/ansible/collections /usr/share/ansible/collections
# The inventory is mounted. The image does not contain the builder's inventory and its token.
RUN mkdir --parents /app/inventory
COPY LICENSE requirements.txt requirements.yml /app/
COPY engine /app/engine
COPY playbooks /app/playbooks
COPY --from=builder /build/target/release/range42-backend-api /usr/local/bin/range42-backend-api

ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    HOME=/var/lib/range42 \
    PYTHONDONTWRITEBYTECODE=1 \
    PROJECT_ROOT_DIR=/app \
    API_BACKEND_PUBLIC_PLAYBOOKS_DIR=/app/playbooks \
    RANGE42_RUNNER=/opt/venv/bin/ansible-runner \
    RANGE42_DATA_DIR=/var/lib/range42/data \
    RANGE42_RUNS_DIR=/var/lib/range42/data/runs \
    RANGE42_LOG_FORMAT=json

WORKDIR /app
USER range42
EXPOSE 8000
VOLUME /var/lib/range42

HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["range42-backend-api", "healthcheck"]

ENTRYPOINT ["range42-backend-api"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="range42-backend-api" \
      org.opencontainers.image.description="The backend API of Range42: cyber ranges on Proxmox VE, one Ansible run per request." \
      org.opencontainers.image.source="https://github.com/range42/range42-backend-api" \
      org.opencontainers.image.licenses="GPL-3.0-only" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

#!/usr/bin/env bash
# Starts the Range42 backend API; see ./start.sh --help.
set -euo pipefail

help() {
    cat <<'END'
Usage: ./start.sh [--demo | --build]

Creates what is missing, then replaces itself with the server. Prints the time of each step:
  1. sources .env, if it exists;
  2. creates .venv from requirements.txt, and installs the collections of requirements.yml
     from Ansible Galaxy (the first time only; continues if Galaxy cannot be reached);
  3. builds target/release/range42-backend-api, if a source file is newer.

Without --demo it uses inventory/ and the settings of the environment (see the table in
README.md): PROJECT_ROOT_DIR, VAULT_PASSWORD_FILE, VAULT_PASSWORD, API_BACKEND_*, HOST, PORT, …

  --demo   also starts a fake Proxmox on a loopback address, with a dozen guests on the node
           px-testing, an API token, a matching inventory, the bundles of playbooks/ and a
           random vault password. The server listens on 127.0.0.1 unless HOST is set.
           No state is kept: Ctrl-C stops everything and removes its files.
  --build  creates and builds what is missing, and starts nothing.
  --help   prints this text.
END
}

demo=false
build_only=false
for argument in "$@"; do
    case $argument in
        --demo) demo=true ;;
        --build) build_only=true ;;
        --help | -h) help; exit 0 ;;
        *) echo "start.sh: unknown argument: $argument" >&2; help >&2; exit 64 ;;
    esac
done

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -f "$here/.env" ]; then
    set -a
    # shellcheck disable=SC1091
    . "$here/.env"
    set +a
    echo "start.sh: read .env" >&2
fi
export PROJECT_ROOT_DIR=${PROJECT_ROOT_DIR:-$here}
cd "$here"

if $demo; then scripts/set-up --demo; else scripts/set-up; fi

binary=target/release/range42-backend-api
stale() {
    [ ! -x "$binary" ] || [ -n "$(find src assets build.rs openapi.json Cargo.toml Cargo.lock -newer "$binary" -print -quit)" ]
}
if stale; then
    command -v cargo > /dev/null || {
        echo "start.sh: cargo is needed to build the server (https://rustup.rs)" >&2
        exit 1
    }
    echo "start.sh: building the server; the first build takes a few minutes" >&2
    began=$SECONDS
    cargo build --release --locked --quiet
    # Cargo does not update the modification time of a binary that is up to date, so without this it
    # would always be older than the changed source file.
    touch "$binary"
    echo "start.sh: built $binary ($((SECONDS - began)) s)" >&2
fi

if $build_only; then exit; fi

start_demo() {
    local folder ready
    folder=$(mktemp -d "${TMPDIR:-/tmp}/range42-demo.XXXXXX")
    mkfifo "$folder/alive" "$folder/ready"
    # The fake Proxmox runs as long as a process holds the other end of its pipe: the server, which
    # replaces this script, or one of its runs. This works even if the server is killed.
    (
        trap '' INT HUP
        .venv-demo/bin/python demo/proxmox.py --dir "$folder/proxmox" --eof-fd 3 \
            3< "$folder/alive" > "$folder/ready" 2> "$folder/log" 9>&- || cat "$folder/log" >&2
        rm -rf "$folder"
    ) &
    exec 9> "$folder/alive"
    read -r ready < "$folder/ready" || {
        echo "start.sh: the fake Proxmox did not start" >&2
        exit 1
    }
    export API_BACKEND_INVENTORY_DIR=$folder/proxmox/inventory
    export API_BACKEND_PUBLIC_PLAYBOOKS_DIR=$here/playbooks
    export RANGE42_DATA_DIR=$folder/data RANGE42_RUNS_DIR=$folder/data/runs
    export HOST=${HOST:-127.0.0.1} PORT=${PORT:-8000}
    # Secrets are redacted in all text, so a password that is a common word would redact that word.
    if [ -z "${VAULT_PASSWORD_FILE:-}" ]; then
        export VAULT_PASSWORD=${VAULT_PASSWORD:-$(head -c 24 /dev/urandom | base64)}
    fi
    cat >&2 <<END

The demo's Proxmox is at $(sed 's/.*"api_host": "\([^"]*\)".*/https:\/\/\1/' <<< "$ready"), its inventory in $API_BACKEND_INVENTORY_DIR.

  API      http://localhost:$PORT/v0/admin/
  Swagger  http://localhost:$PORT/docs/swagger
  ReDoc    http://localhost:$PORT/docs/redoc

Three commands to try in another terminal, after the line "ready" has appeared:

  curl -s -X POST localhost:$PORT/v0/admin/proxmox/vms/list -H 'content-type: application/json' -d '{"proxmox_node":"px-testing"}'
  curl -s -X POST localhost:$PORT/v0/admin/proxmox/vms/vm_id/start -H 'content-type: application/json' -d '{"proxmox_node":"px-testing","vm_id":1003}'
  curl -s -X POST localhost:$PORT/v0/admin/debug/ping -H 'content-type: application/json' -d '{"proxmox_node":"px-testing","hosts":"all"}'

Ctrl-C stops everything.

END
}

# Only warns. The server starts anyway, because its documentation and /readyz help with the setup.
check_inventory() {
    local hosts=${API_BACKEND_INVENTORY_DIR:-inventory}
    case $hosts in /*) ;; *) hosts=$PROJECT_ROOT_DIR/$hosts ;; esac
    hosts=${hosts%/}/hosts.yml
    if [ ! -e "$hosts" ]; then
        echo "start.sh: $hosts does not exist: copy inventory/hosts.yml there and fill it in" >&2
    elif grep -q '^[^#]*"<[^>]*>"' "$hosts"; then
        echo "start.sh: $hosts: replace the placeholders in <angle brackets>; Proxmox cannot be reached until then" >&2
    fi
}

if $demo; then start_demo; else check_inventory; fi
exec "$binary"

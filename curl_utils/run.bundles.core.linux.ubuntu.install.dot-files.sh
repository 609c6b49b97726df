#!/bin/sh
# Install dot-files: POST /v0/admin/run/bundles/core/linux/ubuntu/install/dot-files
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${HOSTS:=demo_linux}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/run/bundles/core/linux/ubuntu/install/dot-files" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "hosts": "$HOSTS",
  "user": "operator",
  "install_vim_dot_files": true,
  "install_zsh_dot_files": true,
  "apply_for_root": false
}
END

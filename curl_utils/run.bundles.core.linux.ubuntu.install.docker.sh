#!/bin/sh
# Install Docker: POST /v0/admin/run/bundles/core/linux/ubuntu/install/docker
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${HOSTS:=demo_linux}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/run/bundles/core/linux/ubuntu/install/docker" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "hosts": "$HOSTS",
  "install_package_docker": true,
  "install_ntpclient_and_update_time": false,
  "packages_cleaning": false
}
END

#!/bin/sh
# Run a bundle by its name: POST /v0/admin/run/bundles/{bundles_name}/run
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${BUNDLES_NAME:=ping}"
: "${PROXMOX_NODE:=px-testing}"
: "${HOSTS:=all}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/run/bundles/${BUNDLES_NAME}/run" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "hosts": "$HOSTS"
}
END

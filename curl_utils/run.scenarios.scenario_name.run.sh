#!/bin/sh
# Run a scenario by its name: POST /v0/admin/run/scenarios/{scenario_name}/run
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${SCENARIO_NAME:=demo_lab}"
: "${PROXMOX_NODE:=px-testing}"
: "${HOSTS:=proxmox}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/run/scenarios/${SCENARIO_NAME}/run" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "hosts": "$HOSTS"
}
END

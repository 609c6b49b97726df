#!/bin/sh
# Start several guests: POST /v0/admin/proxmox/vms/vm_ids/start
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID_1:=1012}"
: "${VM_ID_2:=1014}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/vms/vm_ids/start" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vm_ids": [
    "$VM_ID_1",
    "$VM_ID_2"
  ]
}
END

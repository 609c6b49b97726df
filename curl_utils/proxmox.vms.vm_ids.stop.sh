#!/bin/sh
# Shut several guests down: POST /v0/admin/proxmox/vms/vm_ids/stop
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID_1:=1016}"
: "${VM_ID_2:=1017}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/vms/vm_ids/stop" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vm_ids": [
    "$VM_ID_1",
    "$VM_ID_2"
  ]
}
END

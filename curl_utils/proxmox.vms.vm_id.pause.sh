#!/bin/sh
# Pause a guest: POST /v0/admin/proxmox/vms/vm_id/pause
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID:=1010}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/vms/vm_id/pause" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vm_id": "$VM_ID"
}
END

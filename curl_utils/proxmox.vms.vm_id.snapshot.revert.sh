#!/bin/sh
# Revert a guest to a snapshot: POST /v0/admin/proxmox/vms/vm_id/snapshot/revert
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID:=1020}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/vms/vm_id/snapshot/revert" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vm_id": "$VM_ID",
  "vm_snapshot_name": "before-exercise"
}
END

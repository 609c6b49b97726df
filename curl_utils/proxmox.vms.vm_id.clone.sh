#!/bin/sh
# Clone a guest or template: POST /v0/admin/proxmox/vms/vm_id/clone
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID:=9000}"
: "${VM_NEW_ID:=4300}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/vms/vm_id/clone" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vm_id": "$VM_ID",
  "vm_new_id": "$VM_NEW_ID",
  "vm_name": "cloned-box",
  "vm_description": "a copy of the template"
}
END

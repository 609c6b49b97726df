#!/bin/sh
# Make a guest: POST /v0/admin/proxmox/vms/vm_id/create
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID:=4200}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/vms/vm_id/create" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vm_id": "$VM_ID",
  "vm_name": "fresh-box",
  "vm_cpu": "host",
  "vm_cores": 2,
  "vm_sockets": 1,
  "vm_memory": 2048,
  "vm_disk_size": 8
}
END

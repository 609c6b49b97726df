#!/bin/sh
# Add a network interface to a guest: POST /v0/admin/proxmox/network/vm/add
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID:=1000}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/network/vm/add" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vm_id": "$VM_ID",
  "iface_model": "virtio",
  "iface_bridge": "vmbr0",
  "vm_vmnet_id": 1,
  "iface_tag": 42,
  "iface_firewall": true
}
END

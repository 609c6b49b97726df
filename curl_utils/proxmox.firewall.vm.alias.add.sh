#!/bin/sh
# Add an alias to a guest's firewall: POST /v0/admin/proxmox/firewall/vm/alias/add
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID:=1000}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/firewall/vm/alias/add" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vm_id": "$VM_ID",
  "vm_fw_alias_name": "lab-net",
  "vm_fw_alias_cidr": "10.42.0.0/24",
  "vm_fw_alias_comment": "the lab"
}
END

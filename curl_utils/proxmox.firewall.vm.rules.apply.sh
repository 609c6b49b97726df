#!/bin/sh
# Add a rule to a guest's firewall: POST /v0/admin/proxmox/firewall/vm/rules/apply
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID:=1000}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/firewall/vm/rules/apply" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vm_id": "$VM_ID",
  "vm_fw_action": "ACCEPT",
  "vm_fw_dport": "22",
  "vm_fw_enable": 1,
  "vm_fw_proto": "tcp",
  "vm_fw_type": "in",
  "vm_fw_source": "10.42.0.0/24",
  "vm_fw_comment": "ssh from the lab"
}
END

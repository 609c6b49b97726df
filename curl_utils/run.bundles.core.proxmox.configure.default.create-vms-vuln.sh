#!/bin/sh
# Make the vulnerable guests: POST /v0/admin/run/bundles/core/proxmox/configure/default/create-vms-vuln
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID_1:=5100}"
: "${VM_ID_2:=5101}"
: "${VM_ID_3:=5102}"
: "${VM_ID_4:=5103}"
: "${VM_ID_5:=5104}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/run/bundles/core/proxmox/configure/default/create-vms-vuln" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vms": {
    "vuln-box-00": {
      "vm_id": $VM_ID_1,
      "vm_ip": "10.42.51.10",
      "vm_description": "of the demo range"
    },
    "vuln-box-01": {
      "vm_id": $VM_ID_2,
      "vm_ip": "10.42.51.11",
      "vm_description": "of the demo range"
    },
    "vuln-box-02": {
      "vm_id": $VM_ID_3,
      "vm_ip": "10.42.51.12",
      "vm_description": "of the demo range"
    },
    "vuln-box-03": {
      "vm_id": $VM_ID_4,
      "vm_ip": "10.42.51.13",
      "vm_description": "of the demo range"
    },
    "vuln-box-04": {
      "vm_id": $VM_ID_5,
      "vm_ip": "10.42.51.14",
      "vm_description": "of the demo range"
    }
  }
}
END

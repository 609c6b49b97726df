#!/bin/sh
# Make the admin guests: POST /v0/admin/run/bundles/core/proxmox/configure/default/create-vms-admin
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID_1:=5000}"
: "${VM_ID_2:=5001}"
: "${VM_ID_3:=5002}"
: "${VM_ID_4:=5003}"
: "${VM_ID_5:=5004}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/run/bundles/core/proxmox/configure/default/create-vms-admin" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vms": {
    "admin-wazuh": {
      "vm_id": $VM_ID_1,
      "vm_ip": "10.42.50.10",
      "vm_description": "of the demo range"
    },
    "admin-web-api-kong": {
      "vm_id": $VM_ID_2,
      "vm_ip": "10.42.50.11",
      "vm_description": "of the demo range"
    },
    "admin-web-builder-api": {
      "vm_id": $VM_ID_3,
      "vm_ip": "10.42.50.12",
      "vm_description": "of the demo range"
    },
    "admin-web-deployer-ui": {
      "vm_id": $VM_ID_4,
      "vm_ip": "10.42.50.13",
      "vm_description": "of the demo range"
    },
    "admin-web-emp": {
      "vm_id": $VM_ID_5,
      "vm_ip": "10.42.50.14",
      "vm_description": "of the demo range"
    }
  }
}
END

#!/bin/sh
# Make the student guests: POST /v0/admin/run/bundles/core/proxmox/configure/default/create-vms-student
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID_1:=5200}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/run/bundles/core/proxmox/configure/default/create-vms-student" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vms": {
    "student-box-01": {
      "vm_id": $VM_ID_1,
      "vm_ip": "10.42.52.10",
      "vm_description": "of the demo range"
    }
  }
}
END

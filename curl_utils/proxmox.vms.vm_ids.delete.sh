#!/bin/sh
# Delete several guests: DELETE /v0/admin/proxmox/vms/vm_ids/delete
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${VM_ID_1:=1024}"
: "${VM_NAME_1:=printer}"
: "${VM_ID_2:=1025}"
: "${VM_NAME_2:=kiosk}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request DELETE "$BASE_URL/v0/admin/proxmox/vms/vm_ids/delete" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "vms": [
    {
      "id": "$VM_ID_1",
      "name": "$VM_NAME_1"
    },
    {
      "id": "$VM_ID_2",
      "name": "$VM_NAME_2"
    }
  ]
}
END

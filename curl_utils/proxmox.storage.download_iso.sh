#!/bin/sh
# Have the node download an ISO image: POST /v0/admin/proxmox/storage/download_iso
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/storage/download_iso" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "proxmox_storage": "local",
  "iso_file_content_type": "iso",
  "iso_file_name": "lab-tools.iso",
  "iso_url": "https://mirror.example.org/lab-tools.iso"
}
END

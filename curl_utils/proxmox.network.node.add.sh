#!/bin/sh
# Add a network interface to a node: POST /v0/admin/proxmox/network/node/add
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/network/node/add" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "iface_name": "vmbr42",
  "iface_type": "bridge",
  "iface_autostart": 1,
  "ip_address": "10.42.0.1",
  "ip_netmask": "255.255.255.0"
}
END

#!/bin/sh
# Switch the datacenter's firewall on: POST /v0/admin/proxmox/firewall/datacenter/enable
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/proxmox/firewall/datacenter/enable" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_api_host": ""
}
END

#!/bin/sh
# Install basic packages: POST /v0/admin/run/bundles/core/linux/ubuntu/install/basic-packages
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"
: "${PROXMOX_NODE:=px-testing}"
: "${HOSTS:=demo_linux}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/run/bundles/core/linux/ubuntu/install/basic-packages" \
    --header 'Content-Type: application/json' --data @- <<END
{
  "proxmox_node": "$PROXMOX_NODE",
  "hosts": "$HOSTS",
  "install_package_basics": true,
  "install_package_firewalls": false,
  "install_package_docker": false,
  "install_package_docker_compose": false,
  "install_package_utils_json": true,
  "install_package_utils_network": true,
  "install_ntpclient_and_update_time": false,
  "packages_cleaning": true
}
END

#!/bin/sh
# Look up the name of VM 1000, as a self-test: POST /v0/admin/debug/func_test
#
# Made by `range42-backend-api curl-scripts`; README.md beside it says how it is used.
set -eu
: "${BASE_URL:=http://localhost:8000}"

# shellcheck disable=SC2086
curl ${CURL_OPTIONS:-} --silent --show-error --fail-with-body --write-out '\n' \
    --request POST "$BASE_URL/v0/admin/debug/func_test"

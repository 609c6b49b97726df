"""A schemathesis hook for the lenient parsing of scalars.

The API accepts `"3"`, `3.0` and `true` as a number, and 0, 1, `"yes"` and others as a boolean,
because clients rely on it. The document only says integer and boolean, so schemathesis expects the
API to reject these values. The check below expects a rejection only if the body is invalid even
with lenient parsing.
"""

import re

import jsonschema_rs
import schemathesis
from schemathesis.checks import CheckContext
from schemathesis.specs.openapi.checks import AcceptedNegativeData, negative_data_rejection

TRUE, FALSE = {"1", "true", "t", "yes", "y", "on"}, {"0", "false", "f", "no", "n", "off"}


@schemathesis.check
def refuses_what_cannot_be_read(ctx: CheckContext, response, case):
    try:
        return negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData:
        document = case.operation.schema.raw_schema
        operation = document["paths"][case.operation.path][case.operation.method]
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            raise
        schema = content["application/json"]["schema"]
        body = read(case.body, schema, document)
        if not jsonschema_rs.is_valid({**schema, "components": document["components"]}, body):
            raise
    return None


def read(value, schema, document):
    """`value` with its scalars converted to the types in `schema`, as the API converts them."""
    if "$ref" in schema:
        target = document
        for step in schema["$ref"].split("/")[1:]:
            target = target[step]
        return read(value, target, document)
    for part in [*schema.get("allOf", ()), *schema.get("oneOf", ())]:
        value = read(value, part, document)
    if isinstance(value, dict):
        members, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        return {name: read(member, members.get(name, others), document) for name, member in value.items()}
    if isinstance(value, list):
        return [read(item, schema.get("items", {}), document) for item in value]
    types = schema.get("type", ())
    if "boolean" in types:
        return boolean(value)
    if "integer" in types and "string" not in types:
        return integer(value)
    if "number" in types and isinstance(value, bool):
        return float(value)
    return value


def boolean(value):
    if value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    return value


def integer(value):
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]+(_[0-9]+)*(\.0+)?\s*", value):
        return int(value.split(".")[0])
    return value

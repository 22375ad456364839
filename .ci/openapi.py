"""Every example of the OpenAPI document is of the schema that it stands beside, and has no member that the schema
does not name."""

import json
import sys

from jsonschema import Draft202012Validator

document = json.load(open(sys.argv[1]))


def closed(schema):
    """The same schema, in which objects have no members but those that are named."""
    if isinstance(schema, list):
        return [closed(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: closed(it) for name, it in schema.items() if name not in ("examples", "properties")}
    if "properties" in schema:
        strict["properties"] = {name: closed(it) for name, it in schema["properties"].items()}
        strict.setdefault("additionalProperties", False)
    return strict


def resolved(value):
    while "$ref" in value:
        target = document
        for segment in value["$ref"].removeprefix("#/").split("/"):
            target = target[segment]
        value = target
    return value


components = closed({"components": {"schemas": document["components"]["schemas"]}})
checked = 0


def check(place, content):
    global checked
    for media_type, described in content.items():
        validator = Draft202012Validator({**closed(described["schema"]), **components})
        for name, example in described.get("examples", {}).items():
            for fault in validator.iter_errors(resolved(example)["value"]):
                sys.exit(f"{place}, {name}: {fault.json_path}: {fault.message}")
            checked += 1


for schema in document["components"]["schemas"].values():
    Draft202012Validator.check_schema(schema)
for path, item in document["paths"].items():
    for method, operation in item.items():
        place = f"{method.upper()} {path}"
        check(place, operation.get("requestBody", {}).get("content", {}))
        for status, response in operation["responses"].items():
            check(f"{place} {status}", resolved(response).get("content", {}))
assert checked > 150, checked
print(f"{checked} examples are of their schemas")

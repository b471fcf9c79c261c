"""An example of each answer, put together from the examples of its fields."""

from __future__ import annotations

from typing import Any

# What says nothing about the field that has it.
OF_FORMATS = {"date-time": "2026-01-06T09:30:00Z", "date": "2026-01-06"}


def add_examples(document: dict[str, Any]) -> None:
    """Give each answer of success that has none an example of its schema.

    Raises:
        LookupError: a field says nothing that an example could have there; it names model and field.
    """
    schemas = document["components"]["schemas"]
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    if status < "300" and "example" not in content:
                        content["example"] = example_of(content["schema"], schemas, operation["operationId"])


def example_of(schema: dict[str, Any], schemas: dict[str, Any], name: str) -> Any:
    """An example of `schema`; `name` is what an error calls it."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        model = schema["$ref"].rpartition("/")[2]
        return example_of(schemas[model], schemas, model)
    if "anyOf" in schema:
        # None is possible as well, but tells less.
        first = next(each for each in schema["anyOf"] if each.get("type") != "null")
        return example_of(first, schemas, name)
    return _of_type(schema, schemas, name)


def _of_type(schema: dict[str, Any], schemas: dict[str, Any], name: str) -> Any:
    if "properties" in schema:
        fields = schema["properties"].items()
        return {field: example_of(inner, schemas, f"{name}.{field}") for field, inner in fields}
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas, name)]
    if schema.get("type") == "boolean":
        return True
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("format") in OF_FORMATS:
        return OF_FORMATS[schema["format"]]
    raise LookupError(f"{name} has no example: give its field examples=[…]")

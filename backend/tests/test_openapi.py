"""The API's description: complete, true about errors, and a page that shows it under its own policy."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.examples import example_of
from harness.migrations import module

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document(api: httpx.Client) -> dict[str, Any]:
    """The description."""
    answer = api.get("/openapi.json")
    assert answer.status_code == 200
    return dict(answer.json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation, with a name for messages."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method in METHODS
            yield f"{method.upper()} {path}", operation


def references(part: Any) -> Iterator[str]:
    """All $ref in a part of the description."""
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def test_the_description_says_what_this_is_and_names_no_server(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == "release-under-test"
    assert "RFC 9457" in document["info"]["description"]
    assert "servers" not in document


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(references(document)):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            assert step in found, reference
            found = found[step]


def test_every_tag_in_use_has_a_sentence_and_every_sentence_a_use(document: dict[str, Any]) -> None:
    told = {tag["name"] for tag in document["tags"] if tag["description"].endswith(".")}
    used = {tag for _, operation in operations(document) for tag in operation["tags"]}
    assert told == used


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    assert [name for name, operation in operations(document) if not operation.get("description")] == []


def test_every_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))


def test_every_error_is_problem_details_with_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400":
                ((media_type, content),) = response["content"].items()
                assert media_type == "application/problem+json", name
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, name
                assert content["example"]["status"] == int(status), name


@pytest.mark.parametrize(
    ("who", "statuses"),
    [
        (lambda _operation: True, {"503", "504"}),
        (lambda operation: "requestBody" in operation, {"400", "413", "422"}),
        (lambda operation: operation.get("security"), {"401"}),
        (lambda operation: operation.get("parameters"), {"422"}),
    ],
    ids=["all", "with a body", "with a token", "with parameters"],
)
def test_errors_that_the_service_answers_by_itself_are_told(
    document: dict[str, Any], who: Any, statuses: set[str]
) -> None:
    concerned = {name: operation for name, operation in operations(document) if who(operation)}
    assert concerned
    lacking = {name: statuses - operation["responses"].keys() for name, operation in concerned.items()}
    assert {name: status for name, status in lacking.items() if status} == {}


def test_unavailable_answers_say_when_to_try_again(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert "Retry-After" in operation["responses"]["503"]["headers"], name


def test_every_answer_has_its_request_id(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for response in operation["responses"].values():
            assert "X-Request-ID" in response["headers"], name


def test_models_that_are_sent_take_nothing_unknown(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, operation in operations(document):
        for reference in references(operation.get("requestBody")):
            schema = schemas[reference.rpartition("/")[2]]
            if schema["type"] == "object":
                assert schema.get("additionalProperties") is False, name


def test_every_model_that_is_sent_has_examples(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    sent = {
        reference.rpartition("/")[2]
        for _, operation in operations(document)
        for reference in references(operation.get("requestBody"))
    }
    assert [name for name in sorted(sent) if "example" not in json.dumps(schemas[name])] == []


def test_every_answer_of_success_with_a_body_has_an_example_that_keeps_to_its_schema(
    document: dict[str, Any],
) -> None:
    bodies = 0
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                if status < "300":
                    # References in the schema are to the whole description.
                    schema = {**content["schema"], "components": document["components"]}
                    jsonschema_rs.validate(schema, content["example"], validate_formats=True)
                    assert content["example"] not in ({}, []), name
                    bodies += 1
    assert bodies > 40


def test_a_field_of_which_no_example_can_be_made_is_named() -> None:
    schemas = {"Answer": {"type": "object", "properties": {"city": {"type": "string"}}}}
    with pytest.raises(LookupError, match=r"Answer\.city has no example"):
        example_of({"type": "array", "items": {"$ref": "#/components/schemas/Answer"}}, schemas, "list")


def test_the_command_prints_the_same_description(document: dict[str, Any]) -> None:
    done = module(
        "app.cli",
        "openapi",
        DATABASE_URL="postgresql+psycopg://u:p@127.0.0.1:1/d",
        JWT_SECRET="x" * 32,
        RELEASE_ID="release-under-test",
    )
    assert (done.returncode, json.loads(done.stdout)) == (0, document), done.stderr


class Page(HTMLParser):
    """What a page loads, and the scripts that it has in itself."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if address := given.get("src") or (given.get("href") if tag == "link" else None):
            self.loaded.append((tag, {**given, "address": address}))
        self._inline = tag == "script" and "src" not in given
        assert not [name for name in given if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        if self._inline:
            self.scripts.append(data)
            self._inline = False


@pytest.fixture(scope="module")
def page(api: httpx.Client) -> tuple[Page, dict[str, list[str]]]:
    """The page at /docs, and what its policy allows."""
    answer = api.get("/docs")
    assert answer.headers["Content-Type"].startswith("text/html")
    made = Page()
    made.feed(answer.text)
    (policy,) = answer.headers.get_list("Content-Security-Policy")
    return made, {part.split()[0]: part.split()[1:] for part in policy.split("; ")}


def test_all_that_the_page_loads_is_allowed_and_cannot_be_replaced(
    page: tuple[Page, dict[str, list[str]]],
) -> None:
    made, policy = page
    assert {tag for tag, _ in made.loaded} == {"script", "link"}
    for tag, given in made.loaded:
        allowed = policy["script-src" if tag == "script" else "style-src"]
        assert any(str(given["address"]).startswith(source) for source in allowed)
        assert re.fullmatch(r"sha384-[A-Za-z0-9+/]{64}", given["integrity"] or "")
        assert given["crossorigin"] == "anonymous"


def test_the_pages_own_script_is_allowed_by_its_hash(page: tuple[Page, dict[str, list[str]]]) -> None:
    made, policy = page
    (script,) = made.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy["script-src"]
    assert "/openapi.json" in script


def test_the_page_may_run_nothing_else(page: tuple[Page, dict[str, list[str]]]) -> None:
    _, policy = page
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == ["'none'"]
    assert policy["connect-src"] == ["'self'"]
    assert "'unsafe" not in str(policy)

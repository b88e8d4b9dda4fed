"""Nothing that the documentation says is missing from the facts."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.documentation import DOCUMENTATION, Section, sections
from tests.contract.facts import envelope, limits, refusals, socket, tasks, webhooks
from tests.contract.facts.everything import ENDPOINTS, PAGES
from tests.contract.shapes import keys_of

if not DOCUMENTATION.is_file():
    pytest.skip(
        f"THE FACTS ARE NOT HELD AGAINST THE DOCUMENTATION: there is no {DOCUMENTATION}",
        allow_module_level=True,
    )

TEXT = DOCUMENTATION.read_text()
SECTIONS = sections()
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
SHOWN = [
    pytest.param(f"{request.method} {request.path}", request, id=f"{title}: {request.path}")
    for title, section in SECTIONS.items()
    for request in section.requests()
]
OTHER_JSON = {
    "Success Response": envelope.SUCCESS,
    "Error Response": envelope.FAILURE
    | {"error": envelope.FAILURE["error"] | {"details": envelope.REFUSED_FIELD}},
    "Pagination Response": {"data": envelope.PAGE, "error": None},
    "Pagination Response Format": {"data": envelope.PAGE},
    "Pagination Links": {"data": envelope.LINKED_PAGE},
    "Rate Limit Exceeded Response": limits.EXCEEDED,
    "Webhook Payload Format": webhooks.PAYLOAD,
}


def test_every_endpoint_is_shown() -> None:
    assert BY_NAME.keys() == {parameter.values[0] for parameter in SHOWN}


@pytest.mark.parametrize(("name", "request_"), SHOWN)
def test_a_shown_request_and_its_answers_are_known(name: str, request_: Any) -> None:
    endpoint = BY_NAME[name]
    answered = {*keys_of(endpoint.answer), *keys_of(endpoint.more)}

    assert set() == request_.query.keys() - endpoint.query.keys()
    assert set() == set(keys_of(request_.body)) - set(keys_of(endpoint.body))
    for answer in request_.answers:
        assert set() == set(keys_of(answer["data"])) - answered
        assert answer["error"] is None


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("List Tasks", "GET /api/tasks/"),
        ("List Projects", "GET /api/projects/"),
        ("Project Analytics", "GET /api/projects/{project_id}/analytics"),
        ("Pagination", "GET /api/tasks/"),
        ("Common Filter Parameters", "GET /api/tasks/"),
    ],
)
def test_every_listed_parameter_and_its_values_are_known(title: str, name: str) -> None:
    query = BY_NAME[name].query
    listed = dict(SECTIONS[title].bullets())

    assert set() == listed.keys() - query.keys()
    assert {} == {
        parameter: values
        for parameter, values in listed.items()
        if set(values) - {*query[parameter]}
    }


def test_every_bulk_operation_is_known() -> None:
    endpoint = BY_NAME["POST /api/tasks/bulk"]
    bodies = [body for body in (endpoint.body, *endpoint.bodies) if body]

    assert {body["operation"] for body in bodies} == set(words("Bulk Task Operations"))


def test_every_kind_of_search_is_known() -> None:
    shown = [word.removeprefix("search=") for word in words("Search Syntax")]

    assert list(tasks.FILTERS["search"]) == shown


@pytest.mark.parametrize("title", OTHER_JSON)
def test_other_json_is_known(title: str) -> None:
    (shown,) = SECTIONS[title].json()

    assert set() == set(keys_of(shown)) - set(keys_of(OTHER_JSON[title]))


def test_every_json_is_looked_at() -> None:
    messages = {title for title, section in SECTIONS.items() if any(messages_of(section))}

    assert OTHER_JSON.keys() | messages == {
        title for title, section in SECTIONS.items() if section.json()
    }


def test_every_message_to_the_server_is_known() -> None:
    shown = re.findall(r"ws\.send\(JSON\.stringify\(\{(.*?)\}\)\)", TEXT, re.DOTALL)
    said = {
        re.findall(r"type: '(\w+)'", message)[0]: set(re.findall(r"(\w+): ", message))
        for message in shown
    }

    assert {type_: set(message) for type_, message in socket.SAID.items()} == said


def test_every_message_from_the_server_is_known() -> None:
    shown = [message for section in SECTIONS.values() for message in messages_of(section)]

    assert socket.HEARD.keys() == {message["type"] for message in shown}
    for message in shown:
        type_ = message["type"]
        known = {*keys_of(socket.HEARD[type_]), *keys_of(socket.MORE.get(type_, {}))}
        assert set() == set(keys_of(message)) - known


def test_every_channel_and_metric_is_known() -> None:
    (metrics,) = re.findall(r"metrics: \[(.*?)\]", TEXT)

    channels = re.findall(r"(?:channel: |subscribe\()['\"](\w+)", TEXT)
    assert set(socket.CHANNELS) == set(channels)
    assert list(socket.METRICS) == re.findall(r"\w+", metrics)


def test_every_code_is_known() -> None:
    shown = {word for word in all_words() if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", word)}

    assert refusals.CODES.keys() == shown | set(re.findall(r'"code": "(\w+)"', TEXT))


def test_every_status_is_known() -> None:
    assert list(refusals.STATUSES) == [int(word[:3]) for word in words("HTTP Status Codes")]


def test_every_header_is_known() -> None:
    shown = re.findall(r"^(X-[\w-]+):", TEXT, re.MULTILINE)

    assert [*limits.HEADERS, *webhooks.HEADERS] == shown


def test_every_limit_is_known() -> None:
    numbers = re.findall(r"\*\*: (\d+)", SECTIONS["Rate Limits"].text)

    assert [
        limits.REQUESTS_PER_ADDRESS,
        limits.REQUESTS_PER_USER,
        limits.REQUESTS_PER_PREMIUM_USER,
        limits.SOCKETS_PER_USER,
    ] == [int(number) for number in numbers]
    assert f"X-RateLimit-Window: {limits.WINDOW_SECONDS}" in TEXT


def test_every_webhook_event_is_known() -> None:
    assert list(webhooks.EVENTS) == words("Webhook Events")


def test_every_page_is_known() -> None:
    shown = re.findall(r"(?:8000|`)(/(?:docs|openapi)[\w./]*)", TEXT)

    assert set(PAGES) == set(shown)


def test_every_other_word_is_known() -> None:
    names = [name for endpoint in ENDPOINTS for name in endpoint.query]
    known = {*names, *refusals.CODES, *webhooks.EVENTS, *words("Bulk Task Operations")}
    statuses = {word for word in all_words() if re.match(r"\d{3} ", word)}
    searches = {f"search={search}" for search in tasks.FILTERS["search"]}

    assert set() == set(all_words()) - known - statuses - searches


def words(title: str) -> list[str]:
    """The first code of each item of a section's lists."""
    return [first for first, _ in SECTIONS[title].bullets()]


def all_words() -> list[str]:
    return [word for title in SECTIONS for word in words(title)]


def messages_of(section: Section) -> Iterator[dict[str, Any]]:
    """The messages from the server that a section shows."""
    yield from (value for value in section.json() if "type" in value)

"""The OpenAPI document as collections that Postman and Insomnia import."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

POSTMAN = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
# What Postman does after a successful login, so that later requests carry the token.
KEEP_TOKEN = "pm.collectionVariables.set('token', pm.response.json().data.access_token);"  # noqa: S105 - a script


def postman(document: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """A collection v2.1 with a folder for each tag; it asks the server at this origin."""
    return {
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "version": document["info"]["version"],
            "schema": POSTMAN,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}"}]},
        "variable": [{"key": "base_url", "value": origin}, {"key": "token", "value": ""}],
        "item": [
            {"name": tag, "item": [_postman_item(one) for one in asked]}
            for tag, asked in _by_tag(document).items()
        ],
    }


def insomnia(document: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """An export of format 4 with a group for each tag; it asks the server at this origin."""
    workspace, environment = "wrk_claude_cli_api", "env_claude_cli_api"
    return {
        "_type": "export",
        "__export_format": 4,
        "__export_source": f"claude-cli-api:{document['info']['version']}",
        "resources": [
            {
                "_id": workspace,
                "_type": "workspace",
                "parentId": None,
                "name": document["info"]["title"],
                "description": document["info"]["description"],
                "scope": "collection",
            },
            {
                "_id": environment,
                "_type": "environment",
                "parentId": workspace,
                "name": "Base environment",
                "data": {"base_url": origin, "token": ""},
            },
            *(
                resource
                for tag, asked in _by_tag(document).items()
                for resource in _insomnia_group(workspace, tag, asked)
            ),
        ],
    }


class _Asked(NamedTuple):
    """One operation, with the examples of everything that it asks for."""

    id: str
    name: str
    description: str
    method: str
    path: str
    in_path: Mapping[str, Any]
    in_query: Mapping[str, Any]
    body: str | None


def _by_tag(document: Mapping[str, Any]) -> dict[str, list[_Asked]]:
    tags: dict[str, list[_Asked]] = {tag["name"]: [] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tags[operation["tags"][0]].append(_asked(path, method, operation))
    return tags


def _asked(path: str, method: str, operation: Mapping[str, Any]) -> _Asked:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return _Asked(
        operation["operationId"],
        operation["summary"],
        operation["description"],
        method.upper(),
        path,
        dict(_examples(operation, "path")),
        dict(_examples(operation, "query")),
        orjson.dumps(content["example"], option=orjson.OPT_INDENT_2).decode() if content else None,
    )


def _examples(operation: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    for parameter in operation["parameters"]:
        if parameter["in"] == place:
            schema = parameter["schema"]
            leaf = schema.get("items", schema)
            yield parameter["name"], str(leaf["examples"][0])


def _postman_item(asked: _Asked) -> dict[str, Any]:
    path = asked.path.replace("{", ":").replace("}", "")
    request: dict[str, Any] = {
        "method": asked.method,
        "description": asked.description,
        "header": [],
        "url": {
            "raw": f"{{{{base_url}}}}{path}",
            "host": ["{{base_url}}"],
            "path": path.removeprefix("/").split("/"),
            "variable": [{"key": key, "value": value} for key, value in asked.in_path.items()],
            "query": [
                {"key": key, "value": value, "disabled": True}
                for key, value in asked.in_query.items()
            ],
        },
    }
    if asked.body is not None:
        options = {"raw": {"language": "json"}}
        request["body"] = {"mode": "raw", "raw": asked.body, "options": options}
    item: dict[str, Any] = {"name": asked.name, "request": request}
    if asked.id == "Login":
        script = {"type": "text/javascript", "exec": [KEEP_TOKEN]}
        item["event"] = [{"listen": "test", "script": script}]
    return item


def _insomnia_group(workspace: str, tag: str, asked: list[_Asked]) -> Iterator[dict[str, Any]]:
    group = f"fld_{tag}"
    yield {"_id": group, "_type": "request_group", "parentId": workspace, "name": tag}
    for one in asked:
        yield _insomnia_request(group, one)


def _insomnia_request(group: str, asked: _Asked) -> dict[str, Any]:
    path = asked.path.replace("{", ":").replace("}", "")
    request: dict[str, Any] = {
        "_id": f"req_{asked.id}",
        "_type": "request",
        "parentId": group,
        "name": asked.name,
        "description": asked.description,
        "method": asked.method,
        "url": f"{{{{ _.base_url }}}}{path}",
        "pathParameters": [{"name": name, "value": value} for name, value in asked.in_path.items()],
        "parameters": [
            {"name": name, "value": value, "disabled": True}
            for name, value in asked.in_query.items()
        ],
        "authentication": {"type": "bearer", "token": "{{ _.token }}"},
        "headers": [],
        "body": {},
    }
    if asked.body is not None:
        request["headers"] = [{"name": "Content-Type", "value": "application/json"}]
        request["body"] = {"mimeType": "application/json", "text": asked.body}
    return request

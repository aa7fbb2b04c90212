"""The OpenAPI 3.1 document, made from the table of routes and the models; nothing in it is written twice."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from csms.api.call import PATHS, Route
from csms.flows.admin import SCOPES

XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
INTERFACE_VERSION = "1.0.0"
REFERENCE = "#/components/schemas/{model}"
PROBLEM = {
    "type": "object",
    "description": "What is wrong (RFC 9457); `errors` point at parts of the request.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("pointer", "parameter", "detail")},
            },
        },
    },
}
REFUSALS = {
    400: "malformed, or an unknown parameter",
    401: "no good bearer token",
    403: "a scope is missing",
    404: "there is nothing here",
    409: "does not fit what is stored",
    413: "the body is too large",
    415: "the body is not JSON",
    422: "breaks a rule",
    503: "the database is away; try again",
}
BODY_ONLY = {413, 415, 422}
OF_FEW = {402: "nobody pays", 410: "too late: what was offered or given is over", 429: "too many; wait"}


@lru_cache(maxsize=1)
def document(routes: tuple[Route, ...], prefix: str) -> dict[str, Any]:
    """The document of these routes, whose paths begin with `prefix`: built once, it is to be read only."""
    models = _models(routes)
    names, schemas = models_json_schema(models, ref_template=REFERENCE)
    references = {model: names[model, mode] for model, mode in models}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(prefix + route.path, {})[route.method.lower()] = _operation(route, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "csms",
            "version": INTERFACE_VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Stations, drivers, sessions, bills, reports. Errors are problem documents (RFC 9457); "
            "lists go on with `cursor`; times are RFC 3339 in UTC; a token comes from `POST /oauth/token`.",
        },
        "security": [{"oauth2": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas.get("$defs", {}), "Problem": PROBLEM},
            "securitySchemes": {
                "oauth2": {
                    "type": "oauth2",
                    "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": SCOPES}},
                }
            },
        },
    }


def _models(routes: Iterable[Route]) -> list[tuple[type[BaseModel], JsonSchemaMode]]:
    """Every model in use, and whether it is read or written."""
    found: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for route in routes:
        if route.body is not None:
            found[route.body, "validation"] = None
        if route.answer is not None:
            found[route.answer, "serialization"] = None
    return list(found)


def _operation(route: Route, references: Mapping[Any, Any]) -> dict[str, Any]:
    """One method of one path."""
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "description": inspect.cleandoc(route.handler.__doc__ or ""),
        "tags": [route.path.split("/")[1]],
        "security": [{"oauth2": [scope]} for scope in route.scopes],
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": {**_successes(route, references), **_refusals(route)},
    }
    if route.moves_money:
        operation["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": "chosen by the client; a repeat with the same key gets the first answer",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    if route.body is not None:
        content = {"application/json": {"schema": references[route.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    found = []
    for name in re.findall(r"{([a-z_]+)}", route.path):
        schema = {"type": "string", "pattern": f"^{PATHS[name].pattern}$"}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    return found


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    schema = route.query.model_json_schema()
    found = []
    for name, part in schema.get("properties", {}).items():
        described = {"description": part.pop("description")} if "description" in part else {}
        part.pop("title", None)
        found.append({"name": name, "in": "query", "required": False, **described, "schema": part})
    return found


def _successes(route: Route, references: Mapping[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "done"}
    if route.answer is not None:
        content: dict[str, Any] = {"application/json": {"schema": references[route.answer]}}
        if route.path.startswith("/reports/"):
            content["text/csv"] = {"schema": {"type": "string"}}
            content[XLSX_TYPE] = {"schema": {"type": "string", "contentMediaType": XLSX_TYPE}}
        if route.path == "/voucher-batches" and route.method == "POST":
            content["text/csv"] = {"schema": {"type": "string"}}
        answer = {"description": route.summary, "content": content}
    return {str(status): answer for status in (route.or_else, route.status) if status is not None}


def _refusals(route: Route) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    meanings = {s: meaning for s, meaning in REFUSALS.items() if route.takes_a_body or s not in BODY_ONLY}
    meanings |= {status: OF_FEW[status] for status in route.refuses}
    return {str(status): {"description": meaning, "content": content} for status, meaning in sorted(meanings.items())}

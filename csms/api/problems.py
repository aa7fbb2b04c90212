"""Errors as problem documents (RFC 9457), whatever went wrong and wherever."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from csms.base.errors import Conflict, CsmsError, NotFound, NotYet, Refused
from csms.store.reach import is_unavailable

PROBLEM_JSON = "application/problem+json"
DETAILS_MAX = 20
RETRY_AFTER_S = 2
CONFLICT = "CS409"
"""The SQLSTATE of functions of ours that refuse, for a reason that is for people to read."""
UNDONE = "40"
"""The class of SQLSTATE that says that PostgreSQL undid a transaction for the sake of another (a deadlock)."""

log = structlog.get_logger("csms.api")


class Problem(CsmsError):
    """A request that cannot be served: a status, what is wrong, and which parts of the request it is about."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, errors
        self.headers, self.members = headers or {}, members or {}


def response(problem: Problem) -> web.Response:
    """The problem document."""
    title = HTTPStatus(problem.status).phrase
    document: dict[str, object] = {"type": "about:blank", "title": title, "status": problem.status}
    if problem.detail:
        document["detail"] = problem.detail
    if problem.errors:
        document["errors"] = list(problem.errors)[:DETAILS_MAX]
    body = json.dumps({**document, **problem.members}).encode()
    return web.Response(body=body, status=problem.status, headers=dict(problem.headers), content_type=PROBLEM_JSON)


def of_validation(status: int, error: ValidationError, where: str = "") -> Problem:
    """What pydantic found, as pointers into the request (`/connectors/0/number`) or names of parameters."""
    errors = []
    for found in error.errors(include_url=False, include_context=False, include_input=False)[:DETAILS_MAX]:
        pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in found["loc"])
        detail = _WORDS.get(found["type"]) or found["msg"].removeprefix("Value error, ")
        errors.append({where or "pointer": pointer if not where else pointer.lstrip("/"), "detail": detail})
    return Problem(status, "the request does not have the form that is asked for", errors)


_WORDS = {
    "extra_forbidden": "this is not known here",
    "missing": "this is missing",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "an object is asked for"),
}
"""What pydantic says in words of Python, in words of the request."""


def of_error(error: Exception) -> Problem | None:
    """The problem that an error of the world is; None when it is a defect of ours."""
    match error:
        case Problem():
            return error
        case NotFound():
            return Problem(404, str(error))
        case Conflict():
            return Problem(409, str(error))
        case NotYet():
            return Problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})
        case Refused():
            kind = "pointer" if error.field and error.field.startswith("/") else "parameter"
            errors = [{kind: error.field, "detail": error.reason}] if error.field else []
            return Problem(422, error.reason, errors)
        case web.HTTPException() if error.status >= 400:
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return Problem(error.status, _DETAILS.get(error.status, ""), headers=allow)
        case web.RequestPayloadError():
            return Problem(400, "the body is not encoded as its headers say")
        case _ if getattr(error, "sqlstate", None) == CONFLICT:
            return Problem(409, str(error))
        case _ if (getattr(error, "sqlstate", None) or "").startswith(UNDONE):
            detail = "this stood in another's way and was not done; try again"
            return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})
        case _ if is_unavailable(error):
            return Problem(
                503, "the database cannot be reached now; try again", headers={"Retry-After": str(RETRY_AFTER_S)}
            )
    return None


_DETAILS = {
    404: "there is nothing here; /docs shows what there is",
    405: "this method is not for this address",
    413: "the body is too large",
}


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what handlers raise into problem documents; defects are logged and told without details."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        problem = of_error(error)
    except Exception as error:
        problem = of_error(error)
        if problem is None:
            log.exception("request failed", method=request.method, route=route_name(request))
            problem = Problem(500, "this is our fault and has been logged")
    assert problem is not None
    return response(problem)


def route_name(request: web.Request) -> str:
    """The address as a pattern: ids and tokens in it are not for logs."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"

"""The API document is true: a fuzzer finds no error of the server and no answer that is not documented."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import schemathesis
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from nextbest.serve.routes import ROUTES

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient
    from starlette.types import ASGIApp

CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]
REFUSED = [*CHECKS, openapi_checks.negative_data_rejection]


def test_the_document_covers_the_table(admin: TestClient) -> None:
    """Every route of the table, and nothing else, is in the document; all but those that are open need a key."""
    document = admin.get("/openapi.json").json()
    found = {(method.upper(), path) for path, ops in document["paths"].items() for method in ops}
    assert document["openapi"].startswith("3.1")
    assert found == {(r.method, r.path) for r in ROUTES}
    free = {path for path, ops in document["paths"].items() for op in ops.values() if op.get("security") == []}
    assert free == {"/live", "/u/{token}", "/static/{name}"}


def test_every_route_is_on_its_page(repository: Path) -> None:
    """The page of the documentation names every route with its method and scope."""
    page = (repository / "docs/reference/http.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    missing = [
        r.path
        for r in ROUTES
        if not any(f"`{r.method} {r.path}`" in line and f"| {r.scope} |" in line for line in rows)
    ]
    assert missing == []


def fuzz(app: ASGIApp, admin: TestClient, cases: int) -> Counter[int]:
    """Ask so many generated requests, check every answer against the document, and count the statuses."""
    key = {"Authorization": admin.headers["Authorization"], "Host": "localhost"}
    schema = schemathesis.openapi.from_dict(admin.get("/openapi.json").json())
    schema.app = app
    statuses: Counter[int] = Counter()
    operations = [o.ok() for o in schema.get_all_operations()]
    with_body = [o for o in operations if o.body]
    for operation in operations:
        _ask(operation, schemathesis.GenerationMode.POSITIVE, cases // (2 * len(operations)), key, statuses)
    for operation in with_body:  # nothing else can be wrong about a request: an id may be any text
        _ask(operation, schemathesis.GenerationMode.NEGATIVE, cases // (2 * len(with_body)), key, statuses)
    return statuses


def _ask(operation: Any, mode: Any, cases: int, key: dict[str, str], statuses: Counter[int]) -> None:
    @hypothesis.settings(
        max_examples=cases,
        deadline=timedelta(seconds=20),
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        answer = case.call(headers=key)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS if answer.status_code == 413 else REFUSED)  # 413 refuses, too

    run()


@pytest.mark.slow
def test_generated_requests_find_nothing_undocumented(app: ASGIApp, admin: TestClient) -> None:
    """At least 200 generated requests, good and bad: no error of the server, no undocumented answer."""
    statuses = fuzz(app, admin, 400)
    assert sum(statuses.values()) >= 200, statuses
    assert statuses[200] > 20, statuses
    assert statuses[400] > 20, statuses


@pytest.mark.nightly
def test_many_generated_requests_find_nothing_undocumented(app: ASGIApp, admin: TestClient) -> None:
    """At least 2,000 generated requests find no error of the server and no undocumented answer."""
    assert sum(fuzz(app, admin, 4000).values()) >= 2000

"""The OpenAPI schema of the server, and a page that shows it without any script or foreign asset."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from fastapi import FastAPI

from recdistill.web.problems import PROBLEMS
from recdistill.web.schemas import ProblemDetails

KEYED = ("/v1/", "/metrics")
"""Beginnings of paths that ask for the API key, where there is one."""
REFERENCE = "#/components/schemas/"


def schema_of(app: FastAPI, keyed: bool) -> dict[str, Any]:
    """The schema, with what FastAPI does not see: problems, and the key.

    Args:
        app: with all its paths.
        keyed: whether an API key is asked for.
    """
    schema = app.openapi()
    parts = schema.setdefault("components", {})
    problem = ProblemDetails.model_json_schema(ref_template=REFERENCE + "{model}")
    parts.setdefault("schemas", {}).update({**problem.pop("$defs", {}), "ProblemDetails": problem})
    if keyed:
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                if path.startswith(KEYED):
                    operation["security"] = [{"key": []}]
    return schema


def schema_page(schema: Mapping[str, Any]) -> str:
    """The schema as plain HTML; every text in it is escaped."""
    operations = [
        _operation(method, path, about)
        for path, methods in schema["paths"].items()
        for method, about in methods.items()
    ]
    problems = "".join(
        f'<tr id="{kind}"><th scope="row"><code>{kind}</code></th><td>{told.status}</td>'
        f"<td>{escape(told.title)}</td><td>{escape(told.help)}</td></tr>"
        for kind, told in PROBLEMS.items()
    )
    bodies = "".join(_schema(name, about) for name, about in sorted(schema["components"]["schemas"].items()))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>recdistill: API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="/page/icon.svg"><link rel="stylesheet" href="/page/style.css"></head>'
        f'<body class="docs"><main><h1>API {escape(schema["info"]["version"])}</h1>'
        '<p><a href="/">Page</a> · <a href="/openapi.json">OpenAPI schema</a></p>'
        f"<h2>Paths</h2>{''.join(operations)}"
        "<h2>Problems</h2><p>Errors are <code>application/problem+json</code> (RFC 9457).</p>"
        '<div class="wide" tabindex="0" role="region" aria-label="Problems"><table><thead><tr><th>type</th>'
        f"<th>status</th><th>title</th><th>what to do</th></tr></thead><tbody>{problems}</tbody></table></div>"
        f"<h2>Schemas</h2>{bodies}</main></body></html>"
    )


def _operation(method: str, path: str, about: Mapping[str, Any]) -> str:
    parameters = "".join(
        f"<li><code>{escape(one['name'])}</code>{' (required)' if one.get('required') else ''}: "
        f"{escape(one.get('description', ''))}</li>"
        for one in about.get("parameters", [])
    )
    body = about.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    answers = "".join(
        f"<li>{escape(status)}: {_name(answer)} {escape(answer['description'])}</li>"
        for status, answer in about["responses"].items()
    )
    return (
        f"<section><h3><code>{escape(method.upper())} {escape(path)}</code></h3>"
        f"<p>{escape(about.get('description') or about['summary'])}</p>"
        + (f"<p>Body: {_link(body['$ref'])}</p>" if "$ref" in body else "")
        + (f"<ul>{parameters}</ul>" if parameters else "")
        + f"<details><summary>Answers</summary><ul>{answers}</ul></details></section>"
    )


def _name(answer: Mapping[str, Any]) -> str:
    found = [one["schema"]["$ref"] for one in answer.get("content", {}).values() if "$ref" in one.get("schema", {})]
    return _link(found[0]) if found else ""


def _link(reference: str) -> str:
    name = escape(reference.removeprefix(REFERENCE))
    return f'<a href="#schema-{name}">{name}</a>'


def _schema(name: str, about: Mapping[str, Any]) -> str:
    shown = escape(json.dumps(about, indent=2, ensure_ascii=False))
    told = escape(about.get("description", ""))
    head = f'<section id="schema-{escape(name)}"><h3>{escape(name)}</h3><p>{told}</p>'
    return f'{head}<pre tabindex="0">{shown}</pre></section>'

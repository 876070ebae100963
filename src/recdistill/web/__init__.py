"""Recommendations over HTTP, and the page that shows them: `recdistill serve RUN_OR_BUNDLE`.

    edge.py       every request and answer: id, key, limits of time, headers, metrics, one log line
    api.py        what the paths under /v1 answer, without HTTP
    routes.py     the same paths for FastAPI: schema, other paths, errors
    schemas.py    bodies of requests and answers
    served.py     what is served: one bundle's models, never changed in place
    reload.py     another bundle without a pause
    batching.py   requests that arrive together are scored together
    serve.py      one process or several (server.py, supervisor.py), signals

Nothing here imports torch.
"""

__all__: list[str] = []

"""The HTTP side of the gateway.

    app              the routes; `build_app` returns the ASGI app
    middleware       around every route: request id, host, key, body limits, log
    other_methods    405 for a method that a route does not take
    request_parsing  bodies (JSON or multipart) to checked requests
    schemas          fields of requests and responses, for parsing and for the OpenAPI document
    errors           exceptions to error responses

Imports from below: `judge.serve.service` and the other modules of `judge.serve`, `judge.pipeline`,
`judge.types`.
"""

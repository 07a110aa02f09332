"""The answer to a method that a route does not take: 405 with the methods that it does take.

Starlette gives this answer itself, unless something is mounted at "/", as the page is: that takes every
request that no route takes, and answers 404.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import URLPath
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import Receive, Scope, Send


class OtherMethods(BaseRoute):
    """Takes the requests whose path is that of a route, but whose method no route takes.

    Args:
        routes: the routes before this one.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, Route)]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return a full match if a route has the path, and the methods of all such routes."""
        if scope["type"] != "http":
            return Match.NONE, {}
        found = [
            (route, child)
            for route in self._routes
            for match, child in [route.matches(scope)]
            if match != Match.NONE
        ]
        if not found:
            return Match.NONE, {}
        methods = sorted({method for route, _ in found for method in route.methods or ()})
        return Match.FULL, {**found[0][1], "allowed_methods": methods, "route": found[0][0]}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raise the error, which the app turns into a response."""
        raise HTTPException(405, headers={"Allow": ", ".join(scope["allowed_methods"])})

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Raise `NoMatchFound`: this route has no address of its own."""
        raise NoMatchFound(name, path_params)

"""The gateway on Ray Serve: replicas that come and go with the requests that wait.

    judge serve --ray --replicas 1:8 --gpus 1 --keys keys.txt
    serve run judge.serve.ray_serve:application model=Qwen/Qwen3-VL-8B-Instruct backend=vllm keys=keys.txt

Each replica is a whole gateway (`judge.serve.http.app`) with an engine of its own, and is there once that is
loaded. Ray's proxy gives a request to one with few in hand, and Ray starts another where each has more than
`waiting` on average. Limits of a gateway (queue, deadline, bodies, keys) are those of each replica. There is
no page: its sessions would have to come back to the replica they began at.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from ray import serve

from judge.agent.closer_looks import MOST
from judge.errors import BackendError, InputError
from judge.runtime.ray_cluster import cluster
from judge.serve.keys import Keys
from judge.serve.run import Options, check_openness, service_of
from judge.serve.service import LOOKS
from judge.serve.settings import Settings, hosts_of
from judge.types import Model

NAME = "judge"
GRACE = 30.0
"""Seconds that a replica's requests get to finish before it is taken away."""
EVERY = 10.0
"""Seconds between two looks at a replica's health."""


class Wanted(Model):
    """What the application is made of: fields of `judge serve`, and how many replicas there may be."""

    model: str = "embedded"
    adapter: str | None = None
    backend: str = "auto"
    base_url: str | None = None
    rubrics: list[str] = []
    keys: Path | None = None
    """File of key hashes, read where the application is made; the hashes travel to the replicas."""
    queue: Annotated[int, Field(ge=1)] = 256
    deadline: Annotated[float, Field(gt=0)] = 60.0
    looks: Annotated[int, Field(ge=0, le=MOST)] = LOOKS
    allow_hosts: list[str] = []
    host: str = "127.0.0.1"
    """Address that Ray's proxies listen on."""
    open: bool = False
    smallest: Annotated[int, Field(ge=0)] = 1
    largest: Annotated[int, Field(ge=1)] = 4
    waiting: Annotated[float, Field(gt=0)] = 16.0
    """Requests in hand of a replica, on average, above which there are more replicas."""
    patience: Annotated[float, Field(ge=0)] = 10.0
    """Seconds for which it must be so."""
    cpus: Annotated[float, Field(ge=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0

    def options(self) -> Options:
        """A single gateway's."""
        shared = ("model", "adapter", "backend", "base_url", "rubrics", "keys", "queue", "deadline",
                  "looks", "allow_hosts", "host", "open")  # fmt: skip
        return Options(**{name: getattr(self, name) for name in shared}, page=False)


@serve.ingress()
class Gateway:
    """One replica."""

    def __init__(self, wanted: Wanted, keys: Keys) -> None:
        from judge.serve.log import Log

        self._log = Log()
        self._service = service_of(wanted.options(), self._log)
        self._settings = Settings(
            keys=keys, hosts=hosts_of(wanted.host, bool(keys) or wanted.open), page=False
        )

    def __serve_build_asgi_app__(self) -> Any:
        from judge.serve.http.app import build

        app = build(self._service, self._settings, self._log)
        begun = app.router.lifespan_context

        @asynccontextmanager
        async def loaded(served: Any) -> AsyncIterator[Any]:
            async with begun(served) as state:
                while self._service.state == "loading":
                    await asyncio.sleep(0.1)
                await self.check_health()
                yield state

        app.router.lifespan_context = loaded
        return app

    async def check_health(self) -> None:
        """Raises where the engine is given up; Ray then puts another replica in this one's place."""
        if self._service.state == "failed":
            raise BackendError(f"the engine is given up: {self._service.engine.reason}")


def application(wanted: Wanted) -> serve.Application:
    """The application, for `serve.run` and for `import_path` in a Serve configuration.

    Raises:
        InputError: an option is unusable, or anybody could use it and nobody said that they may.
    """
    if wanted.smallest > wanted.largest:
        shown = f"{wanted.smallest}:{wanted.largest}"
        raise InputError("replicas", shown, "MIN:MAX", "MIN is the smaller one")
    options, keys = wanted.options(), Keys.read(wanted.keys)
    check_openness(options, keys)
    service_of(options, lambda event, **fields: None)  # the checks of its arguments; nothing is loaded
    deployment = serve.deployment(
        name="Gateway",
        autoscaling_config={
            "min_replicas": wanted.smallest,
            "max_replicas": wanted.largest,
            "target_ongoing_requests": wanted.waiting,
            "upscale_delay_s": wanted.patience,
            "downscale_delay_s": 30 * wanted.patience,
            "metrics_interval_s": max(0.1, min(10.0, wanted.patience / 2)),
            "look_back_period_s": max(0.2, min(30.0, wanted.patience)),
        },
        # The gateway itself says 429 beyond its queue, with the seconds after which to come back.
        max_ongoing_requests=wanted.queue + 64,
        graceful_shutdown_timeout_s=GRACE,
        health_check_period_s=EVERY,
        ray_actor_options={"num_cpus": wanted.cpus, "num_gpus": wanted.gpus},
    )
    made: serve.Application = deployment(Gateway).bind(wanted, keys)
    return made


def wanted_of(replicas: str, **fields: Any) -> Wanted:
    """The options of the command line; `replicas` is MIN:MAX or a number. Raises `InputError`."""
    low, _, high = replicas.partition(":")
    try:
        return Wanted(smallest=int(low), largest=int(high or low), **fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(str(first["loc"][0]), first.get("input"), first["msg"], "mend it") from None
    except ValueError:
        raise InputError("replicas", replicas, "a number, or MIN:MAX", "1:4, for example") from None


def run(wanted: Wanted, address: str, port: int, told: Callable[[str], None]) -> None:
    """Serve on a Ray cluster until SIGTERM or SIGINT, then take the application away again.

    Raises:
        InputError: there is no cluster at the address, or an option is unusable.
        BackendError: no replica came up.
    """
    made, ended = application(wanted), threading.Event()
    with cluster(address):
        serve.start(http_options={"host": wanted.host, "port": port})
        try:
            serve.run(made, name=NAME, route_prefix="/")
        except RuntimeError as error:
            serve.shutdown()
            raise BackendError(f"no replica came up: {' '.join(str(error).split())[:300]}") from None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        told(f"{wanted.model} at http://{wanted.host}:{port}, {wanted.smallest} to {wanted.largest} replicas")
        ended.wait()
        told("ending: what is inside is finished")
        serve.shutdown()

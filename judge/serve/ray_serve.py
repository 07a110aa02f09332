"""The gateway on Ray Serve, with replicas whose number follows the load.

    judge serve --ray --replicas 1:8 --gpus 1 --keys keys.txt
    serve run judge.serve.ray_serve:application model=Qwen/Qwen3-VL-8B-Instruct backend=vllm keys=keys.txt

Each replica is a complete gateway (`judge.serve.http.app`) with its own engine, and takes requests once the
engine has loaded. Ray's proxy sends a request to a replica with few active ones, and Ray starts another
replica when the replicas have more than `waiting` active requests on average. The limits of a gateway (queue,
deadline, bodies, keys) apply to each replica. There is no web page: its sessions would have to return to the
replica on which they started.
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

from judge.agent.budget import MAX_LOOKS
from judge.errors import BackendError, InputError
from judge.runtime.ray_cluster import connect_to_ray
from judge.serve.keys import Keys
from judge.serve.sample_judge import DEFAULT_MAX_LOOKS
from judge.serve.server import ServeOptions, build_service, check_access
from judge.serve.settings import Settings, accepted_hosts
from judge.types import StrictModel

APPLICATION_NAME = "judge"
SHUTDOWN_SECONDS = 30.0
"""Seconds that a replica's requests get to finish before it is removed."""
HEALTH_CHECK_SECONDS = 10.0
"""Seconds between two health checks of a replica."""


class ApplicationOptions(StrictModel):
    """Arguments of the application: options of `judge serve`, and the number of replicas."""

    model: str = "embedded"
    adapter: str | None = None
    backend: str = "auto"
    base_url: str | None = None
    options: dict[str, Any] = {}
    """Further keyword arguments of `Judge`, as in `ServeOptions`."""
    rubrics: list[str] = []
    keys: Path | None = None
    """File of key hashes. It is read where the application is built; the hashes are sent to the replicas."""
    queue: Annotated[int, Field(ge=1)] = 256
    deadline: Annotated[float, Field(gt=0)] = 60.0
    looks: Annotated[int, Field(ge=0, le=MAX_LOOKS)] = DEFAULT_MAX_LOOKS
    elements: str = "auto"
    allow_hosts: list[str] = []
    host: str = "127.0.0.1"
    """Address on which Ray's proxies listen."""
    open: bool = False
    """Listen on an address other than loopback without keys, on purpose."""
    smallest: Annotated[int, Field(ge=0)] = 1
    """Smallest number of replicas."""
    largest: Annotated[int, Field(ge=1)] = 4
    """Largest number of replicas."""
    waiting: Annotated[float, Field(gt=0)] = 16.0
    """Active requests per replica, on average, above which Ray adds replicas."""
    patience: Annotated[float, Field(ge=0)] = 10.0
    """Seconds for which the load must stay above `waiting` before Ray adds replicas."""
    cpus: Annotated[float, Field(ge=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """CPUs and GPUs of a replica; fractions are allowed."""

    def gateway_options(self) -> ServeOptions:
        """Return the options of a single gateway."""
        shared = ("model", "adapter", "backend", "base_url", "options", "rubrics", "keys", "queue",
                  "deadline", "looks", "elements", "allow_hosts", "host", "open")  # fmt: skip
        return ServeOptions(**{name: getattr(self, name) for name in shared}, page=False)


@serve.ingress()
class Gateway:
    """One replica.

    Args:
        options: arguments of the application.
        keys: API keys that are accepted.
    """

    def __init__(self, options: ApplicationOptions, keys: Keys) -> None:
        from judge.serve.log import Log

        self._log = Log()
        self._service = build_service(options.gateway_options(), self._log)
        self._settings = Settings(
            keys=keys, hosts=accepted_hosts(options.host, bool(keys) or options.open), page=False
        )

    def __serve_build_asgi_app__(self) -> Any:
        from judge.serve.http.app import build_app

        app = build_app(self._service, self._settings, self._log)
        start_and_stop = app.router.lifespan_context

        @asynccontextmanager
        async def wait_until_loaded(served: Any) -> AsyncIterator[Any]:
            async with start_and_stop(served) as state:
                while self._service.state == "loading":
                    await asyncio.sleep(0.1)
                await self.check_health()
                yield state

        app.router.lifespan_context = wait_until_loaded
        return app

    async def check_health(self) -> None:
        """Raise `BackendError` if the engine has given up; Ray then replaces this replica."""
        if self._service.state == "failed":
            raise BackendError(f"the engine gave up: {self._service.engine.reason}")


def application(options: ApplicationOptions) -> serve.Application:
    """Build the application, for `serve.run` and for `import_path` in a Serve configuration.

    Args:
        options: arguments of the application; Ray Serve fills them from the configuration.

    Raises:
        InputError: an option is not usable, or a public address has no keys and is not open on purpose.
    """
    if options.smallest > options.largest:
        replicas = f"{options.smallest}:{options.largest}"
        raise InputError("replicas", replicas, "MIN:MAX", "MIN must not be larger than MAX")
    gateway_options, keys = options.gateway_options(), Keys.read(options.keys)
    check_access(gateway_options, keys)
    build_service(gateway_options, lambda event, **fields: None)  # checks its arguments; loads nothing
    deployment = serve.deployment(
        name="Gateway",
        autoscaling_config={
            "min_replicas": options.smallest,
            "max_replicas": options.largest,
            "target_ongoing_requests": options.waiting,
            "upscale_delay_s": options.patience,
            "downscale_delay_s": 30 * options.patience,
            "metrics_interval_s": max(0.1, min(10.0, options.patience / 2)),
            "look_back_period_s": max(0.2, min(30.0, options.patience)),
        },
        # Beyond its queue, the gateway itself answers 429 with a Retry-After header.
        max_ongoing_requests=options.queue + 64,
        graceful_shutdown_timeout_s=SHUTDOWN_SECONDS,
        health_check_period_s=HEALTH_CHECK_SECONDS,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
    )
    bound: serve.Application = deployment(Gateway).bind(options, keys)
    return bound


def parse_options(replicas: str, **fields: Any) -> ApplicationOptions:
    """Return the application's arguments for the options of the command line.

    Args:
        replicas: MIN:MAX, or a number.
        **fields: fields of `ApplicationOptions`.

    Raises:
        InputError: an option is not usable.
    """
    low, _, high = replicas.partition(":")
    try:
        return ApplicationOptions(smallest=int(low), largest=int(high or low), **fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(str(first["loc"][0]), first.get("input"), first["msg"], "correct it") from None
    except ValueError:
        raise InputError("replicas", replicas, "a number, or MIN:MAX", "for example 1:4") from None


def serve_on_ray(options: ApplicationOptions, address: str, port: int, report: Callable[[str], None]) -> None:
    """Serve on a Ray cluster until SIGTERM or SIGINT, then remove the application.

    Args:
        options: arguments of the application.
        address: address of the cluster, as `judge serve --ray` takes it.
        port: port on which Ray's proxies listen.
        report: called with each message for the user.

    Raises:
        InputError: there is no cluster at the address, or an option is not usable.
        BackendError: no replica started.
    """
    bound, stop = application(options), threading.Event()
    with connect_to_ray(address):
        serve.start(http_options={"host": options.host, "port": port})
        try:
            serve.run(bound, name=APPLICATION_NAME, route_prefix="/")
        except RuntimeError as error:
            serve.shutdown()
            raise BackendError(f"no replica started: {' '.join(str(error).split())[:300]}") from None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        replicas = f"{options.smallest} to {options.largest} replicas"
        report(f"{options.model} at http://{options.host}:{port}, {replicas}")
        stop.wait()
        report("stopping: accepted requests are still answered")
        serve.shutdown()

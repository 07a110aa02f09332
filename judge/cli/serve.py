"""`judge serve`: serve the judge over HTTP, on this machine or on a Ray cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from judge.batch.ray_options import Cpus, Gpus, RayAddress
from judge.cli import judges
from judge.cli.options import (
    DEFAULT_MODEL,
    Adapter,
    BackendName,
    BaseUrl,
    ElementsFrom,
    Model,
    ModelOptions,
    OptionsFile,
)
from judge.cli.output import one_line_errors
from judge.errors import JudgeError


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.")] = 8000,
    rubric: Annotated[
        list[str] | None, typer.Option("--rubric", help="A .toml file to offer as well; may be repeated.")
    ] = None,
    model: Model = DEFAULT_MODEL,
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    option: ModelOptions = None,
    options_file: OptionsFile = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="File of key hashes; default: the variable JUDGE_KEYS. Without keys, access is open."
        ),
    ] = None,
    new_key: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Create a key, add its hash to --keys, print the key, and exit."),
    ] = None,
    queue: Annotated[
        int, typer.Option(help="Largest number of requests accepted at once; others get 429.")
    ] = 256,
    deadline: Annotated[float, typer.Option(help="Seconds per request; after that it gets 504.")] = 60.0,
    looks: Annotated[
        int, typer.Option(help="Zoom-ins (closer looks) per image that a request may ask for, at most.")
    ] = 16,
    elements: ElementsFrom = "auto",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host from which images may be fetched by URL; may be repeated. Default: none."),
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the web page at /.")] = True,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Listen on a public address without keys.")
    ] = False,
    ray: RayAddress = None,
    replicas: Annotated[
        str, typer.Option(metavar="MIN:MAX", help="With --ray: number of gateway replicas.")
    ] = "1:4",
    cpus: Cpus = 1.0,
    gpus: Gpus = 0.0,
) -> None:
    """Serve the judge over HTTP, with a web page to try it; with --ray from replicas that follow the load."""
    with one_line_errors():
        try:
            from judge.serve.keys import create_key
            from judge.serve.server import ServeOptions
            from judge.serve.server import serve as run_server
        except ImportError as error:
            raise JudgeError(f"serve: install judge[serve] ({error})") from None
        if new_key is not None:
            key, line = create_key(new_key, keys)
            typer.echo(key)
            typer.echo(f"{line}\nthe key is shown only once; servers need the line above", err=True)
            return
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        shared: dict[str, Any] = {
            "host": host,
            "model": model,
            "adapter": adapter,
            "backend": backend,
            "base_url": base_url,
            "options": judges.parse_judge_options(option, options_file, model, backend, base_url),
            "rubrics": rubric or [],
            "keys": keys,
            "queue": queue,
            "deadline": deadline,
            "looks": looks,
            "elements": elements,
            "allow_hosts": allow_host or [],
            "open": open_to_all,
        }
        if ray is None:
            run_server(ServeOptions(**shared, port=port, page=page))
            return
        try:
            from judge.serve import ray_serve
        except ImportError as error:
            raise JudgeError(f"serve: install judge[ray] ({error})") from None
        options = ray_serve.parse_options(replicas, cpus=cpus, gpus=gpus, **shared)
        ray_serve.serve_on_ray(
            options, ray, port, lambda message: typer.echo(f"judge serve: {message}", err=True)
        )

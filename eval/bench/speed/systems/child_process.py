"""A group of systems in a child process.

Engines bind their threads to cores; in a process of their own they do not bind the threads of other engines.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

from eval.bench.speed.systems.base import SystemGroup, SystemUnavailableError, TimedRun
from judge.types import Depth


class ChildProcessGroup:
    """A `SystemGroup` that runs another group in a child process.

    Args:
        create_group: creates the group; called in the child process.
        arguments: arguments of `create_group`.
    """

    def __init__(self, create_group: Callable[..., SystemGroup], *arguments: Any) -> None:
        self._create_group, self._arguments = create_group, arguments
        self._process: Any = None

    def start(self) -> dict[str, dict[str, Any]]:
        """Start the child process and load the model in it."""
        context = multiprocessing.get_context("spawn")
        self._pipe, child_pipe = context.Pipe()
        # The process is no daemon, because engines have children of their own.
        self._process = context.Process(
            target=_serve_group, args=(child_pipe, self._create_group, self._arguments)
        )
        self._process.start()
        child_pipe.close()
        descriptions: dict[str, dict[str, Any]] = self._receive()
        return descriptions

    def run(self, name: str, depth: Depth, run_id: int, count: int) -> TimedRun:
        """Answer the first `count` samples once."""
        self._pipe.send((name, depth, run_id, count))
        timed_run: TimedRun = self._receive()
        return timed_run

    def stop(self) -> None:
        """End the child process."""
        if self._process is not None:
            self._pipe.close()
            self._process.join(60)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process = None

    def _receive(self) -> Any:
        try:
            reply = self._pipe.recv()
        except EOFError:
            self._process.join(10)
            code = self._process.exitcode
            raise SystemUnavailableError(f"its process ended with exit code {code}") from None
        if isinstance(reply, Exception):
            raise reply
        return reply


def _serve_group(pipe: Any, create_group: Callable[..., SystemGroup], arguments: tuple[Any, ...]) -> None:
    """Run in the child process: answer requests until the pipe is closed."""
    os.dup2(2, 1)  # engines print on standard output, which may only hold the caller's JSON
    group = create_group(*arguments)
    try:
        pipe.send(_call(group.start))
        while True:
            pipe.send(_call(group.run, *pipe.recv()))
    except (EOFError, BrokenPipeError):
        group.stop()


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function and return its result or its exception."""
    try:
        return function(*arguments)
    except SystemUnavailableError as error:
        return error
    except Exception as error:  # some exceptions cannot be pickled
        return RuntimeError(f"{type(error).__name__}: {error}")

"""Runs commands and code as new processes would, without loading the model libraries for each of them.

A child process loads the libraries once. Every command or code runs in a fork of it: it changes no module,
folder or environment of another one, and has an exit status of its own. Loading takes most of the time of a
command.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = """
import json, os, runpy, sys, tempfile, traceback

import judge.cli.app
from judge import Judge
Judge().backend

def run(folder, arguments, code):
    os.chdir(folder)
    try:
        if code is None:
            sys.argv = ["judge", *arguments]
            runpy.run_module("judge", run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = ["-c"], ""
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        return 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1

replies = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    files = [tempfile.TemporaryFile() for _ in range(2)]
    if not (child := os.fork()):
        for number, file in enumerate(files, 1):
            os.dup2(file.fileno(), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        status = run(*json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = []
    for file in files:
        file.seek(0)
        texts.append(file.read().decode())
    print(json.dumps([status, *texts]), file=replies, flush=True)
"""


class Preloaded:
    """A process that runs commands and code in forks.

    Args:
        process: the process, with pipes.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run_command(self, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a line of a shell that begins with `judge`; a comment at its end is left out."""
        _, *arguments = shlex.split(command, comments=True)
        return self._run([str(folder), arguments, None])

    def run_code(self, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run code as `python -c` does."""
        return self._run([str(folder), [], code])

    def _run(self, request: list[object]) -> subprocess.CompletedProcess[str]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        status, stdout, stderr = json.loads(self.process.stdout.readline())
        return subprocess.CompletedProcess(request, status, stdout, stderr)


@contextmanager
def preloaded() -> Iterator[Preloaded]:
    """Start the process, and end it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # a fork has no other threads
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Preloaded(process)
    finally:
        process.communicate(timeout=60)

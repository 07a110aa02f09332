"""The browser that the page is tested in: Debian's chromium. `python tests/browser.py` installs it.

`make test` runs this before pytest. It never fails: where there is no browser and none can be installed,
it says why, and the tests that need one are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""For machines without a display, a GPU or user namespaces, and without calls home."""
_APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::Retries=2")
_STEPS = (
    (180, (*_APT, "update")),
    (600, (*_APT, "install", "-y", "--no-install-recommends", "chromium")),
)
"""Longest time in seconds, and command."""


def found() -> str | None:
    """Path of the browser, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def install() -> str:
    """Install the browser unless it is there. Returns "" or why there is none."""
    if found():
        return ""
    if shutil.which("apt-get") is None:
        return "there is no apt-get here"
    if os.geteuid() != 0:
        return "installing takes root: apt-get install chromium"
    print("installing chromium, which the page is tested in ...", flush=True)
    for seconds, command in _STEPS:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            done = subprocess.run(
                command, env=environment, timeout=seconds, capture_output=True, text=True, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{' '.join(command)} took more than {seconds} seconds"
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            return f"{' '.join(command)} failed: {' '.join(last)}"
    return "" if found() else "apt-get installed none"


if __name__ == "__main__":
    if reason := install():
        print(f"no chromium ({reason}): the tests of the page are skipped")

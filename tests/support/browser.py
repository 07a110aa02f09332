"""The browser for the tests of the page: Debian's Chromium. `python tests/support/browser.py` installs it.

`make test` runs this before pytest. It never fails. If there is no browser and none can be installed, it
prints the reason, and the tests that need a browser are skipped.
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
"""Flags for machines without a display, a GPU or user namespaces. They also turn off network requests that
the browser makes by itself."""
_APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::Retries=2")
_INSTALL_STEPS = (
    (180, (*_APT, "update")),
    (600, (*_APT, "install", "-y", "--no-install-recommends", "chromium")),
)
"""Time limit in seconds, and command."""


def find_browser() -> str | None:
    """Return the path of the browser, or None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def install_browser() -> str:
    """Install the browser if there is none. Returns the reason if that fails, otherwise an empty string."""
    if find_browser():
        return ""
    if shutil.which("apt-get") is None:
        return "this system has no apt-get"
    if os.geteuid() != 0:
        return "installing needs root: apt-get install chromium"
    print("installing chromium for the tests of the page ...", flush=True)
    for seconds, command in _INSTALL_STEPS:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            done = subprocess.run(
                command, env=environment, timeout=seconds, capture_output=True, text=True, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{' '.join(command)} took more than {seconds} seconds"
        if done.returncode:
            last_line = (done.stderr or done.stdout).strip().splitlines()[-1:]
            return f"{' '.join(command)} failed: {' '.join(last_line)}"
    return "" if find_browser() else "apt-get did not install a browser"


if __name__ == "__main__":
    if reason := install_browser():
        print(f"no chromium ({reason}): the tests of the page are skipped")

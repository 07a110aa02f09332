"""Run `judge eval` as `python -m eval.cli`."""

import sys

from eval.cli.app import app

if __name__ == "__main__":
    sys.exit(app(prog_name="judge eval"))

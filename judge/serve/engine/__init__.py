"""The engine: a separate process that runs the model, and the gateway's side of it.

    supervisor  `Engine`: starts the process, sends it requests, restarts it when it dies
    worker      what runs inside the process: loads a backend and answers requests
    ipc         the messages between the two, and how the process builds its backend

Imports from below: `judge.backends` (requests and replies), `judge.pipeline` (`ModelInfo`), `judge.runtime`.
"""

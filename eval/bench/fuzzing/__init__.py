"""Damaged inputs, made by a seed, and how they are taken: read, refused by one clear error, or a crash.

- `originals`: valid images, videos, tables and requests.
- `mutations`: damage to bytes and to JSON values.
- `targets`: what is done with each kind of input, and its limits of time and memory.
- `stand_in`: answers the requests in place of a model.
- `run`: processes that try the inputs; counts, the slowest input, crashes.
"""

"""Threads, processes and safe unpickling.

- `threads`: how many threads a process uses, and how OpenMP's threads wait
- `thread_map`: applies a function to many items in threads
- `process_pool`: a pool of processes for drawing and measuring
- `ray_cluster`: connects to a Ray cluster or starts one
- `safe_pickle`: reads pickles from untrusted sources
- `version`: the version of this package

It imports `judge.errors`.
"""

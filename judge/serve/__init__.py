"""`judge serve`: a gateway that serves the judge over HTTP, with a web page to try it.

    server        `serve` runs a gateway on this machine
    ray_serve     the same on Ray Serve, with replicas whose number follows the load
    service       accepts requests up to a limit, and answers each before its deadline
    sample_judge  judges one sample: fetch, decode, prepare, ask the engine
    engine/       the process that runs the model, and its supervision
    http/         routes, request parsing, errors, middleware
    page/         the web page
    settings      keys, allowed host names and limits of the HTTP side
    keys          API keys
    fetcher       fetches images by URL from allowed hosts
    metrics       metrics for Prometheus
    log           the structured log

The rooms below do the judging: `judge.judge`, `judge.agent` (zoom-ins), `judge.explain`, `judge.pipeline`,
`judge.rubrics`, `judge.media`. The gateway's process loads no model library; only the engine process does.
"""

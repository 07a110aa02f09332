"""Use a judge that runs elsewhere: the client of `judge serve`, and `Judge("http://...")` on top of it.

    client         `Client`, with blocking and awaitable methods
    calls          what each call of the client sends and how it reads the response
    payloads       request bodies: files, form fields and rows
    responses      responses as data or as errors
    retries        sends a request again while the server is full or restarting
    remote_judge   what `Judge` does when its model is the address of a gateway

Imports from below: the pipeline (validation), media, rubrics, runtime, types and errors.
"""

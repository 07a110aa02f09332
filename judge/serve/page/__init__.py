"""The web page of `judge serve`: give it an image and its prompt, and look at the verdict. Built with Gradio.

    app         the page's layout and events; `mount` puts it on the gateway
    access      what a request may reach: the routes and inputs of Gradio that are allowed
    fields      the input fields, and Gradio's theme
    events      what a click does: call the service, and show its answer or its error
    markup      verdicts, comparisons and errors as HTML
    sections    the sections of a verdict as HTML
    formatting  text, numbers, boxes and images as HTML
    examples    scenes to try, drawn when the page is first opened
    page.css, page.js  style, and what happens in the browser

Imports from below: `judge.serve.service`, `judge.scenes`, `judge.explain`, `judge.media`, `judge.types`.
"""

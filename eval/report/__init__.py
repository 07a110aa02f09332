"""The report of one or several runs: an HTML page, plots, and the numbers behind them.

    judge eval report RUN... --out DIR

- `report`: write the files of a report (`write_report`).
- `reading`: read the runs into columns over the rows of the data (`read_report_data`).
- `data`: the columns of all runs and what is derived from them (`ReportData`).
- `answers`: the columns of one run (`RunAnswers`, `ElementAnswers`).
- `comparisons`: differences between runs, accuracy by kind, calibration.
- `rankings`: generators ranked by their mean score.
- `selection`: the rows whose images are shown.
- `page`, `gallery`: the HTML page and its images; `page.html.jinja` and `style.css` are its template and
  style.
- `plots`: the plots that the data allows, as PNG and SVG.
- `score_plots`, `element_plots`: the drawing functions.
- `plot_style`: colours, fonts and common parts of the plots.

Imports `eval.runs`, `eval.suites` and `eval.metrics` from below, and from `judge` the types, the errors, the
media and the explanations.
"""

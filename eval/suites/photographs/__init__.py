"""Benchmarks of photographs.

    `live_itw`: LIVE In the Wild, photographs from phones.
    `uhd_iqa`: UHD-IQA, photographs of 4K and more.
    `piq23`: PIQ23, portraits ranked within scenes.
    `vquala_face`: VQualA 2025, quality of face images.
    `face_restoration`: NTIRE 2025, a ranking of restored faces from values of metrics.

Imports from below: `eval.suites.shared`, `eval.suites.readers`, `eval.metrics` and `judge`.
"""

"""Benchmarks of AI-generated images with human scores or detailed labels.

One human score (MOS) per image:
    `agiqa_1k`, `agiqa_3k`, `aigciqa2023`, `aigiqa_20k`, `qeval_image`.
Agreement with the prompt:
    `evalmuse_alignment` (also element by element), `genai_bench`.
Regions of defects:
    `evalmuse_structure`, `richhf_18k`, `sdg_30k`.

Imports from below: `eval.suites.shared`, `eval.suites.readers`, `eval.metrics` and `judge`.
"""

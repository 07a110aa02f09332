"""Measuring judges: metrics, benchmark suites, and the numbers of the README."""

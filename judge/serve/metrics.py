"""Metrics for Prometheus. Each gateway has its own registry, so several fit into one process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from judge.serve.service import Service

SECONDS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STATES = ("loading", "ready", "restarting", "draining", "failed")


class Metrics:
    """Counts requests as they end, and reads everything else from the service at each scrape.

    Args:
        service: the service to read.
    """

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "judge_requests", "Answered requests.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "judge_request_seconds",
            "Time to answer.",
            ["route"],
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_ServiceCollector(service))

    def record_request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _ServiceCollector:
    """Gauges and counters whose values the service holds."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        service, engine = self._service, self._service.engine
        yield GaugeMetricFamily("judge_inside", "Requests accepted and not yet answered.", service.active)
        yield GaugeMetricFamily("judge_queue_limit", "Largest number of accepted requests.", service.queue)
        yield GaugeMetricFamily(
            "judge_engine_in_flight", "Requests that the engine works on.", engine.in_flight
        )
        yield CounterMetricFamily("judge_engine_restarts", "Restarts of the engine.", engine.restarts)
        state = GaugeMetricFamily("judge_state", "1 for the state the service is in.", labels=["state"])
        for name in STATES:
            state.add_metric([name], float(service.state == name))
        yield state
        verdicts = CounterMetricFamily(
            "judge_verdicts", "Verdicts given, including unscored ones.", labels=["rubric", "depth", "status"]
        )
        for labels, number in service.verdict_counts.items():
            verdicts.add_metric(labels, number)
        yield verdicts

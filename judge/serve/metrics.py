"""What Prometheus is told. Each gateway has a registry of its own, so that several fit into one process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from judge.serve.service import Service

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STATES = ("loading", "ready", "restarting", "draining", "failed")


class Metrics:
    """Counts requests as they end; the rest is read off the service whenever it is asked for."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "judge_requests", "Answered requests.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "judge_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=self.registry
        )
        self.registry.register(_Readings(service))

    def request(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Readings:
    """Gauges and counters that the service keeps anyway."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        service, engine = self._service, self._service.engine
        yield GaugeMetricFamily("judge_inside", "Requests let in and not yet answered.", service.inside)
        yield GaugeMetricFamily("judge_queue_limit", "Requests that are let in at most.", service.queue)
        yield GaugeMetricFamily("judge_engine_in_flight", "Asks the engine has in hand.", engine.in_flight)
        yield CounterMetricFamily("judge_engine_restarts", "Engines started again.", engine.restarts)
        state = GaugeMetricFamily("judge_state", "1 for the state the service is in.", labels=["state"])
        for name in STATES:
            state.add_metric([name], float(service.state == name))
        yield state
        verdicts = CounterMetricFamily(
            "judge_verdicts", "Verdicts given, unscored ones too.", labels=["rubric", "depth", "status"]
        )
        for labels, number in service.judged.items():
            verdicts.add_metric(labels, number)
        yield verdicts

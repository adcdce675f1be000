"""The basics of what a scraper wants to know, in Prometheus' terms; no label has a value of a secret."""

from collections.abc import Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from certfront.engine.queue import WorkQueue
from certfront.engine.store import Store
from certfront.model.times import from_text

_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class Metrics:
    """Counts what happens; gauges are read from the store and the queue when they are scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            "certfront_reconciles",
            "Passes by kind and outcome.",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "certfront_reconcile_seconds",
            "Duration of a pass.",
            ("kind",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._requests = Counter(
            "certfront_api_requests",
            "Requests to the API server by verb and status; 0 for no answer.",
            ("verb", "status"),
            registry=self.registry,
        )
        # A series is looked up under a lock and by text: the few there are, once.
        self._series_of_passes = cache(
            lambda kind, outcome: (
                self._reconciles.labels(kind, outcome),
                self._seconds.labels(kind),
            )
        )
        self._series_of_requests = cache(
            lambda verb, status: self._requests.labels(verb, str(status))
        )
        self._events = Counter(
            "certfront_events", "Events posted by reason.", ("reason",), registry=self.registry
        )

    def reconciled(self, kind: str, outcome: str, seconds: float) -> None:
        """A pass has ended."""
        passes, durations = self._series_of_passes(kind, outcome)
        passes.inc()
        durations.observe(seconds)

    def requested(self, verb: str, status: int) -> None:
        """A request was sent to the API server."""
        self._series_of_requests(verb, status).inc()

    def event_posted(self, reason: str) -> None:
        """An Event was posted."""
        self._events.labels(reason).inc()

    def watch(self, store: Store, queue: WorkQueue) -> None:
        """Let scrapes read gauges from the store and the queue."""
        self.registry.register(_State(store, queue))

    def exposition(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self.registry)


class _State(Collector):
    """Gauges that are computed at the scrape, so that they cost nothing in between."""

    def __init__(self, store: Store, queue: WorkQueue) -> None:
        self._store = store
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        """Queue depth and age, and the expiry of every certificate."""
        yield GaugeMetricFamily(
            "certfront_queue_depth", "Keys that wait for a worker.", value=self._queue.depth()
        )
        yield GaugeMetricFamily(
            "certfront_queue_oldest_seconds",
            "How long the oldest key has waited.",
            value=self._queue.oldest_age(),
        )
        expiry = GaugeMetricFamily(
            "certfront_certificate_expiry_timestamp_seconds",
            "When the certificate in force ends.",
            labels=("namespace", "name"),
        )
        ready = GaugeMetricFamily(
            "certfront_certificate_ready",
            "1 while the certificate is Ready.",
            labels=("namespace", "name"),
        )
        for obj in self._store.items("Certificate"):
            name = (obj["metadata"]["namespace"], obj["metadata"]["name"])
            status = obj.get("status") or {}
            if status.get("notAfter"):
                expiry.add_metric(name, from_text(status["notAfter"]).timestamp())
            ready.add_metric(name, float(_is_ready(status)))
        yield expiry
        yield ready


def _is_ready(status: dict[str, object]) -> bool:
    conditions = status.get("conditions")
    return isinstance(conditions, list) and any(
        c.get("type") == "Ready" and c.get("status") == "True" for c in conditions
    )

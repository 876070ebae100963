"""What is counted for Prometheus; with several workers, the sums of all of them."""

import os
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where workers keep their counts; prometheus-client reads it when it is imported."""
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters of one server. Names are documented in docs/serving.md."""

    media_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = own = CollectorRegistry()
        self._requests = Counter("recdistill_requests", "Requests answered.", ["path", "status"], registry=own)
        self._seconds = Histogram(
            "recdistill_request_seconds", "From request to answer.", ["path"], buckets=SECONDS, registry=own
        )
        self._model = Histogram("recdistill_model_seconds", "One batch in the model.", buckets=SECONDS, registry=own)
        self._batch = Histogram("recdistill_model_batch_size", "Histories in a batch.", buckets=SIZES, registry=own)
        self._answers = Counter("recdistill_answers", "Histories answered, by who ranked.", ["source"], registry=own)
        self._unknown = Counter("recdistill_unknown_items", "Unknown items that were skipped.", registry=own)
        self._reloads = Counter("recdistill_reloads", "Bundles loaded while serving.", ["outcome"], registry=own)
        self._workers = Gauge(
            "recdistill_bundle_workers",
            "Workers that serve a bundle.",
            ["name", "fingerprint"],
            multiprocess_mode="livesum",
            registry=own,
        )
        self._waiting = Gauge(
            "recdistill_slow_requests", "Slow requests at work.", multiprocess_mode="livesum", registry=own
        )
        self._by_status: dict[tuple[str, int], Counter] = {}
        self._by_path: dict[str, Histogram] = {}
        self._by_source = {source: self._answers.labels(source) for source in ("model", "popularity")}

    def requested(self, path: str, status: int, seconds: float) -> None:
        """A request was answered; `path` is one of the documented ones, or `other`."""
        if (path, status) not in self._by_status:
            self._by_status[path, status] = self._requests.labels(path, str(status))
            self._by_path[path] = self._seconds.labels(path)
        self._by_status[path, status].inc()
        self._by_path[path].observe(seconds)

    def scored(self, seconds: float, histories: int) -> None:
        """The model scored some histories at once."""
        self._model.observe(seconds)
        self._batch.observe(histories)

    def answered(self, source: str, unknown: int) -> None:
        """A history was answered."""
        self._by_source[source].inc()
        if unknown:
            self._unknown.inc(unknown)

    def serves(self, bundle: Mapping[str, str], before: Mapping[str, str] | None = None) -> None:
        """This worker serves another bundle than before."""
        if before is not None:
            self._workers.labels(before["name"], before["fingerprint"]).set(0)
        self._workers.labels(bundle["name"], bundle["fingerprint"]).set(1)

    def reloaded(self, outcome: str) -> None:
        """A bundle was loaded while serving (`changed`, `same`), or could not be (`refused`)."""
        self._reloads.labels(outcome).inc()

    def content(self, slow: int) -> bytes:
        """What Prometheus reads; `slow` is the number of slow requests in this worker."""
        self._waiting.set(slow)
        registry = self.registry
        if FOLDER_VARIABLE in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

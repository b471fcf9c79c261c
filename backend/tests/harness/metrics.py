"""Reading what the API tells Prometheus."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from harness.server import Server


def samples(server: Server, name: str, **labels: str) -> list[Sample]:
    """The samples of `name` that have these labels."""
    text = server.get("/metrics").text
    return [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def value(server: Server, name: str, **labels: str) -> float:
    """Their sum; 0 when there is none."""
    return sum(sample.value for sample in samples(server, name, **labels))

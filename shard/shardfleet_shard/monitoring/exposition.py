"""Readings as Prometheus reads them: the text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .table import Buckets, Kind, Reading, label_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_TYPES = {Kind.COUNTER: "counter", Kind.UP_DOWN_COUNTER: "gauge", Kind.GAUGE: "gauge", Kind.HISTOGRAM: "histogram"}


def to_text(readings: Iterable[Reading], constant: Mapping[str, str]) -> bytes:
    """All readings, each metric's together.

    Args:
        constant: attributes of the process, which every line carries: Prometheus knows no resource.
    """
    families: dict[str, list[Reading]] = {}
    for reading in readings:
        families.setdefault(reading.metric.name, []).append(reading)
    fixed = "".join(f'{label_of(name)}="{_escape(value)}",' for name, value in constant.items())
    lines: list[str] = []
    for family in families.values():
        metric = family[0].metric
        name, labels = metric.prometheus_name, [attribute.label for attribute in metric.attributes]
        lines.append(f"# HELP {name} {_escape(metric.description, quotes=False)}")
        lines.append(f"# TYPE {name} {_TYPES[metric.kind]}")
        for reading in family:
            pairs = zip(labels, reading.attributes, strict=True)
            lines += _lines_of(name, fixed + "".join(f'{label}="{_escape(value)}",' for label, value in pairs), reading)
    return ("\n".join(lines) + "\n").encode()


def _lines_of(name: str, labels: str, reading: Reading) -> list[str]:
    """``labels``: each with a comma behind it; the format allows one before the brace."""
    value, braced = reading.value, f"{{{labels}}}" if labels else ""
    if not isinstance(value, Buckets):
        return [f"{name}{braced} {value!r}"]
    lines, below = [], 0
    for bound, count in zip((*reading.metric.bounds, "+Inf"), value.counts, strict=True):
        below += count
        lines.append(f'{name}_bucket{{{labels}le="{bound}"}} {below}')
    lines.append(f"{name}_sum{braced} {value.total!r}")
    lines.append(f"{name}_count{braced} {below}")
    return lines


def _escape(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text

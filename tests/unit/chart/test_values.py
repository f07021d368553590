"""What the chart takes as values, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from .helm import CHART, helm, needs_helm, options, template
from .variants import VARIANTS

pytestmark = needs_helm


@pytest.mark.parametrize("variant", VARIANTS)
def test_lint(variant: str) -> None:
    result = helm("lint", "--strict", str(CHART), *options(VARIANTS[variant]))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "[WARNING]" not in result.stdout and "[ERROR]" not in result.stdout


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"redis.enabld": True}, "enabld"),
        ({"replicas": 2}, "replicas"),
        ({"image.repository": ""}, "image/repository|image.repository"),
        ({"image.pullPolicy": "Sometimes"}, "pullPolicy"),
        ({"redis.persistence.size": "much"}, "size"),
        ({"crds.keep": "yes"}, "keep"),
        ({"operator.namespaces": ["a", "a"]}, "namespaces"),
        ({"metrics.podMonitor.interval": "often"}, "interval"),
        ({"metrics.enabled": True}, "enabled"),
        ({"operator.logFormat": "xml"}, "logFormat"),
        ({"operator.env": ["A=b"]}, "env"),
        ({"map.hosts": ["http://x"]}, "hosts"),
        ({"map.port": 80}, "port"),
        ({"redis.existingSecret": "Our_Redis"}, "existingSecret"),
        ({"redis.existingSecret": "our-redis"}, "redis.enabled=false"),
    ],
)
def test_values_that_are_refused(values: dict[str, Any], said: str) -> None:
    result = template(values)
    assert result.returncode != 0
    assert any(word in result.stderr for word in said.split("|")), result.stderr

"""The CRD, what helm says and asks at an install, a test and an uninstall, and two releases beside each other."""

from __future__ import annotations

import yaml

from .api_server import ApiServer
from .helm import NAMESPACE, ROOT, needs_helm, notes, of_kind, render
from .variants import EVERYTHING, EXTERNAL, NOTHING

pytestmark = needs_helm


def test_the_crd() -> None:
    source = yaml.safe_load((ROOT / "crds" / "shardfleets.yaml").read_text())
    [crd] = of_kind(render(), "CustomResourceDefinition").values()
    assert crd["spec"] == source["spec"] and crd["metadata"]["name"] == source["metadata"]["name"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    [crd] = of_kind(render({"crds.keep": False}), "CustomResourceDefinition").values()
    assert "helm.sh/resource-policy" not in crd["metadata"].get("annotations", {})
    assert not of_kind(render({"crds.install": False}), "CustomResourceDefinition")


def test_uninstalling_asks_for_living_fleets_first() -> None:
    job = of_kind(render({"operator.namespaces": ["play"]}), "Job")["shardfleet-uninstall"]
    assert job["metadata"]["annotations"] == {
        "helm.sh/hook": "pre-delete",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        "helm.sh/hook-output-log-policy": "hook-failed",
    }
    assert job["spec"]["backoffLimit"] == 0
    spec = job["spec"]["template"]["spec"]
    assert spec["restartPolicy"] == "Never" and spec["serviceAccountName"] == "shardfleet"
    [container] = spec["containers"]
    assert container["args"] == ["fleets", "--none", "--namespace=play"]


def test_helm_test() -> None:
    [pod] = of_kind(render(), "Pod").values()
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["args"] == ["fleets"]


def test_notes() -> None:
    with ApiServer() as server:
        text = notes({}, server.kubeconfig)
        assert f"is in namespace {NAMESPACE}." in text and "ClusterRole shardfleet-viewer" in text
        assert "`helm uninstall` refuses while there are ShardFleets" in text and "WARNING" not in text
        assert "Every fleet must name its Redis" in notes(NOTHING, server.kubeconfig)
        assert "Secret our-redis" in notes(EXTERNAL, server.kubeconfig)
        text = notes(EVERYTHING, server.kubeconfig)
        assert "for fleets in play, test." in text and "deletes all ShardFleets first" in text


def test_two_releases_share_nothing() -> None:
    def names(release: str) -> set[tuple[str, str, str]]:
        return {
            (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
            for one in render({"crds.install": False}, release=release)
        }

    assert not names("shardfleet") & names("other")

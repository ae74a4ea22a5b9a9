from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simsearch.errors import ClusterError, ConfigError
from simsearch.runtime import ClusterSpec, open_cluster
from simsearch.runtime.clusters import kubernetes as module
from tests.runtime.clusters.fake_kubernetes import FakeKubernetes, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPEC = ClusterSpec("kubernetes", image="registry.example.org/simsearch:1", workers=2, memory=4 * 2**30, cores=3)
FORBIDDEN = 'daskclusters.kubernetes.dask.org is forbidden: User "u" cannot create resource "daskclusters"'


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    monkeypatch.setattr(module, "_POLL_S", 0.02)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with serving(tmp_path) as state:
        monkeypatch.setenv("KUBECONFIG", str(state.kubeconfig))
        yield state


def refused(spec: ClusterSpec) -> str:
    with pytest.raises((ClusterError, ConfigError)) as error, open_cluster(spec):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_run_has_pods_of_its_own_that_end_with_it(kubernetes: FakeKubernetes) -> None:
    with open_cluster(SPEC) as client:
        assert client.submit(sum, [1, 2]).result() == 3
        assert list(client.nthreads().values()) == [2, 2]
        assert kubernetes.deleted == []
    assert kubernetes.deleted == ["daskclusters"]
    cluster, secret = kubernetes.made["DaskCluster"], kubernetes.made["Secret"]
    name = cluster["metadata"]["name"]
    assert name.startswith("simsearch-")
    (owner,) = secret["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "name": name, "uid": "0a1b"}


def test_a_run_that_fails_leaves_nothing(kubernetes: FakeKubernetes) -> None:
    with pytest.raises(KeyError), open_cluster(SPEC):
        raise KeyError
    assert kubernetes.deleted == ["daskclusters"]


def test_what_keeps_pods_from_coming_up_is_told_in_the_words_of_kubernetes(kubernetes: FakeKubernetes) -> None:
    spec = replace(SPEC, wait=0.1)
    kubernetes.has_operator = False
    assert "within 0 s, got no pod (does Dask's operator run?): mend" in refused(spec)
    told = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    of_another = {"involvedObject": {"kind": "Pod", "name": "other"}, "type": "Warning", "reason": "x", "message": "y"}
    kubernetes.events += [of_another]

    def name_events() -> list[dict[str, object]]:
        pod = f"{kubernetes.made['DaskCluster']['metadata']['name']}-scheduler-0a1b"
        about = {"kind": "Pod", "name": pod}
        old = {
            "involvedObject": about,
            "type": "Warning",
            "reason": "Old",
            "message": "",
            "lastTimestamp": "2026-01-01",
        }
        return [of_another, old | {"reason": "FailedScheduling", "message": told, "lastTimestamp": "2026-01-02"}, old]

    kubernetes.start_pods = lambda: kubernetes.events.__setitem__(slice(None), name_events())  # type: ignore[method-assign]
    assert f"-scheduler-0a1b: FailedScheduling: {told}: mend" in refused(spec)
    assert kubernetes.deleted == ["daskclusters"] * 2


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((403, FORBIDDEN), f"to make a DaskCluster in namespace here, got 403, {FORBIDDEN}: ask for the rights"),
        ((404, "the server could not find the requested resource"), "got 404, .*: install Dask's operator"),
        ((500, "etcd is away"), "got 500, .*: see what `kubectl get events`"),
    ],
    ids=["forbidden", "no operator", "broken"],
)
def test_a_refusal_is_told_with_the_way_out(kubernetes: FakeKubernetes, refusal: tuple[int, str], words: str) -> None:
    kubernetes.refusal = refusal
    with pytest.raises(ClusterError, match=words), open_cluster(SPEC):
        pass
    assert kubernetes.deleted == []


def test_no_kubeconfig_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert refused(SPEC).startswith("expected a kubeconfig that says where Kubernetes is, got ")


def test_an_api_server_that_is_away_is_told(kubernetes: FakeKubernetes) -> None:
    text = kubernetes.kubeconfig.read_text()
    kubernetes.kubeconfig.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", text))  # where nobody listens
    assert refused(SPEC).startswith("expected an API server of Kubernetes that answers, got ")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kr8s", None)
    assert "pip install 'simsearch[kubernetes]'" in refused(SPEC)

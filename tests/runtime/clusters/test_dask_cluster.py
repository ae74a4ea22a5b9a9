from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from simsearch.errors import ConfigError
from simsearch.runtime.clusters.dask_cluster import fill_template, find_trouble, make_secret, read_template
from simsearch.runtime.clusters.spec import ClusterSpec
from tests.deploy.manifests import applied, containers, running, templates
from tests.deploy.schemas import complaints

if TYPE_CHECKING:
    from pathlib import Path

SPEC = ClusterSpec("kubernetes", image="registry.example.org/simsearch:1", workers=2, memory=4 * 2**30, cores=3)


def test_what_is_asked_for_is_what_kubernetes_and_the_operator_take() -> None:
    made = fill_template(read_template(), "simsearch-ab", SPEC)
    secret = make_secret("simsearch-ab", made | {"metadata": {"uid": "0a1b"}}, "PEM", "PEM")
    assert [complaints(each) for each in (made, secret, *running([made]))] == [[]] * 5
    pods = templates(running([made]))
    assert [c["image"] for pod in pods.values() for c in containers(pod)] == [SPEC.image] * 2
    for pod in pods.values():
        (key,) = (volume for volume in pod["spec"]["volumes"] if volume["name"] == "tls")
        assert key["secret"]["secretName"] == secret["metadata"]["name"] == "simsearch-ab-tls"
    (worker,) = containers(pods["simsearch-ab-default-worker-0a1b"])
    assert {each["name"]: each["value"] for each in worker["env"]}["DASK_SCHEDULER_ADDRESS"] == (
        "tls://simsearch-ab-scheduler:8786"
    )
    wanted = {"cpu": "3", "memory": str(4 * 2**30)}
    assert worker["resources"] == {"requests": wanted, "limits": wanted}
    assert made["spec"]["worker"]["replicas"] == 2
    assert made["spec"]["scheduler"]["service"]["selector"].items() <= (
        pods["simsearch-ab-scheduler"]["metadata"]["labels"].items()
    )


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_a_cluster_like_the_one_that_is_deployed_can_be_had(overlay: str, tmp_path: Path) -> None:
    deployed = applied(overlay)
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all(deployed))
    made = fill_template(read_template(path), "simsearch-ab", ClusterSpec("kubernetes"))
    (before,) = (each for each in deployed if each["kind"] == "DaskCluster")
    ours, theirs = (each["spec"]["worker"]["spec"]["containers"][0] for each in (made, before))
    assert (ours["args"], ours["resources"], ours["image"]) == (theirs["args"], theirs["resources"], theirs["image"])
    assert made["spec"]["worker"]["replicas"] == before["spec"]["worker"]["replicas"]
    assert complaints(made) == []


def test_without_an_image_there_are_no_pods() -> None:
    with pytest.raises(ConfigError, match=r"expected the image of simsearch .* got none: .*SIMSEARCH_CLUSTER_IMAGE"):
        fill_template(read_template(), "simsearch-ab", ClusterSpec("kubernetes"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Deployment", "expected one DaskCluster, got 0"),
        ("kind: DaskCluster\n---\nkind: DaskCluster", "expected one DaskCluster, got 2"),
        ("kind: DaskCluster\nspec: {worker: {}}", "expected scheduler and worker with containers and a volume tls"),
        ("a: [", "expected a manifest in YAML, got ParserError"),
    ],
)
def test_another_manifest_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"mine\.yaml: {words}"):
        read_template(path)
    with pytest.raises(ConfigError, match=r"none\.yaml: expected a manifest in YAML, got FileNotFoundError"):
        read_template(tmp_path / "none.yaml")


def test_pods_that_begin_are_no_trouble() -> None:
    pod = {
        "metadata": {"name": "w"},
        "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]},
    }
    assert find_trouble([pod, {"metadata": {"name": "v"}}], [{"type": "Normal"}]) == ""

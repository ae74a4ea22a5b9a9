"""Manifests: what an API server and the Dask operator would take, and what holds between them. No pod is run."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from simsearch.cli import main
from simsearch.runtime.clusters.spec import resolve_cluster
from tests.deploy.kustomize import build, load_objects, selected
from tests.deploy.manifests import FOLDER, MANIFEST, OVERLAYS, ROOT, applied, containers, matches, running, templates
from tests.deploy.schemas import NEWEST, OLDEST, complaints
from tests.docs.blocks import blocks_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.kustomize import Object

PAGE = "deploy/kubernetes/README.md"


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return applied(request.param)


@pytest.fixture
def everything(objects: list[Object]) -> list[Object]:
    return running(objects)


def key(thing: Object) -> tuple[str, str]:
    return thing["kind"], thing["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_built_here_is_what_kubectl_builds(overlay: str) -> None:
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("no kubectl: its own kustomize was not asked")
    done = subprocess.run([kubectl, "kustomize", FOLDER / "overlays" / overlay], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(load_objects(done.stdout), key=key) == sorted(applied(overlay), key=key)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_what_the_api_server_expects(objects: list[Object], version: str) -> None:
    everything = [*objects, *(each for each in running(objects) if each not in objects)]
    assert {key(each): found for each in everything if (found := complaints(each, version))} == {}


@pytest.mark.parametrize(
    ("thing", "path", "mistake"),
    [
        ("Deployment/simsearch", ["spec"], {"replica": 2}),
        ("Deployment/simsearch", ["spec"], {"replicas": "one"}),
        ("Deployment/simsearch", ["spec", "template", "spec", "containers", 0, "securityContext"],
         {"readOnlyRootFileSystem": True}),
        ("Ingress/simsearch", ["spec", "rules", 0, "http", "paths", 0], {"pathtype": "Prefix"}),
        ("NetworkPolicy/simsearch-worker", ["spec", "ingress", 0], {"form": []}),
        ("PodDisruptionBudget/simsearch-server", ["spec"], {"minAvailible": 1}),
        ("PersistentVolumeClaim/simsearch", ["spec"], {"accessMode": ["ReadWriteMany"]}),
        ("DaskCluster/simsearch", ["spec"], {"schedulers": {}}),
        ("DaskCluster/simsearch", ["spec", "worker"], {"replica": 2}),
        ("DaskCluster/simsearch", ["spec", "worker"], {"replicas": "two"}),
        ("DaskCluster/simsearch", ["spec", "worker", "spec", "containers", 0, "securityContext"],
         {"readOnlyRootFileSystem": True}),
        ("DaskCluster/simsearch", ["spec", "scheduler", "spec", "containers", 0], {"readynessProbe": {}}),
        ("DaskCluster/simsearch", ["spec", "scheduler", "service"], {"typ": "ClusterIP"}),
    ],
)  # fmt: skip
def test_a_planted_mistake_is_refused(thing: str, path: list[Any], mistake: dict[str, Any]) -> None:
    kind, name = thing.split("/")
    (planted,) = selected(applied("cpu"), {"kind": kind, "name": name})
    assert complaints(planted) == []
    place = planted
    for step in path:
        place = place[step]
    place.update(mistake)
    (word,) = mistake
    assert word in " ".join(complaints(planted))


def copied(folder: Path) -> Path:
    """Copy the manifests, to change them."""
    for part in (FOLDER, MANIFEST):
        shutil.copytree(part, folder / part.relative_to(ROOT))
    return folder / FOLDER.relative_to(ROOT)


def test_a_kustomization_with_a_planted_mistake_is_not_built(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    overlay = folder / "overlays/gpu/kustomization.yaml"
    text = overlay.read_text()
    for right, wrong in [("args/4, value: --nthreads", "args/4, value: --threads"), ("patches:", "patchez:")]:
        assert right in text
        overlay.write_text(text.replace(right, wrong))
        with pytest.raises(AssertionError):
            build(overlay.parent)
    overlay.write_text(text)
    base = folder / "base/kustomization.yaml"
    base.write_text(base.read_text().replace("spec.ingressClassName", "spec.ingressClass"))
    with pytest.raises(AssertionError, match="no such field"):
        build(overlay.parent)


def test_all_that_differs_between_clusters_comes_from_the_settings(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    path = folder / "base/settings.yaml"
    settings = yaml.safe_load(path.read_text())
    for name, value in settings["spec"].items():
        changed = copy.deepcopy(settings)
        changed["spec"][name] = value + 1 if isinstance(value, int) else f"{value}x"
        path.write_text(yaml.safe_dump(changed))
        built = build(folder / "overlays/cpu")
        assert built != applied("cpu"), name
        old = f'"{value}"' if isinstance(value, str) else f'"replicas": {value}'
        assert old not in json.dumps(built), name
    assert "set-in-settings" not in json.dumps(built)


def test_every_container_is_confined_and_limited(everything: list[Object]) -> None:
    pods = templates(everything)
    assert set(pods) == {"simsearch", "simsearch-scheduler", "simsearch-default-worker-0a1b"}
    for template in pods.values():
        spec = template["spec"]
        identity = spec["securityContext"]
        assert identity["runAsNonRoot"] is True
        assert min(identity[each] for each in ("runAsUser", "runAsGroup", "fsGroup")) >= 1000
        assert identity["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        written = {volume["name"] for volume in spec["volumes"] if "sizeLimit" in volume.get("emptyDir", {})}
        for container in containers(template):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])
            assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert {"name": "HOME", "value": "/tmp"} in container["env"]
            assert mounts["/tmp"] in written


def test_what_is_referred_to_is_there(everything: list[Object]) -> None:
    claims = {each["metadata"]["name"] for each in selected(everything, {"kind": "PersistentVolumeClaim"})}
    secrets = made_by_the_page()
    for template in templates(everything).values():
        volumes = {each["name"]: each for each in template["spec"]["volumes"]}
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
            if "secret" in volume:
                assert volume["secret"]["secretName"] in secrets
                assert volume["secret"]["defaultMode"] == 0o440
        mounted = {mount["name"] for each in containers(template) for mount in each["volumeMounts"]}
        assert mounted == set(volumes)
        wanted = [
            each["valueFrom"]["secretKeyRef"] for c in containers(template) for each in c["env"] if "valueFrom" in each
        ]
        assert all(each["name"] in secrets for each in wanted)
    (ingress,) = selected(everything, {"kind": "Ingress"})
    assert {each["secretName"] for each in ingress["spec"]["tls"]} <= secrets


def made_by_the_page() -> set[str]:
    """Name the secrets that the page has its reader make."""
    words = " ".join(block.text for block in blocks_of(PAGE)).split()
    return {words[i + 3] for i, word in enumerate(words) if words[i : i + 2] == ["create", "secret"] and word}


def test_selectors_take_the_pods_that_they_mean(everything: list[Object]) -> None:
    pods = {name: each["metadata"]["labels"] for name, each in templates(everything).items()}
    server, scheduler, worker = sorted(pods, key=lambda name: ("worker" in name, "scheduler" in name))

    def taken(selector: dict[str, Any]) -> list[str]:
        return [name for name, labels in pods.items() if matches(selector, labels)]

    for each in selected(everything, {"kind": "Deployment"}):
        assert taken(each["spec"]["selector"]) == [each["metadata"]["name"]]
    meant = {"simsearch": [server], "simsearch-scheduler": [scheduler]}
    services = selected(everything, {"kind": "Service"})
    assert {each["metadata"]["name"]: taken({"matchLabels": each["spec"]["selector"]}) for each in services} == meant
    meant = {"simsearch-server": [server], "simsearch-scheduler": [scheduler], "simsearch-worker": [worker]}
    for kind, field in [("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")]:
        assert {
            each["metadata"]["name"]: taken(each["spec"][field]) for each in selected(everything, {"kind": kind})
        } == meant
    who = {
        each["metadata"]["name"]: [
            {
                name
                for peer in rule.get("from", [])
                for name in taken(peer.get("podSelector", {"matchLabels": {"-": ""}}))
            }
            for rule in each["spec"]["ingress"]
        ]
        for each in selected(everything, {"kind": "NetworkPolicy"})
    }
    assert who == {
        "simsearch-server": [set()],
        "simsearch-scheduler": [{server, scheduler, worker}, set()],
        "simsearch-worker": [{scheduler, worker}],
    }


def test_ports_are_those_that_containers_have(everything: list[Object]) -> None:
    ports: dict[str, dict[str, int]] = {}
    for name, template in templates(everything).items():
        ports[name] = {each["name"]: each["containerPort"] for c in containers(template) for each in c.get("ports", [])}
        for container in containers(template):
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe in container:
                    assert container[probe]["httpGet"]["port"] in ports[name]
    for service in selected(everything, {"kind": "Service"}):
        assert {each["targetPort"] for each in service["spec"]["ports"]} == set(ports[service["metadata"]["name"]])
    (ingress,) = selected(everything, {"kind": "Ingress"})
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    (service,) = selected(everything, {"kind": "Service", "name": backend["name"]})
    assert backend["port"]["name"] in {each["name"] for each in service["spec"]["ports"]}
    for policy in selected(everything, {"kind": "NetworkPolicy"}):
        (pod,) = (
            name
            for name, template in templates(everything).items()
            if matches(policy["spec"]["podSelector"], template["metadata"]["labels"])
        )
        rules = [port for rule in policy["spec"]["ingress"] for port in rule["ports"]]
        opened = {n for each in rules for n in range(each["port"], each.get("endPort", each["port"]) + 1)}
        assert opened == set(ports[pod].values())


def test_commands_name_the_ports_and_options_that_there_are(everything: list[Object], tmp_path: Path) -> None:
    (server,) = (c for c in containers(templates(everything)["simsearch"]) if c["name"] == "server")
    words = [str(tmp_path) if word == "/shared/study" else word for word in server["args"]]
    program, command, *rest = words
    assert (program, command) == ("simsearch", "serve")
    serve = main.commands[command]
    chosen = serve.make_context(command, rest, parent=click.Context(main)).params
    assert chosen["port"] == server["ports"][0]["containerPort"]
    assert chosen["browser"] is False
    (cluster,) = (each["value"] for each in server["env"] if each["name"] == "SIMSEARCH_CLUSTER")
    assert resolve_cluster(chosen["cluster"], {"SIMSEARCH_CLUSTER": cluster}).address == cluster
    (service,) = selected(everything, {"kind": "Service", "name": cluster.removeprefix("tls://").split(":")[0]})
    assert int(cluster.rsplit(":", 1)[1]) in {each["port"] for each in service["spec"]["ports"]}
    (study,) = (c for c in containers(templates(everything)["simsearch"]) if c["name"] == "study")
    rest = study["args"][2].split(" || simsearch study create ")[1].split()
    chosen = main.commands["study"].commands["create"].make_context("create", rest, parent=click.Context(main)).params
    assert str(chosen["folder"]) == "/shared/study"
    for name in ("simsearch-scheduler", "simsearch-default-worker-0a1b"):
        (container,) = containers(templates(everything)[name])
        args = dict(zip(container["args"], container["args"][1:], strict=False))
        options = {"tcp-comm": "--port", "worker": "--worker-port", "nanny": "--nanny-port"}
        for port in container["ports"]:
            said = args["--dashboard-address" if port["name"] == "http-dashboard" else options[port["name"]]]
            assert said.rsplit(":", 1)[-1] == str(port["containerPort"])


def test_workers_find_the_scheduler_by_tls(everything: list[Object]) -> None:
    (worker,) = containers(templates(everything)["simsearch-default-worker-0a1b"])
    said = [each["value"] for each in worker["env"] if each["name"] == "DASK_SCHEDULER_ADDRESS"]
    assert said == ["tls://simsearch-scheduler:8786"]


def test_a_process_has_a_gpu_of_its_own_and_tasks_that_read_beside_it() -> None:
    workers = {}
    for overlay in OVERLAYS:
        (worker,) = containers(templates(running(applied(overlay)))["simsearch-default-worker-0a1b"])
        args = dict(zip(worker["args"], worker["args"][1:], strict=False))
        gpus = worker["resources"]["limits"].get("nvidia.com/gpu", 0)
        workers[overlay] = (args["--nworkers"], args["--nthreads"], gpus)
    assert workers == {"cpu": ("1", "2", 0), "gpu": ("1", "4", "1")}


def test_each_command_of_the_page_is_run_or_says_why_not(key_pair: Path) -> None:
    """The one that is run makes the key."""
    assert {path.name: path.stat().st_mode & 0o777 for path in key_pair.iterdir()} == {
        "key.pem": 0o600,
        "cert.pem": 0o600,
    }
    blocks = blocks_of(PAGE)
    assert {block.language for block in blocks} == {"bash"}
    assert {block.reason for block in blocks} == {
        "",
        "needs a registry of images",
        "needs a Kubernetes cluster",
    }

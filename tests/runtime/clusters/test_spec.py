from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from simsearch.errors import ConfigError
from simsearch.runtime.clusters.spec import ClusterSpec, resolve_cluster

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("local", {"kind": "local"}),
        ("local:3", {"kind": "local", "workers": 3}),
        ("threads:1", {"kind": "threads", "workers": 1}),
        ("cuda", {"kind": "cuda"}),
        ("slurm:40", {"kind": "slurm", "workers": 40}),
        ("kubernetes", {"kind": "kubernetes"}),
        ("tls://node7:8786", {"kind": "address", "address": "tls://node7:8786"}),
        (ClusterSpec("slurm"), {"kind": "slurm"}),
    ],
)
def test_a_word_is_a_cluster(wanted: str | ClusterSpec, expected: dict[str, Any]) -> None:
    assert resolve_cluster(wanted, {}) == ClusterSpec(**expected)


def test_what_is_not_named_is_what_the_environment_says_or_local() -> None:
    assert resolve_cluster(None, {}) == ClusterSpec("local")
    assert resolve_cluster(None, {"SIMSEARCH_CLUSTER": "threads:2"}) == ClusterSpec("threads", workers=2)
    assert resolve_cluster("local", {"SIMSEARCH_CLUSTER": "threads:2"}) == ClusterSpec("local")


def test_a_file_has_settings_which_the_environment_and_the_command_line_come_before(tmp_path: Path) -> None:
    file = tmp_path / "hpc.yaml"
    file.write_text(
        "kind: slurm:8\nmemory: 8GiB\ncores: 2\nwalltime: 02:30:00\npartition: short\nwait: 20m\n"
        "directives: [--qos=long, --exclusive]\nprologue:\n  - module load openslide\nfolder: /shared/keys\n"
    )
    spec = resolve_cluster(file, {"SIMSEARCH_CLUSTER_PARTITION": "gpu", "SIMSEARCH_CLUSTER_IMAGE": "not of slurm"})
    assert (spec.kind, spec.workers, spec.memory, spec.cores, spec.wait) == ("slurm", 8, 8 * 2**30, 2, 1200)
    assert spec.walltime == "02:30:00"  # YAML alone makes 9000 of it
    assert spec.partition == "gpu"
    assert spec.directives == ("--qos=long", "--exclusive")
    assert spec.prologue == ("module load openslide",)
    assert resolve_cluster("slurm:2", {"SIMSEARCH_CLUSTER_WORKERS": "5"}).workers == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: slurm\npartion: gpu\n", r"expected settings of slurm \(account, .*\), got 'partion'"),
        ("kind: local\nmemory: 1GiB\n", r"expected settings of local \(dashboard, report, workers\), got 'memory'"),
        ("workers: 4\n", r"expected kind to be local, .*, got None"),
        ("kind: cloud\n", r"expected kind to be local, .*, got 'cloud'"),
        ("kind: [slurm]\nworkers: [1, 2]\n", r"expected a whole number above 0 as workers, got '1, 2'"),
        ("kind: slurm\nworkers: none\n", r"expected a whole number above 0 as workers, got 'none'"),
        ("kind: slurm\nmemory: much\n", r"expected a size such as 4GiB as memory, got 'much'"),
        ("kind: slurm\nwait: -3 s\n", r"expected a time such as 10m as wait, got '-3 s'"),
        ("kind: slurm\npartition: {a: b}\n", r"expected text as partition, got \{'a': 'b'\}"),
        ('kind: slurm\npartition: "a\\nb"\n', r"expected one line of text as partition"),
        ("kind: tcp://a:1\ninsecure: perhaps\n", r"expected true or false as insecure"),
        ("- slurm\n", r"expected settings such as `kind: slurm`, got list"),
        ("a: [\n", r"expected a YAML file of settings, got ParserError: "),
        ("[" * 5000, r"expected a YAML file of settings, got RecursionError"),
    ],
)
def test_a_file_that_says_something_else_is_refused_in_a_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message) as refused:
        resolve_cluster(str(file), {})
    assert str(refused.value).startswith(f"{file}: ")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_and_a_wrong_variable_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: expected a YAML file of settings, got FileNotFoundError"):
        resolve_cluster(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match=r"SIMSEARCH_CLUSTER_WORKERS: expected a whole number above 0 as workers"):
        resolve_cluster("slurm", {"SIMSEARCH_CLUSTER_WORKERS": "many"})
    with pytest.raises(ConfigError, match=r"^SIMSEARCH_CLUSTER_PARTION: expected a setting of a cluster \(account, "):
        resolve_cluster("slurm:2", {"SIMSEARCH_CLUSTER_PARTION": "gpu"})


def test_kind_address_in_a_file_is_an_address(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_text("kind: tcp://node7:8786\ninsecure: yes\n")
    assert resolve_cluster(file, {}) == ClusterSpec("address", address="tcp://node7:8786", insecure=True)

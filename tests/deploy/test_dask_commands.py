"""The commands of the scheduler and of the workers in the manifests, run as they stand but for paths and ports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from distributed import Client, Security
from distributed.system import MEMORY_LIMIT

from tests.deploy.manifests import applied, containers, running, templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.deploy.kustomize import Object

WORKER = "simsearch-default-worker-0a1b"


@contextmanager
def started(container: Object, moved: dict[str, str], *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command of a container with its environment."""
    program, *args = [moved.get(word, word) for word in container["args"]]
    environment = {each["name"]: moved.get(each["value"], each["value"]) for each in container["env"]}
    command = [str(Path(sys.executable).with_name(program)), *args, *more]
    with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.cluster
def test_they_make_a_cluster_with_tls_and_no_pages(key_pair: Path, tmp_path: Path) -> None:
    pods = templates(running(applied("cpu")))
    (scheduler,), (worker,) = containers(pods["simsearch-scheduler"]), containers(pods[WORKER])
    certificate, private = str(key_pair / "cert.pem"), str(key_pair / "key.pem")
    port, page = free_port(), free_port()
    address = f"tls://127.0.0.1:{port}"
    moved = {
        "/tls/tls.crt": certificate,
        "/tls/tls.key": private,
        "/tmp": str(tmp_path),
        "8786": str(port),
        "0.0.0.0:8787": f"127.0.0.1:{page}",
        "9000": "0",
        "9001": "0",
        "tls://simsearch-scheduler:8786": address,
        "$(DASK_WORKER_NAME)": WORKER,
    }
    security = Security(
        tls_ca_file=certificate, tls_client_cert=certificate, tls_client_key=private, require_encryption=True
    )
    host = ["--host", "127.0.0.1"]
    with (
        started(scheduler, moved, *host),
        started(worker, moved, *host),
        Client(address, security=security, timeout=60) as client,
    ):
        client.wait_for_workers(1, timeout=60)
        (info,) = client.scheduler_info()["workers"].values()
        assert (info["id"], info["nthreads"]) == (WORKER, 2)
        assert info["memory_limit"] == int(0.9 * MEMORY_LIMIT)
        assert list(client.run(os.getenv, "MALLOC_ARENA_MAX").values()) == ["1"]
        base = f"http://127.0.0.1:{page}"
        paths = ("health", "metrics", "status", "info/main/workers.html", "json/counts.json", "api/v1/retire_workers")
        assert {path: status(f"{base}/{path}") for path in paths} == dict.fromkeys(paths, 404) | dict.fromkeys(
            paths[:2], 200
        )

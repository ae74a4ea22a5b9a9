"""An API server of Kubernetes on loopback, as far as one cluster needs it, with an operator whose pods are threads."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from distributed import LocalCluster, Security
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Object = dict[str, Any]
DASK = "/apis/kubernetes.dask.org/v1/namespaces/here/daskclusters"
CORE = "/api/v1/namespaces/here"


@dataclass
class FakeKubernetes:
    """What the server knows, and how it behaves."""

    kubeconfig: Path
    has_operator: bool = True
    refusal: tuple[int, str] | None = None
    """Status and message with which it refuses to make anything."""
    events: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    made: dict[str, Object] = field(default_factory=dict)
    """All that was made, by kind."""
    deleted: list[str] = field(default_factory=list)
    dask: LocalCluster | None = None

    def start_pods(self) -> None:
        """Do what operator and kubelet do once there is a secret."""
        data, name = self.made["Secret"]["stringData"], self.made["DaskCluster"]["metadata"]["name"]
        if not self.has_operator:
            return
        certificate, key = data["tls.crt"], data["tls.key"]
        roles = {f"tls_{role}_{part}": value for role in ("scheduler", "worker", "client") for part, value in
                 (("cert", certificate), ("key", key))}  # fmt: skip
        self.dask = LocalCluster(
            n_workers=self.made["DaskCluster"]["spec"]["worker"]["replicas"],
            threads_per_worker=2,
            processes=False,
            protocol="tls",
            host="127.0.0.1",
            security=Security(tls_ca_file=certificate, require_encryption=True, **roles),
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            worker_dashboard_address="127.0.0.1:0",
        )
        labels = {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        metadata = {"name": f"{name}-scheduler-0a1b", "namespace": "here", "labels": labels}
        self.pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


class _Answers(RequestHandler):
    def initialize(self, state: FakeKubernetes) -> None:
        self.state = state

    def set_default_headers(self) -> None:
        self.set_header("Connection", "close")  # the client never hangs up by itself

    def answer(self, thing: Object, status: int = 200) -> None:
        self.set_status(status)
        self.finish(thing)


class _Version(_Answers):
    def get(self) -> None:
        self.answer({"gitVersion": "v1.32.0"})


class _Things(_Answers):
    async def post(self, kind: str) -> None:
        if self.state.refusal:
            status, message = self.state.refusal
            self.answer({"kind": "Status", "message": message}, status)
            return
        thing = json.loads(self.request.body)
        thing["metadata"]["uid"] = "0a1b"
        self.state.made[thing["kind"]] = thing
        if thing["kind"] == "Secret":
            await asyncio.to_thread(self.state.start_pods)
        self.answer(thing, 201)

    def get(self, kind: str) -> None:
        self.answer({"items": {"pods": self.state.pods, "events": self.state.events}[kind]})

    def delete(self, kind: str) -> None:
        self.state.deleted.append(kind)
        self.answer({})


class _PortForward(_Answers, WebSocketHandler):
    async def open(self, pod: str) -> None:
        assert self.state.dask is not None
        port = int(self.state.dask.scheduler_address.rsplit(":", 1)[1])
        reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        for channel in (b"\x00", b"\x01"):
            await self.write_message(channel + b"\x12\x22", binary=True)  # the port, as Kubernetes begins
        self.task = asyncio.create_task(self._pass_on(reader))

    async def _pass_on(self, reader: asyncio.StreamReader) -> None:
        while received := await reader.read(2**16):
            await self.write_message(b"\x00" + received, binary=True)

    async def on_message(self, message: bytes | str) -> None:
        assert isinstance(message, bytes)
        self.writer.write(message[1:])
        await self.writer.drain()

    def on_close(self) -> None:
        self.task.cancel()
        self.writer.close()


@contextmanager
def serving(folder: Path) -> Iterator[FakeKubernetes]:
    """Serve in a thread, and write a kubeconfig."""
    (listening,) = bind_sockets(0, "127.0.0.1")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{listening.getsockname()[1]}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "here"}}],
        "current-context": "x",
    }
    state = FakeKubernetes(folder / "kubeconfig")
    state.kubeconfig.write_text(json.dumps(config))
    started: list[IOLoop] = []
    ready = threading.Event()

    async def serve() -> None:
        given = {"state": state}
        server = HTTPServer(
            Application(
                [
                    (r"/version/?", _Version, given),
                    (rf"{CORE}/pods/([\w-]+)/portforward/?", _PortForward, given),
                    (rf"(?:{DASK.removesuffix('daskclusters')}|{CORE}/)(\w+)(?:/[\w-]+)?/?", _Things, given),
                ]
            )
        )
        server.add_socket(listening)
        started.append(IOLoop.current())
        stopped = asyncio.Event()
        state.stop = lambda: started[0].add_callback(stopped.set)  # type: ignore[attr-defined]
        ready.set()
        await stopped.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield state
    finally:
        if state.dask is not None:
            state.dask.close()
        state.stop()  # type: ignore[attr-defined]
        thread.join(10)

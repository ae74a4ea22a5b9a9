"""What pages and handlers talk to: the study that is open, its suggestions, and all that takes long."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, replace
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from simsearch.app.session.jobs import Jobs, new_job
from simsearch.app.session.overseeing import Overseer
from simsearch.app.session.requests import Request, Requests
from simsearch.app.session.shared import SharedStudy
from simsearch.app.session.shelf import Shelf
from simsearch.app.session.snapshot import ClusterView
from simsearch.app.session.suggesting import NOBODY, Suggester
from simsearch.app.session.work import detection_floor, do_request, find_model
from simsearch.core.checks.json_text import parse_json
from simsearch.curation.actions import ChooseImages
from simsearch.errors import ConfigError
from simsearch.workflows.curate.channel_report import report_channels
from simsearch.workflows.curate.patch_map import map_patches
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.curate.suggest import prepare_all
from simsearch.workflows.find.diverse import DiverseOptions, choose_diverse
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from simsearch.app.session.jobs import Work
    from simsearch.app.session.snapshot import JobKind, JobView, Suggestions
    from simsearch.curation.state import Curation
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.workflows.curate.channel_report import ChannelReport
    from simsearch.workflows.curate.live.coarse_maps import SimilarityMap
    from simsearch.workflows.curate.patch_map import PatchMap
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.learn.train import TrainOptions
    from simsearch.workflows.run.found_objects import FoundObjects
    from simsearch.workflows.run.predict import Predictions
    from simsearch.workflows.run.results import ResultView

_POLL_S = 2.0


class LiveStudy(SharedStudy):
    """A shared study on a cluster, with suggestions and long work. Close it, or use it in ``with``.

    Nothing here is to be called in an event loop but `snapshot` and `subscribe`: all else reads or writes files.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study, which nobody else has open for writing.
    memory_bytes : int, optional
        What holding the displayed images may take.

    Raises
    ------
    StoreError
        If it is open elsewhere, cannot be read or written, or is damaged.
    """

    def __init__(self, client: Client, study: Study, memory_bytes: int | None = None) -> None:
        super().__init__(study)
        self.client = client
        self._channels: ChannelReport | None = None
        self._is_closing = Event()
        with ExitStack() as stack:
            stack.enter_context(self._resources)
            self._shelf, self._requests = Shelf(study), Requests(study.folder)
            self._publish(models=self._shelf.models(), n_results=len(self._shelf.results()), cluster=_cluster(client))
            self._jobs = Jobs(lambda views: self._publish(jobs=views))
            stack.callback(self._jobs.close)
            self._list_interrupted()
            self._suggester = Suggester(client, study, self._jobs, self._suggested, memory_bytes)
            stack.callback(self._suggester.close)
            self._overseer = Overseer(client, study, lambda overview: self._publish(overview=overview))
            stack.callback(self._overseer.close)
            self._follow(self.snapshot.curation)
            watch = Thread(target=self._watch_cluster, name="cluster", daemon=True)
            watch.start()
            stack.callback(watch.join)
            stack.callback(self._is_closing.set)
            self._resources = stack.pop_all()

    def start_training(self, user: str, options: TrainOptions) -> str:
        """Train a model on what was said so far; returns the id of the job.

        It does not depend on a browser, and goes on where it was after a restart of the server.

        Raises
        ------
        StoreError
            If the request cannot be written.
        """
        return self._ask("train", "Train a model", user, asdict(options))

    def start_prediction(self, user: str, model_id: str) -> str:
        """Run a model over the displayed images, for `predictions`; returns the id of the job.

        Raises
        ------
        ConfigError
            If there is no such model.
        """
        find_model(self.study, model_id)
        return self._ask("predict", "Find objects on the displayed images", user, {"model": model_id})

    def start_detection(
        self, user: str, model_id: str, images: Sequence[str] | None = None, *, in_regions: bool = False
    ) -> str:
        """Run a model over all images of the study, or some, or only in its named regions; returns the id of the job.

        Results go to ``results`` in the study. Images that cannot be read are left out and listed.

        Raises
        ------
        ConfigError, StoreError
            If there is no such model or image, or the request cannot be written.
        """
        names, curation = _names(self.study, images), self.snapshot.curation
        where, what = _regions_to_run_in(curation, names) if in_regions else ({}, _images(names))
        floor = detection_floor(curation, find_model(self.study, model_id))
        options = {"model": model_id, "images": names, "floor": floor, **where}
        return self._ask("detect", f"Find objects on {what}", user, options)

    def start_segmentation(
        self,
        user: str,
        model_id: str,
        images: Sequence[str] | None = None,
        *,
        tissue_mask: bool = True,
        beside_image: bool = True,
    ) -> str:
        """Give each pixel of all images of the study, or of some, a class; returns the id of the job.

        Raises
        ------
        ConfigError
            If there is no such model or image.
        StoreError
            If the request cannot be written.
        """
        find_model(self.study, model_id)
        names = _names(self.study, images)
        options = {"model": model_id, "images": names, "tissue_mask": tissue_mask, "beside_image": beside_image}
        return self._ask("segment", f"Segment {_images(names)}", user, options)

    def choose_diverse(self, user: str, n: int) -> str:
        """Display images that show what all have, once they are found; returns the id of the job."""
        channels = self.snapshot.curation.channels

        def work(observe: Observer) -> None:
            images = ImageSet(study_images(self.study))
            options = DiverseOptions(n, channels, self.study.trunk, self.study.seed)
            self.act(user, ChooseImages(choose_diverse(self.client, images, options, observe=observe)))

        return self._start(new_job("diverse", f"Choose {n} diverse images", user), work)

    def look_at_all(self, user: str) -> str:
        """Compute the features of all images of the study, for `watch_plates`; returns the id of the job.

        What was done when it is stopped, or the server is, is not done again.
        """
        for job in self._snapshot.jobs:  # a second click is no second job
            if job.kind == "index" and not job.is_over:
                return job.id
        curation = self._snapshot.curation

        def work(observe: Observer) -> None:
            try:
                prepare_all(self.client, self.study, curation, observe=observe)
            finally:
                self._overseer.look_again()

        return self._start(new_job("index", f"Look at {_images(_names(self.study, None))}", user), work)

    def watch_plates(self) -> Callable[[], None]:
        """Have `Snapshot.overview` follow what is said, until what is returned is called."""
        return self._overseer.watch()

    def resume(self, user: str, job_id: str) -> str:
        """Go on with a job that an earlier server was stopped in; returns the id of the job, which is the same.

        Raises
        ------
        ConfigError
            If there is no such job, or it runs.
        """
        request, view = self._requests.find(job_id), self._jobs.find(job_id)
        if request is None or view is None or view.state != "interrupted":
            raise ConfigError(f"expected a job that was interrupted, got {job_id}: start it anew")
        return self._start_request(request)

    def dismiss(self, job_id: str) -> None:
        """List a job that is over or interrupted no more; what it has computed stays.

        Raises
        ------
        StoreError
            If that cannot be written.
        """
        view = self._jobs.find(job_id)
        if view is not None and (view.is_over or view.state == "interrupted"):
            self._requests.remove(job_id)
            self._jobs.forget(job_id)

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop; what it has computed is kept, and the same job goes on from there."""
        self._jobs.cancel(job_id)

    def predictions(self, model_id: str) -> Predictions | None:
        """Read what a model finds on the displayed images; None if `start_prediction` has not been done for these.

        Raises
        ------
        ConfigError
            If there is no such model.
        """
        return self._shelf.predictions(self.snapshot.curation, model_id)

    def channel_report(self) -> ChannelReport | None:
        """Return what helps to choose channels; None while that is measured, which the first call starts."""
        with self._turn:
            if self._channels is None and not any(
                job.kind == "measure" and not job.is_over for job in self._snapshot.jobs
            ):
                self._start(new_job("measure", "Measure the channels", NOBODY), self._measure)
            return self._channels

    def similarity_map(self, class_name: str, image: str) -> SimilarityMap | None:
        """Return how similar a displayed image is to a class; None where nothing was searched for it."""
        return self._suggester.similarity_map(class_name, image)

    def patch_map(self, class_name: str) -> PatchMap | None:
        """Lay out what is suggested for a class by how alike it looks; None where nothing is.

        Raises
        ------
        SourceError, StoreError, TrunkError
            If an image, its features or the trunk cannot be read.
        """
        snapshot = self.snapshot
        found = snapshot.suggestions.by_class.get(class_name)
        if not found:
            return None
        images = snapshot.suggestions.images
        return map_patches(self.client, self.study, snapshot.curation, class_name, images, found)

    def more_background(self) -> None:
        """Suggest more background; until the server stops."""
        self._suggester.more_background()

    def results(self) -> tuple[ResultView, ...]:
        """Return the finished detections and segmentations, the oldest first."""
        return self._shelf.results()

    def found(self, result_id: str) -> FoundObjects:
        """Return what a finished detection found; what was asked for last is kept in memory."""
        return self._shelf.found(result_id)

    def _measure(self, observe: Observer) -> None:
        report = report_channels(self.client, self.study, self.snapshot.curation, observe=observe)
        with self._turn:
            self._channels = report
            self._publish()

    def _ask(self, kind: JobKind, title: str, user: str, options: dict[str, Any]) -> str:
        for job in self._snapshot.jobs:  # a second click is no second job
            request = self._requests.find(job.id)
            if request and not job.is_over and (request.kind, request.options) == (kind, options):
                return self.resume(user, job.id) if job.state == "interrupted" else job.id
        n_entries = len(self._snapshot.history.entries)
        request = Request(new_job(kind, title, user).id, kind, title, user, n_entries, options)
        self._requests.add(request)
        return self._start_request(request)

    def _start_request(self, request: Request) -> str:
        def work(observe: Observer) -> Path:
            return do_request(self.client, self.study, self._journal.history, request, observe)

        view = replace(new_job(request.kind, request.title, request.user), id=request.id)
        return self._start(view, work)

    def _start(self, view: JobView, work: Work) -> str:
        return self._jobs.start(view, work, made=self._made, over=self._requests.remove)

    def _made(self) -> None:
        self._publish(models=self._shelf.models(), n_results=len(self._shelf.results()))

    def _list_interrupted(self) -> None:
        for request in self._requests:
            view = replace(new_job(request.kind, request.title, request.user), id=request.id, state="interrupted")
            self._jobs.list(replace(view, message="The server was stopped meanwhile. It can go on where it was."))

    def _follow(self, curation: Curation) -> None:
        self._suggester.follow(curation)

    def _suggested(self, suggestions: Suggestions) -> None:
        self._publish(suggestions=suggestions)
        if suggestions.state in ("ready", "empty"):  # whoever has drawn a box waits for these first
            self._overseer.follow(self._snapshot.curation)

    def _watch_cluster(self) -> None:
        while not self._is_closing.wait(_POLL_S):
            now = _cluster(self.client)
            if now != self._snapshot.cluster:
                self._publish(cluster=now)


def _cluster(client: Client) -> ClusterView:
    try:
        n_threads = client.nthreads() if client.status == "running" else {}
    except (OSError, TimeoutError):
        n_threads = {}
    address = str(client.scheduler.address) if client.scheduler else ""
    return ClusterView(address, len(n_threads), sum(n_threads.values()), bool(n_threads))


def _names(study: Study, images: Sequence[str] | None) -> list[str]:
    """Return the names of some images, or of all, in the order of the study."""
    known = [image.name for image in study.images]
    unknown = sorted(set(images or ()) - set(known))
    if unknown or (images is not None and not images):
        raise ConfigError(f"expected images of the study, got {', '.join(unknown) or 'none'}: choose some")
    return known if images is None else [name for name in known if name in set(images)]


def _regions_to_run_in(curation: Curation, names: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Write the named regions of some images as a part of a request, and say it."""
    outlined = [asdict(each) for each in curation.regions if each.image in names]
    as_read_again = parse_json(json.dumps(outlined))  # after a restart
    return {"regions": as_read_again}, f"{len(outlined)} named region{'s' * (len(outlined) != 1)}"


def _images(names: Sequence[str]) -> str:
    return f"{len(names)} image{'s' * (len(names) > 1)}"

"""Checks of what is read: each worker sees what this process sees, under the same path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simsearch.core.checks.places import scheme_of
from simsearch.errors import SimSearchError
from simsearch.io.ome_zarr.plates.hierarchy import find_locations
from simsearch.io.ome_zarr.stores import as_location
from simsearch.runtime.asking import Answered, ask_here, ask_workers
from simsearch.runtime.tasks.probes import read_file, read_image
from simsearch.workflows.doctor.findings import Finding, named, of_error, or_fine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simsearch.runtime import Client
    from simsearch.runtime.asking import Answer
    from simsearch.workflows.doctor.cluster_facts import ClusterFacts

_SAME_PLACE = "mount the same file system there under the same path, or name a URL that all reach"


def try_input(client: Client | None, cluster: ClusterFacts | None, path: str | Path, timeout_s: float) -> list[Finding]:
    """Read an image, some images of a plate or of a folder, or another file, here and on each worker."""
    location = as_location(path)
    listed = ask_here(_sampled, location, timeout_s=timeout_s)
    if not isinstance(listed, Answered):
        return [of_error("input", named(location, listed.reason), ("client",))]
    places = {worker.address: worker.place for worker in cluster.workers} if cluster else {}
    findings: list[Finding] = []
    for each, is_image in listed.value:
        read = read_image if is_image else read_file
        here = ask_here(read, each, timeout_s=timeout_s)
        there = ask_workers(client, read, each, workers=list(places), timeout_s=timeout_s) if client else {}
        findings += check_input(each, here, {places[worker]: answer for worker, answer in there.items()})
    return or_fine("input", [each for each in findings if each.level != "ok"], f"{location}: is read everywhere")


def check_input(place: str, here: Answer[str], there: Mapping[str, Answer[str]]) -> list[Finding]:
    """Check that all read the same under a path, of what they have read of it.

    Parameters
    ----------
    place : str
        The path or URL.
    here : Answered or Unanswered
        What this process has read.
    there : mapping of str to Answered or Unanswered
        What workers have, by their place.
    """
    if not isinstance(here, Answered):
        return [of_error("input", named(place, here.reason), ("client",))]
    findings = []
    for worker, answer in there.items():
        if isinstance(answer, Answered) and answer.value != here.value:
            findings.append(Finding("input", "problem", f"{place}: is something else there", _SAME_PLACE, (worker,)))
        elif not isinstance(answer, Answered):
            # What is read here is not damaged: whatever the worker says, it does not see the same.
            reason = answer.reason.partition(", got ")[2].rpartition(": ")[0] or answer.reason
            findings.append(
                Finding("input", "problem", f"{place}: is not read there ({reason})", _SAME_PLACE, (worker,))
            )
    return or_fine("input", findings, f"{place}: is read everywhere")


def _sampled(location: str) -> list[tuple[str, bool]]:
    """Choose what is read of a place, and tell of each whether it is an OME-Zarr image: the first and last of many."""
    try:
        images = find_locations(location).images
    except SimSearchError:
        if scheme_of(location) or Path(location).suffix == ".zarr":
            raise
        read_file(location)
        return [(location, False)]
    return [(each, True) for each in dict.fromkeys(images[:1] + images[-1:])] or [(location, False)]

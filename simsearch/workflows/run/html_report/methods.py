"""What was done, in words fit for a paper: each paragraph says what its step needs to be done again."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from simsearch.core.boxes import shapes_in_words
from simsearch.workflows.run.html_report.numbers import by_class, counted, listed, percent, short, within

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simsearch.workflows.run.html_report.facts import RunFacts

    Paragraph = tuple[str, str]
    """Its title and its text."""

_STAGES = {
    "noisy": "contrastive learning on unlabelled patches",
    "clean": "supervised contrastive learning on labelled patches",
    "classifier": "training of the classifier",
}
_ROLES = {"clean": "drawn or accepted", "negative": "flagged as wrong", "noisy": "suggested, and checked by nobody"}
_CONTROLS = ("positive_control", "negative_control")


def methods(facts: RunFacts) -> list[Paragraph]:
    """Say what was done, step by step; what nothing is known of is left out."""
    steps = {
        "Images": _images(facts),
        "Annotation": _annotation(facts),
        "Training": _training(facts),
        "Detection" if facts.result.kind == "detect" else "Segmentation": _run(facts),
        "Accuracy": _accuracy(facts),
        "Plates": _plates(facts),
    }
    return [(title, text) for title, sentences in steps.items() if (text := " ".join(sentences))]


def _images(facts: RunFacts) -> Iterator[str]:
    header, result, versions = facts.header, facts.result, facts.record.get("versions", {})
    size = header.get("pixel_size_um")
    pixels = f", pixels of {size[0]:.4g} \N{MULTIPLICATION SIGN} {size[1]:.4g} \N{MICRO SIGN}m" if size else ""
    plates = f" of {counted(len(result.plates), 'plate')}" if result.plates else ""
    channels = list(header.get("channels", ()))
    seen = f"the {'channels' if len(channels) > 1 else 'channel'} {listed(channels)}" if channels else "all channels"
    yield (
        f"{counted(result.n_images, 'image')}{plates} in OME-Zarr ({header.get('dtype', 'pixels')}{pixels}) "
        f"{'was' if result.n_images == 1 else 'were'} analysed in {seen} with simsearch "
        f"{versions.get('simsearch', '')} (PyTorch {versions.get('torch', '')}, Dask {versions.get('dask', '')}, "
        f"Python {facts.record.get('python', '')})."
    )
    ranges = [f"{low:.4g}\N{EN DASH}{high:.4g} ({name})" for name, (low, high) in
              zip(channels, header.get("ranges", ()), strict=False)]  # fmt: skip
    if ranges:
        yield f"Intensities were scaled to [0, 1] from {listed(ranges)}, the same ranges for all images."


def _annotation(facts: RunFacts) -> Iterator[str]:
    curation, study = facts.curation, facts.study
    if curation is None or study is None or not curation.classes:
        return
    boxes = {each.name: len(each.prototypes) for each in curation.classes}
    yield (
        f"On {counted(len(curation.displayed), 'image')} that "
        f"{'was' if len(curation.displayed) == 1 else 'were'} looked at, boxes were drawn around examples: "
        f"{by_class(boxes)}."
    )
    thresholds = {
        each.name: each.similarity_threshold for each in curation.classes if each.similarity_threshold is not None
    }
    if thresholds:
        limits = listed(f"{value:.2f} ({name})" for name, value in thresholds.items())
        yield (
            "Places like these were suggested by the Gaussian-weighted cosine similarity of feature maps of a "
            f"pretrained ResNet-18 (trunk {_trunk(facts)}), from a similarity of {limits} on, and judged by a person."
        )
    accepted = {each.name: len(each.positives) + len(each.confirmed) for each in curation.classes}
    flagged = {each.name: len(each.negatives) for each in curation.classes}
    said = [
        f"{by_class(accepted)} were accepted" if any(accepted.values()) else "",
        f"{sum(flagged.values()):,} flagged as wrong" if any(flagged.values()) else "",
        f"{counted(len(curation.background), 'patch', 'patches')} accepted as background"
        if curation.background
        else "",
    ]
    if any(said):
        yield f"{listed(filter(None, said))[:1].upper()}{listed(filter(None, said))[1:]}."


def _training(facts: RunFacts) -> Iterator[str]:
    header, model = facts.header, facts.model
    scale = header.get("downsampling", 1)
    seen = "at full resolution" if scale == 1 else f"seen at 1 / {scale} of the resolution"
    yield (
        f"A {header.get('kind', 'dense')} patch classifier (patches of {_patches(facts)}, {seen}) was trained from the "
        f"trunk {_trunk(facts)} to tell {listed(facts.result.classes)} from background."
    )
    if model is None:
        return
    stages = [f"{_STAGES[stage]} ({counted(len(losses), 'epoch')})"
              for stage, losses in model.losses.items() if stage in _STAGES]  # fmt: skip
    learned = [f"{by_class(counts)} ({_ROLES.get(role, role)})"
               for role, counts in model.n_patches.items() if any(counts.values())]  # fmt: skip
    if learned:
        yield f"It learned from these patches: {'; '.join(learned)}."
    if stages:
        yield f"Training had {counted(len(stages), 'stage')}: {listed(stages)}."
    told = [
        f"{name} precision {percent(each['precision'])}, recall {percent(each['recall'])} (n = {each['n_patches']})"
        for name, each in model.held_out.items()
    ]
    if told:
        yield (
            "In cross-validation over images, a quick classifier told labelled patches of images that it was not shown "
            f"apart with: {'; '.join(told)}."
        )


def _patches(facts: RunFacts) -> str:
    header, classes = facts.header, facts.result.classes
    shapes = header.get("patch_shapes") or [header.get("patch_shape", (0, 0))] * len(classes)
    known = {name: (high, wide) for name, (high, wide) in zip(classes, shapes, strict=False) if high and wide}
    return shapes_in_words(known) if known else "unknown size"


def _run(facts: RunFacts) -> Iterator[str]:
    result, record = facts.result, facts.record
    yield f"The model (sha256 {result.model[:12]}) was run over all images in {record.get('arithmetic', 'float32')}."
    if result.kind == "segment":
        yield "Each pixel was given the class of highest probability that reaches the threshold of its class."
        return
    limits = listed(f"{value:.2f} ({name})" for name, value in result.confidence_thresholds.items())
    yield (
        f"Local maxima of a confidence of at least {limits} were counted as objects, each place once, as its most "
        f"probable class: {by_class(result.n_objects) or 'none'}."
    )
    report = record.get("report", {})
    if report.get("n_tissue", 0) < report.get("n_pixels", 0):
        share = report["n_tissue"] / report["n_pixels"]
        yield f"Glass was left out: {percent(share)} of all pixels were tissue."


def _accuracy(facts: RunFacts) -> Iterator[str]:
    if not facts.sample:
        return
    n_judged = sum(each.estimate.n_judged for each in facts.sample)
    told = [
        f"{each.class_name} precision {within(each.estimate.precision)}, recall {within(each.estimate.recall)}"
        for each in facts.sample
    ]
    yield (
        f"A person judged a random sample of {counted(n_judged, 'place')} of all images, half of each class above its "
        f"threshold and half below. Estimates with 90 % intervals: {'; '.join(told)}."
    )
    yield "Recall is of places of any confidence that was kept; what has none is not in it."


def _plates(facts: RunFacts) -> Iterator[str]:
    result = facts.result
    if not result.plates:
        return
    others = f" but {listed(result.aside)}" if result.aside else ""
    yield f"The share of a class in a well is that of all objects of the well{others}, over all its fields."
    doses = [dose for plate in result.plates for dose in plate.doses]
    if any(dose.ec50 is not None for dose in doses):
        yield (
            "Shares were fitted with a four-parameter logistic curve of the dose by least squares; EC50 is the dose "
            "halfway between the plateaus, with its 95 % interval."
        )
    if any(dose.z_prime is not None for dose in doses):
        n = _controls(facts)
        yield f"Z\N{PRIME} compares the shares in positive and negative controls{n} (Zhang et al. 1999)."


def _controls(facts: RunFacts) -> str:
    roles = sorted(well.treatment.get("role", "") for plate in facts.result.plates for well in plate.wells)
    counts = {role: len([*wells]) for role, wells in groupby(roles)}
    if not all(role in counts for role in _CONTROLS):
        return ""
    return f" ({counts[_CONTROLS[0]]} and {counted(counts[_CONTROLS[1]], 'well')})"


def _trunk(facts: RunFacts) -> str:
    return str(facts.record.get("trunk", "") or "of its own")


def dose_rows(facts: RunFacts) -> list[Mapping[str, str]]:
    """List what the doses of each plate tell: a row for each drug and class of which there is something."""
    return [
        {
            "plate": plate.name,
            "drug": dose.drug,
            "class": dose.class_name,
            "ec50": f"{short(dose.ec50)} {dose.unit}" if dose.ec50 is not None else "not determined",
            "interval": f"{short(dose.interval[0])}\N{EN DASH}{short(dose.interval[1])}"
            if dose.interval
            else "\N{EN DASH}",
            "slope": short(dose.slope),
            "z_prime": _z_prime(dose.z_prime),
        }
        for plate in facts.result.plates
        for dose in plate.doses
        if dose.ec50 is not None or dose.z_prime is not None
    ]


def _z_prime(value: float | None) -> str:
    """Write a Z'-factor; below -1 controls are alike, and the number says nothing more."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}") if value >= -1 else "below \N{MINUS SIGN}1"

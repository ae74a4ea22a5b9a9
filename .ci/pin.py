"""Turn pip's report of a fresh resolve into constraints.txt: ``python pin.py report.json > constraints.txt``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

_HEADER = """\
# Every package that simsearch, its tests, its checks and its docs need, as one resolve gave them. Made by
# `make constraints` with the oldest Python that pyproject.toml allows; after that, `make check test` says whether they
# still go together.
# torch and torchvision go together, in the registry's own builds: beside a +cpu build torchvision does not import.
# nvidia-*, cuda-* and triton are left out: torch itself pins them, and which of them it takes depends on the platform.
"""
_TORCH_PINS_THEM = re.compile(r"(nvidia|cuda|triton)(-|$)")


def pins(report: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    """List the lines ``name==version`` of a report, sorted; refuse builds that only one registry has."""
    versions = {_normal(each["metadata"]["name"]): each["metadata"]["version"] for each in report["install"]}
    local = [f"{name}=={version}" for name, version in versions.items() if "+" in version]
    if local:
        sys.exit(f"expected releases as the registry has them, got {', '.join(local)}: look at pip config list")
    skipped = {"simsearch"} | {name for name in versions if _TORCH_PINS_THEM.match(name)}
    return sorted(f"{name}=={version}" for name, version in versions.items() if name not in skipped)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    lines = pins(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    sys.stdout.write(_HEADER + "\n".join(lines) + "\n")

"""The house rules hold, and the checks that guard them notice when they are broken."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import shutil
import statistics
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "simsearch"
MODULES = sorted(PACKAGE.rglob("*.py"))
BANNED = {"utils", "helpers", "manager", "handler", "processor", "data", "info"}
HEAVY = {"torch", "torchvision", "dask", "distributed", "bokeh", "zarr"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def check_commands() -> dict[str, list[str]]:
    """Tell what `make check` runs, as ``{"ruff check": [...], ...}``, with the tools of this Python."""
    listed = subprocess.run(["make", "--dry-run", "check"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.split() for line in listed.stdout.splitlines()]
    tools = {f".venv/bin/{name}" for name in ("ruff", "mypy", "lint-imports", "mkdocs")}
    commands = [line for line in lines if line and line[0] in tools]
    bin_folder = Path(sys.executable).parent
    return {
        " ".join([Path(command[0]).name, *command[1:2]]).removesuffix(" ."): [
            str(bin_folder / Path(command[0]).name),
            *command[1:],
        ]
        for command in commands
    }


def run_in(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Copy what the checks look at, so that something can be planted in it."""
    shutil.copytree(PACKAGE, tmp_path / "simsearch", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(house: Path, module: str, source: str) -> None:
    path = house / "simsearch" / module
    path.parent.mkdir(exist_ok=True)
    path.write_text('"""Planted."""\n' + textwrap.dedent(source), encoding="utf-8")


PLANTS = {
    "core imports zarr": (
        "core/planted.py",
        """
        import zarr

        __all__ = ["zarr"]
        """,
        "lint-imports",
        "core and curation are pure BROKEN",
    ),
    "nn imports io": (
        "nn/planted.py",
        """
        from simsearch import io

        __all__ = ["io"]
        """,
        "lint-imports",
        "simsearch.nn.planted -> simsearch.io",
    ),
    "core imports a workflow": (
        "core/planted.py",
        """
        from simsearch import workflows

        __all__ = ["workflows"]
        """,
        "lint-imports",
        "simsearch.core.planted -> simsearch.workflows",
    ),
    "a package without a layer": ("helpers/__init__.py", "", "lint-imports", "simsearch.helpers"),
    "a file beside the wings of io": ("io/planted.py", "", "lint-imports", "simsearch.io.planted"),
    "a file beside the wings of workflows": ("workflows/planted.py", "", "lint-imports", "simsearch.workflows.planted"),
    "a file beside the wings of app": ("app/planted.py", "", "lint-imports", "simsearch.app.planted"),
    "a file beside the wings of cli": ("cli/planted.py", "", "lint-imports", "simsearch.cli.planted"),
    "find imports what lies above it": (
        "workflows/find/planted.py",
        """
        from simsearch.workflows import learn

        __all__ = ["learn"]
        """,
        "lint-imports",
        "simsearch.workflows.find.planted -> simsearch.workflows.learn",
    ),
    "a table imports a picture": (
        "io/tables/planted.py",
        """
        from simsearch.io.pictures import overlay

        __all__ = ["overlay"]
        """,
        "lint-imports",
        "simsearch.io.tables.planted -> simsearch.io.pictures.overlay",
    ),
    "no docstring": (
        "core/planted.py",
        """

        def planted(number: int) -> int:
            return number
        """,
        "ruff check",
        "D103",
    ),
    "no annotation": (
        "core/planted.py",
        """

        def planted(number):
            \"""Plant.\"""
            return number
        """,
        "ruff check",
        "ANN001",
    ),
    "too many arguments": (
        "core/planted.py",
        """

        def planted(a: int, b: int, c: int, d: int, e: int, f: int, *, g: int, h: int) -> int:
            \"""Plant.\"""
            return a + b + c + d + e + f + g + h
        """,
        "ruff check",
        "PLR0913",
    ),
    "print": (
        "core/planted.py",
        """

        def planted() -> None:
            \"""Plant.\"""
            print("planted")
        """,
        "ruff check",
        "T201",
    ),
    "another format": ("core/planted.py", "\nPLANTED = {'a':1}\n", "ruff format", "core/planted.py"),
}


@pytest.mark.parametrize(("module", "source", "tool", "words"), PLANTS.values(), ids=PLANTS.keys())
def test_a_planted_violation_fails_its_check_and_no_other(
    house: Path, module: str, source: str, tool: str, words: str
) -> None:
    plant(house, module, source)
    commands = {name: command for name, command in check_commands().items() if name not in {"mypy", "mkdocs build"}}
    assert set(commands) == {"ruff check", "ruff format", "lint-imports"}
    failed = {name: done.stdout for name in commands if (done := run_in(house, commands[name])).returncode}
    assert set(failed) == {tool}, failed
    assert words in " ".join(failed[tool].split())


def test_a_planted_type_error_fails_mypy(house: Path) -> None:
    # Of the package only what needs no torch: reading torch's types takes mypy half a minute, and shows nothing more.
    for path in (house / "simsearch").iterdir():
        if path.is_dir() and path.name != "core":
            shutil.rmtree(path)
        elif path.is_file() and path.name not in {"__init__.py", "errors.py"}:
            path.unlink()
    for name in ("benchmarks", "examples"):
        (house / name).mkdir()
        (house / name / "__init__.py").write_text(f'"""{name.title()}."""\n')
    plant(
        house,
        "core/planted.py",
        """

        def planted(number: int) -> str:
            \"""Plant.\"""
            return number
        """,
    )
    commands = check_commands()
    done = run_in(house, commands.pop("mypy"))
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in errors] == ["simsearch/core/planted.py"], done.stdout
    assert "return-value" in errors[0]
    assert [run_in(house, commands[name]).returncode for name in ("ruff check", "ruff format")] == [0, 0]


def test_a_planted_broken_link_fails_the_docs(house: Path) -> None:
    for name in ("docs", ".ci", "examples", "deploy"):
        shutil.copytree(ROOT / name, house / name)
    for name in ("mkdocs.yml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        shutil.copy(ROOT / name, house)
    (house / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks/RESULTS.md", house / "benchmarks")
    assert run_in(house, check_commands()["mkdocs build"]).returncode == 0
    for path, plant in {
        "README.md": "[there](docs/planted-page.md)",
        "docs/browser.md": "[there](reference/files.md#planted-anchor)",
        "docs/how-to/convert.md": "![a picture](../images/planted-picture.png)",
    }.items():
        with (house / path).open("a", encoding="utf-8") as page:
            page.write(f"\n{plant}\n")
    done = run_in(house, check_commands()["mkdocs build"])
    assert done.returncode == 1
    for words in ("planted-page.md", "#planted-anchor", "planted-picture.png"):
        assert words in done.stderr


def parsed() -> Iterator[tuple[Path, ast.Module]]:
    for path in MODULES:
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def functions() -> Iterator[tuple[str, Function]]:
    for path, tree in parsed():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{path}:{node.lineno} {node.name}", node


def lines_of_code(node: Function | ast.ClassDef) -> int:
    """Count the lines of a definition, its own docstring left out: explaining more must not cost anything."""
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


def test_functions_are_short() -> None:
    lengths = {name: lines_of_code(node) for name, node in functions()}
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 30, sorted(lengths.items(), key=lambda each: -each[1])[
        :20
    ]


def test_functions_take_at_most_seven_arguments() -> None:
    counts = {
        name: len([a for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs) if a.arg not in {"self", "cls"}])
        for name, f in functions()
    }
    assert {name: count for name, count in counts.items() if count > 7} == {}


def test_modules_and_classes_have_one_job() -> None:
    modules = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    classes = {
        f"{path}:{node.lineno} {node.name}": lines_of_code(node)
        for path, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    assert {name: length for name, length in modules.items() if length > 400} == {}
    assert {name: length for name, length in classes.items() if length > 250} == {}


def test_modules_are_named_after_what_they_hold() -> None:
    names = {
        str(path.relative_to(ROOT)): path.parent.name if path.stem == "__init__" else path.stem for path in MODULES
    }
    assert {path for path, name in names.items() if set(name.strip("_").split("_")) & BANNED} == set()


def public_packages() -> list[str]:
    inits = [path for path in MODULES if path.name == "__init__.py" and "__all__" in path.read_text(encoding="utf-8")]
    return [".".join(path.parent.relative_to(ROOT).parts) for path in inits]


def bound_names(body: list[ast.stmt]) -> set[str]:
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.ImportFrom):
            is_ours = (node.module or "").partition(".")[0] == "simsearch"
            # `X as X` says that X of another library is meant to be had from here.
            names |= {alias.asname or alias.name for alias in node.names if is_ours or alias.asname == alias.name}
        elif isinstance(node, Function | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.If):  # if TYPE_CHECKING, beside a lazy __getattr__
            names |= bound_names(node.body)
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("package", public_packages())
def test_all_lists_the_public_names(package: str) -> None:
    module = importlib.import_module(package)
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    exported = {name for name in module.__all__ if not name.startswith("__")}
    assert exported == bound_names(ast.parse(source).body)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("use", ["import simsearch", "from simsearch.cli import main; main(['--help'])"])
def test_help_and_import_load_nothing_heavy(use: str) -> None:
    code = f"import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{use}"
    done = run_in(ROOT, [sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    assert HEAVY & set(done.stderr.split()) == set()


def test_what_is_imported_is_declared() -> None:
    imported = {
        alias.name
        for _, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    imported |= {
        node.module or ""
        for _, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        if not node.level
    }
    third_party = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"simsearch"}
    distributions = importlib.metadata.packages_distributions()
    needed = {name: {normal(each) for each in distributions.get(name, [name])} for name in third_party}
    extras = project()["project"]["optional-dependencies"].values()
    declared = {normal(each) for group in (project()["project"]["dependencies"], *extras) for each in group}
    assert {name for name, any_of in needed.items() if not any_of & declared} == set()


def test_every_command_and_option_has_help_and_is_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    click = importlib.import_module("click")
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    pages = importlib.import_module("site_pages")
    sections = {each.command_path: (each.command, pages.command_section(each)) for each in pages.command_contexts()}
    assert {"simsearch search", "simsearch study create"} <= set(sections)
    assert [path for path, (command, _) in sections.items() if not (command.help or "").strip()] == []
    options = [
        (path, option, section)
        for path, (command, section) in sections.items()
        for option in command.params
        if isinstance(option, click.Option)
    ]
    assert [(path, option.name) for path, option, _ in options if not option.help] == []
    assert [(path, option.name) for path, option, section in options if f"`{option.opts[0]}" not in section] == []
    places = {"reference/commands.md": pages.PLACE_OF_COMMANDS, "how-to/convert.md": pages.PLACE_OF_PATTERNS}
    assert {
        name: (ROOT / "docs" / name).read_text("utf-8").count(place) for name, place in places.items()
    } == dict.fromkeys(places, 1)
    assert "`bbbc013`" in pages.pattern_table()


def project() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def normal(requirement: str) -> str:
    """Take the name out of a requirement, spelt in the one way that package tools compare."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


def test_every_dependency_is_pinned_to_a_release() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    declared = [*project()["project"]["dependencies"], *project()["build-system"]["requires"]]
    declared += [each for group in project()["dependency-groups"].values() for each in group]
    assert {normal(each) for each in declared} - {normal(each) for each in pins} == set()


def test_nothing_names_this_machine_or_a_registry() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: no list of what belongs to it")
    # In pieces, so that this file does not name them either.
    places = [f"/{folder}" for folder in ("work/", "root/", "opt/pypi", "opt/wheels")]
    places += [f"{host}.org" for host in ("pypi", "pythonhosted", "npmjs", "deb.debian")]
    places += ["index" + "-url", "pypi-" + "more"]
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(place)}" for place in places).encode())
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    paths = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    found = {
        str(path.relative_to(ROOT)): match.group() for path in paths if (match := pattern.search(path.read_bytes()))
    }
    assert found == {}

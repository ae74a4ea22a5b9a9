"""Hooks of mkdocs: pages that lie elsewhere in the repository, and the reference of commands, from click itself."""

from __future__ import annotations

import inspect
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import griffe
from mkdocs.structure.files import File, Files

from simsearch.cli import main
from simsearch.io.sources.plates.patterns import list_presets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[1]
_FROM_ELSEWHERE = {
    "README.md": "index.md",
    "deploy/README.md": "how-to/clusters.md",
    "deploy/machines/README.md": "how-to/machines.md",
    "deploy/docker/README.md": "how-to/containers.md",
    "deploy/kubernetes/README.md": "how-to/kubernetes.md",
    "deploy/slurm/README.md": "how-to/slurm.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
PLACE_OF_COMMANDS, PLACE_OF_PATTERNS = "<!-- every command -->", "<!-- every plate pattern -->"
_PLACE_OF_MEMBERS = re.compile(r"<!-- members of (simsearch[.\w]+) -->")
_FENCED = re.compile(r"(^```.*?^```\s*?$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere."""
    for path, page in _FROM_ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(_ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that are right in the repository be right in the site, and list what the code knows."""
    uri = page.file.src_uri
    parts = _FENCED.split(markdown)
    parts[::2] = [_LINK.sub(lambda link: _moved(link, uri), part) for part in parts[::2]]
    text = "".join(parts).replace(PLACE_OF_COMMANDS, "\n".join(map(command_section, command_contexts())))
    text = text.replace(PLACE_OF_PATTERNS, pattern_table())
    return _PLACE_OF_MEMBERS.sub(lambda place: member_table(place[1]), text)


def _moved(link: re.Match[str], uri: str) -> str:
    """Rewrite a link from a page; what the site does not have is named only."""
    here = {page: path for path, page in _FROM_ELSEWHERE.items()}.get(uri, f"docs/{uri}")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link["path"]))
    place = _FROM_ELSEWHERE.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
    if place is None:
        return link["text"] if (_ROOT / target).exists() else link[0]
    relative = posixpath.relpath(place, posixpath.dirname(uri) or ".")
    return f"{link['picture']}[{link['text']}]({relative}{link['anchor'] or ''})"


def command_contexts(context: click.Context | None = None) -> Iterator[click.Context]:
    """Name every command, with those below it."""
    context = context or click.Context(main, info_name="simsearch")
    if context.parent:
        yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            yield from command_contexts(click.Context(context.command.commands[name], context, info_name=name))


def command_section(context: click.Context) -> str:
    """Describe a command in markdown, with the words of its ``--help``."""
    path, command = context.command_path, context.command
    words = inspect.cleandoc(command.help or "").replace("\b\n", "")
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines = [f"## {path} {{ #{path.replace(' ', '-')} }}", "", words, "", "```text", usage, "```", ""]
    if not isinstance(command, click.Group):
        lines += ['<div class="options" markdown>', "", "| option | what it says |", "| --- | --- |"]
        records = [each.get_help_record(context) for each in command.get_params(context)]
        lines += [f"| {_code(record[0])} | {_cell(record[1])} |" for record in records if record and record[1]]
        lines += ["", "</div>"]
    return "\n".join([*lines, ""])


def pattern_table() -> str:
    """List the plate patterns that have a name, in markdown."""
    rows = [f"| {_code(names)} | `{example}` |" for names, example in list_presets()]
    return "\n".join(["| pattern | file names such as |", "| --- | --- |", *rows])


def member_table(path: str) -> str:
    """List what a class or a module offers with the words of its docstrings, in markdown; nothing is imported."""
    file, names = _ROOT / f"{path.replace('.', '/')}.py", []
    if not file.exists():
        file, names = file.parent.with_suffix(".py"), [file.stem]
    module = griffe.visit(file.stem, file, file.read_text(encoding="utf-8"))
    found = module[names] if names else module
    members = [each for name, each in found.members.items() if not each.is_alias and not name.startswith("_")]
    rows = [f"| `{_signature(each)}` | {_sentence(each)} |" for each in members if each.docstring]
    table = ['<div class="options" markdown>', "", "| name | is |", "| --- | --- |", *rows, "", "</div>"]
    return "\n".join(table)


def _signature(member: griffe.Object | griffe.Alias) -> str:
    """Write a member as it is used: with the default of a keyword, or with the parameters of a method."""
    if isinstance(member, griffe.Function):
        given = [each for each in member.parameters if each.name != "self"]
        words = [each.name + (f"={each.default}" if each.default is not None else "") for each in given]
        return f"{member.name}({', '.join(words)})"
    value = member.value if isinstance(member, griffe.Attribute) else None
    return member.name if value is None else f"{member.name} = {value}"


def _sentence(member: griffe.Object | griffe.Alias) -> str:
    """Take the first paragraph of a docstring."""
    text = member.docstring.value if member.docstring else ""
    return _cell(" ".join(text.split("\n\n")[0].split()).replace("``", "`"))


def _code(names: str) -> str:
    return ", ".join(f"`{each}`" for each in re.split(r", | / ", names))


def _cell(words: str) -> str:
    return words.replace("|", "&#124;").replace("*", "&#42;").replace("<", "&lt;")

"""Writes the pages that are made from the source: `python docs/generate.py`.

docs/reasons/ and docs/reasons.json come from docs/catalogue.py, docs/api.md from crds/,
docs/helm-values.md from the chart's values.yaml.
Pages of reasons that exist no longer are removed. tests/unit/docs/ fails while something is stale.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from certfront.model.settings import Settings  # noqa: E402 -- found by the line above
from docs.catalogue import CATALOGUE, REASONS, Entry  # noqa: E402 -- likewise

KINDS: Final = ("Certificate", "Issuer", "LoadBalancer", "LoadBalancerFrontend")
OPAQUE: Final = {"ports", "resources", "podSecurityContext", "securityContext"}
"""Values whose inside is Kubernetes' own, and not described."""

_MADE: Final = "<!-- Made by docs/generate.py. Do not edit. -->"
_CAMEL: Final = re.compile(r"(?<![`\w.])([A-Z][a-z]+[A-Z]\w*)\b")


def pages() -> dict[str, str]:
    """All generated files by their path within docs/."""
    found = {f"reasons/{name}.md": reason_page(name) for name in CATALOGUE}
    found["reasons/README.md"] = reason_index()
    found["reasons.json"] = reason_list()
    found["api.md"] = api_reference()
    found["helm-values.md"] = values_page()
    return found


def reason_page(name: str) -> str:
    """What a person reads who follows the link in a message."""
    entries = CATALOGUE[name]
    lines = [_MADE, f"# {name}", ""]
    for entry in entries:
        if len(entries) > 1:
            lines += [f"## {_place(entry)}", ""]
        lines += _entry(entry, heading="###" if len(entries) > 1 else "##")
    lines += ["[All reasons](README.md) · [How status is to be read](../status.md)", ""]
    return "\n".join(lines)


def reason_index() -> str:
    """All reasons on one page."""
    lines = [
        _MADE,
        "# Reasons",
        "",
        "Every reason that certfront gives in a condition, an Event, `status.lastFailure` or the",
        "report of a node. The same list for machines is [reasons.json](../reasons.json).",
        "",
        "| reason | meaning |",
        "| --- | --- |",
    ]
    lines += [
        f"| [{name}]({name}.md) | {_cell(reason.meaning)} |" for name, reason in REASONS.items()
    ]
    return "\n".join([*lines, ""])


def reason_list() -> str:
    """The list for machines: for each reason its texts, its address, and what it means elsewhere."""
    base = Settings().documentation_url
    listed = [
        {
            "name": name,
            "meaning": entries[0].reason.meaning,
            "remedy": entries[0].reason.remedy,
            "url": f"{base}/{name}",
            "places": [
                {
                    "shown": [_plain(where) for where in entry.where],
                    "meaning": entry.reason.meaning,
                    "remedy": entry.reason.remedy,
                    "served": entry.served,
                    "heals": entry.heals,
                }
                for entry in entries
            ],
        }
        for name, entries in CATALOGUE.items()
    ]
    return json.dumps({"version": 1, "reasons": listed}, indent=1, ensure_ascii=False) + "\n"


def api_reference() -> str:
    """Every field of the four kinds, with type, default and description."""
    lines = [
        _MADE,
        "# API reference: certfront.io/v1alpha1",
        "",
        "Made from the CRDs in crds/; `kubectl explain lbcert.spec` shows the same.",
        "A field without a default may be left out unless it is marked *required*.",
        "",
    ]
    for kind in KINDS:
        lines += _kind(_definition(kind))
    return "\n".join(lines)


def values_page() -> str:
    """Each value with its default and the comment above it in values.yaml."""
    text = (ROOT / "charts" / "certfront" / "values.yaml").read_text()
    lines = [_MADE, "# Values of the Helm chart", ""]
    lines += [
        "`values.schema.json` refuses typos, except inside what is passed on to Kubernetes as it is.",
        "",
    ]
    lines += ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, default, comment in _values(text, yaml.safe_load(text)):
        lines.append(f"| `{path}` | {default} | {comment} |")
    return "\n".join(lines) + "\n"


def write() -> None:
    """Write what differs and remove what is no page any more."""
    docs = ROOT / "docs"
    wanted = pages()
    for path, text in wanted.items():
        file = docs / path
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    for file in (docs / "reasons").iterdir():
        if f"reasons/{file.name}" not in wanted:
            file.unlink()


def _entry(entry: Entry, *, heading: str) -> Iterator[str]:
    yield from (_linked(entry.reason.meaning, entry), "")
    yield from (f"{heading} What to do", "", _linked(entry.reason.remedy, entry), "")
    if entry.commands:
        yield from ("```sh", *entry.commands, "```", "")
    yield from (f"{heading} What stays served", "", entry.served, "")
    yield from (f"{heading} Does it heal by itself?", "", _linked(entry.heals, entry), "")
    yield from (f"{heading} Where it shows", "")
    yield from (f"- {_linked(where, entry)}" for where in entry.where)
    yield ""


def _place(entry: Entry) -> str:
    """The kind under which a reason that several kinds give is explained."""
    return f"On a {_plain(entry.where[0]).partition(':')[0]}"


def _linked(text: str, entry: Entry) -> str:
    """Names of other reasons become links."""

    def link(match: re.Match[str]) -> str:
        name = match.group(1)
        known = name in CATALOGUE and name != entry.reason.name
        return f"[{name}]({name}.md)" if known else name

    return _CAMEL.sub(link, text)


def _plain(text: str) -> str:
    return text.replace("`", "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _definition(kind: str) -> Mapping[str, Any]:
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if document["spec"]["names"]["kind"] == kind:
                found: Mapping[str, Any] = document["spec"]
                return found
    raise LookupError(f"crds/ has no kind {kind}")


def _kind(definition: Mapping[str, Any]) -> Iterator[str]:
    names = definition["names"]
    version = definition["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    yield from (f"## {names['kind']}", "", schema["description"], "")
    yield f"Short name `{names['shortNames'][0]}`, plural `{names['plural']}`, namespaced."
    yield ""
    for part in ("spec", "status"):
        rows = list(_fields(schema["properties"][part], ""))
        yield from (f"### {names['kind']} {part}", "")
        yield from ("| field | type | default | description |", "| --- | --- | --- | --- |")
        yield from rows
        yield ""
    yield from _columns(names["kind"], version["additionalPrinterColumns"])


def _fields(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        yield _row(where, field, required=name in required)
        inner, suffix = _inside(field)
        yield from _fields(inner, where + suffix)


def _inside(field: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    if field.get("type") == "array":
        return field["items"], "[]"
    return field, ""


def _row(where: str, field: Mapping[str, Any], *, required: bool) -> str:
    description = _cell(" ".join(field.get("description", "").split()))
    default = field.get("default")
    shown = "*required*" if required else "" if default is None else f"`{json.dumps(default)}`"
    return f"| `{where}` | {_type(field)} | {shown} | {description} |"


def _type(field: Mapping[str, Any]) -> str:
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"map of {_type(field['additionalProperties'])}"
    kind: str = "date-time" if field.get("format") == "date-time" else field.get("type", "any")
    return kind


def _columns(kind: str, columns: list[Mapping[str, Any]]) -> Iterator[str]:
    yield from (f"### {kind} columns", "", "| column | shown | from |", "| --- | --- | --- |")
    for column in columns:
        shown = "with `-o wide`" if column.get("priority") else "always"
        yield f"| {column['name']} | {shown} | `{_cell(column['jsonPath'])}` |"
    yield ""


def _values(text: str, parsed: Any) -> Iterator[tuple[str, str, str]]:
    """(path, default, comment) of each value; of a block, its comment alone."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        key = re.match(r"( *)([A-Za-z]+):(?: |$)", line)
        if stripped.startswith("#"):
            comment.append(stripped[1:].removeprefix(" "))
        elif key is None:
            comment = []
        else:
            path = [*path[: len(key[1]) // 2], key[2]]
            value = parsed
            for step in path:
                value = value.get(step) if isinstance(value, dict) else None
            if value is not None and not {*path[:-1]} & OPAQUE:
                block = isinstance(value, dict) and value and path[-1] not in OPAQUE
                if comment or not block:
                    yield ".".join(path), "" if block else _default(value), _prose(comment)
            comment = []


def _default(value: object) -> str:
    return f"`{json.dumps(value)}`"


def _prose(comment: list[str]) -> str:
    """One line; an example keeps its lines, as code."""
    sentences: list[str] = []
    for line in comment:
        if line.startswith("  ") and line.strip():
            sentences.append(f"`{line.strip()}`<br>")
        else:
            sentences.append(line.strip())
    return " ".join(filter(None, sentences)).replace("|", "\\|").removesuffix("<br>")


if __name__ == "__main__":
    write()

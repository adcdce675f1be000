"""The documentation is complete, not stale, and its links and examples hold."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from certfront.model.certificate import Certificate
from certfront.model.frontend import Frontend
from certfront.model.issuer import Issuer
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import parse
from certfront.model.settings import Settings
from docs import generate
from docs.catalogue import CATALOGUE

ROOT = generate.ROOT
DOCS = ROOT / "docs"
PAGES = generate.pages()
WRITTEN = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *DOCS.glob("decisions/*.md")])
KINDS: dict[str, Any] = {
    "Certificate": Certificate,
    "Issuer": Issuer,
    "LoadBalancer": LoadBalancer,
    "LoadBalancerFrontend": Frontend,
}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def test_every_generated_page_is_there_and_not_stale() -> None:
    """Run `python docs/generate.py` after a change of reasons, CRDs or the chart's values."""
    held = {path: (DOCS / path).read_text() for path in PAGES if (DOCS / path).exists()}
    stale = [path for path, text in PAGES.items() if held.get(path) != text]
    assert stale == [], "run: python docs/generate.py"


def test_no_page_of_a_reason_is_left_over() -> None:
    found = {f"reasons/{file.name}" for file in (DOCS / "reasons").iterdir()}
    assert found - set(PAGES) == set()


def test_the_list_for_machines_has_every_reason_with_its_address() -> None:
    listed = json.loads((DOCS / "reasons.json").read_text())["reasons"]
    assert [entry["name"] for entry in listed] == list(CATALOGUE)
    for entry in listed:
        assert entry["url"] == f"{Settings().documentation_url}/{entry['name']}"
        assert entry["meaning"]
        assert entry["remedy"]


def test_every_value_of_the_chart_is_explained() -> None:
    given = yaml.safe_load((ROOT / "charts" / "certfront" / "values.yaml").read_text())
    row = re.compile(r"^\| `([A-Za-z.]+)` \| (?:`.*?`)? \| (.*) \|$", flags=re.MULTILINE)
    meanings = dict(row.findall(PAGES["helm-values.md"]))
    assert [path for path in value_paths(given) if not meanings.get(path, "").strip()] == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_the_links_of_the_pages_of_reasons_lead_somewhere() -> None:
    pages = sorted((DOCS / "reasons").glob("*.md"))
    assert [link for page in pages for link in broken_links(page)] == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_manifests_of_a_page_are_understood(page: Path) -> None:
    for document in manifests(page):
        kind = KINDS.get(document.get("kind", ""))
        if kind is not None and document.get("spec") is not None:
            metadata = {"namespace": "default", "uid": "u", "generation": 1, **document["metadata"]}
            parse(kind, {"metadata": metadata, "spec": document["spec"]})


def test_every_page_of_docs_is_reached_from_the_index() -> None:
    """A page that nothing links to is not found at three in the morning."""
    reached = {DOCS / "index.md"}
    open_pages = list(reached)
    while open_pages:
        page = open_pages.pop()
        for target in LINK.findall(page.read_text()):
            found = (page.parent / target.partition("#")[0]).resolve()
            if found.suffix == ".md" and found.exists() and found not in reached:
                reached.add(found)
                open_pages.append(found)
    assert [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page not in reached] == []


def value_paths(given: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The path of each value that is described by itself."""
    for name, value in given.items():
        if isinstance(value, dict) and value and name not in generate.OPAQUE:
            yield from value_paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of it."""
    broken = []
    for target in LINK.findall(page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(f"{page.name}: {target}")
    return broken


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def manifests(page: Path) -> Iterator[dict[str, Any]]:
    """The objects in the YAML blocks of a page."""
    for block in re.findall(
        r"^```yaml\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL
    ):
        yield from (doc for doc in yaml.safe_load_all(block) if isinstance(doc, dict))

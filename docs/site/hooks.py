"""Make a site of the documents as they are in the repository.

Documents link to files of the repository by relative paths. The site has the README as its first page, and each other
file outside `docs` that a page links to, under `repository/`; the links are rewritten. The marks in docs/api.md and
docs/cli.md are replaced by references that are made from the code.
"""

from __future__ import annotations

import importlib.util
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
HOME = {"README.md": "index.md"}
OWN_NAME = re.compile(r"\[`?(?:docs/)?([\w-]+\.md)`?\]\((?=[^):]*\1)")
"""The beginning of a link whose text is the name of the page: on the site, the page's title is shown in its place."""
API = re.compile(r"<!-- api:.*?-->")
COMMANDS = re.compile(r"<!-- commands:.*?-->")


def linked(path: str, markdown: str) -> list[str]:
    """Return the files that a document links to, from the repository's root.

    Args:
        path: of the document, from the root.
        markdown: its text.
    """
    return [_target(path, match[2]) for match in LINK.finditer(markdown)]


def site_path(path: str) -> str:
    """Return where the site has a file of the repository."""
    return HOME.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else f"repository/{path}")


def rewritten(path: str, markdown: str) -> str:
    """Return a document with its links as the site needs them."""
    here = posixpath.dirname(site_path(path))
    markdown = OWN_NAME.sub(lambda match: f"[{_title(match[1])}](", markdown)
    return LINK.sub(
        lambda match: match[1] + posixpath.relpath(site_path(_target(path, match[2])), here or ".") + (match[3] or ""),
        markdown,
    )


def _title(name: str) -> str:
    """Return the title of a page in `docs`, without marks.

    The result is the name where there is no such page.
    """
    path = ROOT / "docs" / name
    found = re.search(r"^# (.*)", path.read_text(encoding="utf-8"), re.M) if path.is_file() else None
    return found[1].partition(":")[0].replace("`", "") if found else name


def _target(path: str, link: str) -> str:
    """Return the file that a link leads to; for a folder, a file in it."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    if not (ROOT / target).is_dir():
        return target
    names = sorted(item.name for item in (ROOT / target).iterdir() if item.is_file())
    first = next((name for name in ("README.md", "pyproject.toml", "__init__.py") if name in names), None)
    return posixpath.join(target, first) if first else target


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the README, and all files outside `docs` that pages link to."""
    from mkdocs.structure.files import File

    pages = {f"docs/{file.src_uri}" for file in files.documentation_pages()}
    waiting, known = [*pages, "README.md"], {*pages}
    while waiting:
        path = waiting.pop()
        source = ROOT / path
        if path not in known and not path.startswith("docs/") and source.is_file():
            files.append(File.generated(config, site_path(path), abs_src_path=str(source)))
        known.add(path)
        if path.endswith(".md") and source.is_file():
            waiting += [target for target in linked(path, source.read_text(encoding="utf-8")) if target not in known]
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page, and write the references."""
    sources = {site: path for path, site in HOME.items()}
    uri = page.file.src_uri
    path = sources.get(uri) or (uri.removeprefix("repository/") if uri.startswith("repository/") else f"docs/{uri}")
    text = rewritten(path, markdown)
    text = API.sub(lambda _: api_reference(), text)
    return COMMANDS.sub(lambda _: _load("cli_reference").commands(), text)


def api_reference() -> str:
    """Return the directives that list the names of the package."""
    import galaxy_edge

    values = ((name, getattr(galaxy_edge, name)) for name in galaxy_edge.__all__)
    return "\n\n".join(["## Reference", *(f"::: {value.__module__}.{name}" for name, value in values)])


def _load(name: str) -> Any:
    """Load a module of this folder, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

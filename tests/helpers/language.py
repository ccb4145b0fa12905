"""Find phrases that plain technical English does without, and long docstrings.

``python tests/helpers/language.py [FILE ...]`` prints each with file, line and what to write instead, and exits with 1
where it found any. Without FILE it reads the whole repository. A docstring begins with a line of at most `MAX_FIRST_LINE`
characters, which is all that lists and help texts show.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTEAD = {
    r"\b[Tt]ell(?:s)? (?:whether|how|of|which|what|if)\b": "return, report",
    r"\b(?:is|are|was|be|been) told\b": "is reported, receives",
    r"\b[Tt]old (?:of|in|by|what|when|once|how)\b": "called with, reported",
    r"\banew\b": "again, newly",
    r"\blaid upon\b": "aligned",
    r"\bgone on with\b": "resumed",
    r"\b[Ss]o many\b": "N, the number of",
    r"\bof no use\b": "not usable",
    r"(?<![Tt]here )\bis no (?:picture|image|file|video|camera|galaxy|network|folder|number|directory|bundle|stream)\b": "is not a",
    r"\b(?:is|are|be|been|was|were) looked at\b": "is processed",
    r"\b[Ll]ooks? at the mean\b": "process the mean",
    r"\b[Bb]eside (?:it|them|the|its|each|every|a|an)\b": "next to, in addition to",
    r"\b[Mm]end(?:s|ed|ing)?\b": "fix, repair",
    r"\b(?:whoever|whatever it be|wherefore|whither|wherein)\b": "the caller, ...",
    r"\bhas no end\b": "is unlimited",
    r"\bnought\b": "zero",
    r"\bone an? (?:line|module|fold|core|thread|room|row|minute|second)\b": "one per ...",
    r"\b(?:pixels|frames|detections|positives|events) an? (?:million|second|frame)\b": "... per ...",
    r"\bfrom which on\b": "minimum, from",
    r"\bever more\b": "increasingly, at growing intervals",
    r"\b(?:goes|went|going) on\b(?! (?:the|a|an|one)\b)": "continues",
    r"\b[Aa]gain and again\b": "repeatedly",
    r"\bfor ever\b": "forever",
    r"\bdo no harm\b": "has restricted rights",
    r"\bturn(?:s|ed)? text round\b": "reverse text",
}
MAX_FIRST_LINE = 79
READ = (".py", ".md", ".toml", ".html", ".js")
EXEMPT = (
    "CHANGELOG.md",
    "tests/helpers/language.py",
    "tests/docs/test_language.py",
    "tests/data/",
    "models/shipped/",
    "training/results/",
    "LICENSE",
    "galaxy_edge.egg-info",
)


def findings(path: Path) -> list[str]:
    """Return a line for each phrase in a file: ``FILE:LINE: 'PHRASE': write ...``.

    Long first lines of docstrings are added.
    """
    text = path.read_text(encoding="utf-8")
    found = long_docstrings(path, text) if path.suffix == ".py" else []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in INSTEAD.items():
            found += [f"{path}:{number}: '{match}': write {instead}" for match in re.findall(pattern, line)]
    return found


def long_docstrings(path: Path, source: str) -> list[str]:
    """Return a line for each docstring in a module that begins with a long line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            length = len((ast.get_docstring(node) or "").split("\n")[0])
            if length > MAX_FIRST_LINE:
                found.append(f"{path}:{node.body[0].lineno}: {length} characters: write at most {MAX_FIRST_LINE}")
    return found


def tracked() -> list[Path]:
    """Return the files of the repository that are read."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if is_read(name) and (ROOT / name).is_file()]


def is_read(name: str) -> bool:
    """Return whether a file of this name, from the root, is held to the list."""
    return name.endswith(READ) and not name.startswith(EXEMPT)


if __name__ == "__main__":
    chosen = [Path(name) for name in sys.argv[1:] if is_read(name)] if len(sys.argv) > 1 else tracked()
    faults = [fault for path in chosen for fault in findings(path)]
    print("\n".join(faults))
    raise SystemExit(bool(faults))

"""This will fail when a file of the repository holds what would tie it to one machine or one index.

That is the host of a package index (dependencies come by name, from wherever a machine is set up to look), a
folder of the machine that the file was written on, or a size that nobody reads as a whole.
"""

import re
import subprocess
import sys
from pathlib import Path

MAXIMUM_BYTES = 400_000
MAXIMUM_PYTHON_LINES = 600

# Written in pieces, so that this file passes its own check.
INDEX_HOSTS = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "proxy.golang" + ".org",
    "sum.golang" + ".org",
    "registry.npmjs" + ".org",
    "crates" + ".io",
    "repo.maven.apache" + ".org",
    "repo1.maven" + ".org",
    "deb.debian" + ".org",
    "security.debian" + ".org",
]
FORBIDDEN = {
    "host of a package index": re.compile("|".join(map(re.escape, INDEX_HOSTS)), re.IGNORECASE),
    "path of one machine": re.compile(r"(?<![\w.\-}])/(?:root|work|home/\w+|Users/\w+)(?![\w-])"),
    "address of an index": re.compile(r"^\s*--(?:(?:extra-)?index-url|find-links)\b", re.MULTILINE),
}


def repository_files() -> list[Path]:
    """This will list tracked files and those that `git add` would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [path for path in map(Path, sorted(filter(None, listed.split("\0")))) if path.is_file()]


def problems_of(path: Path) -> list[str]:
    content = path.read_bytes()
    problems = []
    if len(content) > MAXIMUM_BYTES:
        problems.append(f"{path}: {len(content)} bytes; at most {MAXIMUM_BYTES}")
    if b"\0" in content:
        return problems
    text = content.decode(errors="replace")
    if path.suffix == ".py" and (lines := text.count("\n")) > MAXIMUM_PYTHON_LINES:
        problems.append(f"{path}: {lines} lines; at most {MAXIMUM_PYTHON_LINES}: it is more than one idea")
    for name, pattern in FORBIDDEN.items():
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            problems.append(f"{path}:{line}: {name}: {match.group().strip()}")
    return problems


def main() -> int:
    problems = [problem for path in repository_files() for problem in problems_of(path)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())

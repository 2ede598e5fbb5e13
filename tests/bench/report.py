"""The figures as a Markdown table, with what a reader needs to judge them."""

import importlib.metadata
import os
import platform
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.rounds import Figures, Scale
from tests.bench.systems import REFERENCE

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"
LIBRARIES = ("django", "granian", "psycopg")


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    unit: str
    decimals: int = 0
    more_is_better: bool = True


ROWS = (
    Row("manifest_tag", "manifest GET by tag", "answers/s"),
    Row("manifest_digest", "manifest GET by digest", "answers/s"),
    Row("manifest_head", "manifest HEAD by tag", "answers/s"),
    Row("blob_small", "blob GET, 1 KiB", "answers/s"),
    Row("blob_large", "blob GET, large", "MB/s"),
    Row("upload_one", "blob upload, one client", "MB/s"),
    Row("upload_four", "blob upload, four clients", "MB/s"),
    Row("push", "push of a small image", "images/s", 1),
    Row("manifest_tag_slow", "manifest GET by tag, 99th percentile", "ms", 1, False),
    Row("blob_small_slow", "blob GET 1 KiB, 99th percentile", "ms", 1, False),
    Row("manifest_tag_cpu", "CPU per 1,000 manifest GETs by tag", "s", 2, False),
    Row("blob_small_cpu", "CPU per 1,000 blob GETs of 1 KiB", "s", 2, False),
    Row("upload_one_cpu", "CPU per GB uploaded", "s", 2, False),
    Row("push_cpu", "CPU per small image pushed", "ms", 0, False),
    Row("memory_idle", "memory, idle", "MiB", 0, False),
    Row("memory_download", "memory, peak of a large download", "MiB", 0, False),
    Row("memory_upload", "memory, peak of four uploads", "MiB", 0, False),
    Row("memory_database", "memory of PostgreSQL beside it, idle", "MiB", 0, False),
)


def reference(all_figures: list[Figures]) -> Figures | None:
    return next((one for one in all_figures if one.system.name == REFERENCE), None)


def ratio(row: Row, one: Figures, base: Figures | None) -> float | None:
    """This will divide a registry's median by the reference's; above 1 is more, not always better."""
    mine, other = one.median(row.key), base.median(row.key) if base else None
    return mine / other if mine and other else None


def table(all_figures: list[Figures]) -> str:
    """This will write a line per measurement: medians, their spread, and ratios to the reference."""
    base = reference(all_figures)
    compared = [one for one in all_figures if base and one is not base]
    names = [one.system.name for one in all_figures]
    head = ["", "unit", *names, *(f"{one.system.name} ÷ {REFERENCE}" for one in compared)]
    lines = [_line(head), _line(["---", "---", *["---:"] * (len(head) - 2)])]
    for row in ROWS:
        if not any(one.values[row.key] for one in all_figures):
            continue
        ratios = [ratio(row, one, base) for one in compared]
        lines.append(
            _line(
                [
                    row.title if row.more_is_better else f"{row.title} *(less is better)*",
                    row.unit,
                    *(_value(row, one) for one in all_figures),
                    *("-" if value is None else f"{value:.2f}" for value in ratios),
                ]
            )
        )
    return "\n".join(lines)


def circumstances(all_figures: list[Figures], skipped: dict[str, str], scale: Scale, load: float) -> str:
    """This will list the command, the machine, the versions and what was left out."""
    command = " ".join(["python -m tests.bench", *sys.argv[1:]])
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    systems = "; ".join(f"{one.system.name}: {one.system.version}" for one in all_figures)
    sizes = f"downloads of {scale.download >> 20} MiB, uploads of {scale.upload >> 20} MiB"
    load_words = f"{scale.connections} connections, {scale.seconds:g} s a load"
    machine = f"{os.cpu_count()} cores ({_processor()}), {_memory_gib():.0f} GiB of memory"
    facts = [
        f"`make bench` (`{command}`) on {datetime.now(UTC):%Y-%m-%d}: {scale.rounds} rounds, {load_words}, {sizes}",
        f"machine: {machine}, kernel {platform.release()}, load average before the start {load:.2f}",
        f"versions: Lading {_lading()}, Python {platform.python_version()}, {libraries}; {systems}",
    ]
    facts += [f"left out: {name}: {reason}" for name, reason in skipped.items()]
    return "\n".join(f"- {fact}." for fact in facts)


def replace_between_markers(page: Path, content: str) -> None:
    """This will put `content` between the two markers of `page`. Raises ValueError where one is missing."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks the line {BEGIN} or {END}")
    page.write_text(f"{before}{BEGIN}\n{content}\n{END}{after}")


def _value(row: Row, one: Figures) -> str:
    median = one.median(row.key)
    if median is None:
        return "-"
    spread = f" ±{one.spread(row.key):.0%}" if len(one.values[row.key]) > 1 else ""
    return f"{median:,.{row.decimals}f}{spread}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _lading() -> str:
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    return str(tomllib.loads(project.read_text())["project"]["version"])


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")


def _memory_gib() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30

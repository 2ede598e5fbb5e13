"""Why a test may be skipped. A skip that is not explained here fails the run."""

from fnmatch import fnmatchcase

from tests.conformance.reports import Case

# (run, pattern of the test's name, reason)
KNOWN: tuple[tuple[str, str, str], ...] = (
    *(
        (
            run,
            "*/post cancel/blob-post-cancel",
            "cancelling an upload is newer than version 1.1, so the program leaves it out; the dev run has it",
        )
        for run in ("default", "maintainer", "administrator")
    ),
    (
        "release",
        "*Pull Setup Get tag name from environment",
        "only for registries that are filled beforehand; here the suite pushes what it pulls",
    ),
    (
        "release",
        "*Populate registry with test tags (no push)",
        "only for registries that are filled beforehand; here the suite pushes the tags",
    ),
    (
        "release",
        "*References setup (no push)",
        "only for registries that are filled beforehand; here the suite pushes the referrers",
    ),
    (
        "release",
        "*Cross-mounting of nonexistent blob should yield session id",
        "looks at the upload session of a mount that was not made; this mount was made",
    ),
    (
        "release",
        "*automatic content discovery disabled should return a 202",
        "the opposite of what Lading does: it finds a blob to mount without being told where",
    ),
)


def find_reason(run: str, case: Case) -> str | None:
    known = (reason for where, name, reason in KNOWN if where == run and fnmatchcase(case.name, name))
    return next(known, None)

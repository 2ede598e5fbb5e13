"""What must hold, checked against the journals and what was seen afterwards. Knows nothing of Lading's code.

Each function looks for one kind of breach and names it; none means that all is well. Where an answer was lost, or was
an error of the server, both outcomes are believed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.soak.journal import Operation
from tests.soak.registers import Registers
from tests.soak.sighting import Fault, Sighting

RECOVERY_SECONDS = 30.0
# Without one success of each, the run has shown nothing.
EXPECTED = (
    "push-blob",
    "mount-blob",
    "append-chunk",
    "push-manifest",
    "pull-manifest",
    "pull-blob",
    "delete-tag",
    "delete-manifest",
    "delete-repository",
    "restore-tag",
    "restore-repository",
)
REFUSALS = {429, 503, 507}
GONE = {404}
MISSING = {"MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "NAME_UNKNOWN"}
# What the protocol lets a server say to an honest client whose upload or content was collected meanwhile.
_UPLOADS = {"start-upload": {202}, "append-chunk": {202, 416}, "cancel-upload": {204}, "push-blob": {201, 416}}
BUSY = 409
ALLOWED: dict[str, set[int]] = {
    **{kind: statuses | GONE for kind, statuses in _UPLOADS.items()},
    "mount-blob": {201, 202},
    "head-blob": {200, 404},
    "push-manifest": {201, 404},
    "pull-manifest": {200, 404},
    "pull-blob": {200, 404},
    "delete-tag": {202, 404},
    "delete-manifest": {202, 404},
    "delete-blob": {202, 404, 405},
    "delete-repository": {204, 404},
    "restore-tag": {200, 404},
    "list-trash": {200, 404},
    "restore-repository": {200, 404, 409},
    "misplace-chunk": {404, 416},
    "push-wrong-bytes": {400, 404},
}


@dataclass(frozen=True)
class Violation:
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


def check(
    operations: list[Operation], faults: list[Fault], seen: Sighting, *, recovery_seconds: float = RECOVERY_SECONDS
) -> list[Violation]:
    """Everything that was promised and not kept."""
    registers = Registers(operations)
    return [
        *check_answers(operations),
        *check_recovery(faults, recovery_seconds),
        *check_bytes(operations),
        *check_pulls(operations, registers),
        *check_tags(operations, registers, seen),
        *check_children(operations),
        *check_images(operations, seen),
        *check_referrers(operations, registers, seen),
        *check_objects(seen),
        *check_garbage(seen),
        *check_figures(seen),
    ]


def check_answers(operations: Iterable[Operation]) -> Iterator[Violation]:
    """Only refusals that a client can wait out, and what the protocol says of content that went."""
    unsettled = set()
    for operation in operations:
        if operation.outcome == "unknown" or operation.status in REFUSALS:
            # The server may still be at it, or have died at it: whoever sends the same again may have to wait.
            unsettled.add(operation.upload)
            continue
        if operation.status == BUSY and operation.upload and operation.upload in unsettled:
            continue
        if operation.status not in ALLOWED[operation.kind] or (
            operation.kind == "push-manifest" and operation.status == 404 and not set(operation.codes) & MISSING
        ):
            yield Violation("O9 unexplained answer", _said(operation))


def check_recovery(faults: Iterable[Fault], recovery_seconds: float) -> Iterator[Violation]:
    """Soon after a part is back, pushes and pulls work again; collection goes on when it gets to it."""
    for fault in faults:
        if fault.recovered is None or fault.recovered - fault.healed > recovery_seconds:
            took = "not at all" if fault.recovered is None else f"after {fault.recovered - fault.healed:.1f} s"
            yield Violation("O9 late recovery", f"{fault.kind}: {took}")
        if fault.collected is None:
            yield Violation("O9 collection does not go on", fault.kind)


def check_bytes(operations: Iterable[Operation]) -> Iterator[Violation]:
    """What is pulled by its digest has that digest, at any time."""
    for operation in operations:
        if operation.found and operation.digest and operation.found != operation.digest:
            yield Violation("O1 wrong bytes", _said(operation))


def check_pulls(operations: Iterable[Operation], registers: Registers) -> Iterator[Violation]:
    """Nothing below a tag is missing while the tag stays where it is and nobody deletes its parts by digest."""
    listed = list(operations)
    deletions = [each for each in listed if each.kind == "delete-manifest" and each.may_have_happened]
    for pull in listed:
        if not pull.image or pull.status != 404:
            continue
        named = (pull.repository, pull.tag)
        # An index lacks a child that was deleted by its digest until somebody pushes it again.
        children = {pull.digest, pull.parent} - {pull.image}
        by_digest = any(
            each.repository == pull.repository and each.digest in children and each.begun <= pull.ended
            for each in deletions
        )
        if registers.undisturbed(named, pull.image, begun=pull.since, ended=pull.ended) and not by_digest:
            yield Violation("O1 broken image", f"{_said(pull)} below {pull.image}")


def check_tags(operations: Iterable[Operation], registers: Registers, seen: Sighting) -> Iterator[Violation]:
    """Each read of a tag finds the last write, or one that overlaps."""
    for read in operations:
        if read.kind == "pull-manifest" and not read.digest and read.status in {200, 404}:
            possible = registers.possible((read.repository, read.tag), begun=read.begun, ended=read.ended)
            if read.found not in possible:
                yield Violation(
                    "O2 stale tag", f"{_said(read)} found {_named(read.found)}, possible: {_list(possible)}"
                )
    for name in registers.names:
        value = seen.tags.get(name, "")
        possible = registers.possible(name, begun=seen.begun, ended=seen.ended)
        if value not in possible:
            what = f"{name[0]}:{name[1]} is {_named(value)} in the end, possible: {_list(possible)}"
            yield Violation("O2 lost tag", what)


def check_children(operations: Iterable[Operation]) -> Iterator[Violation]:
    """A manifest is only taken when what it names can have been there."""
    listed = list(operations)
    brought: dict[str, float] = {}
    for operation in listed:
        if operation.kind in {"push-blob", "mount-blob", "push-manifest"} and operation.may_have_happened:
            brought.setdefault(operation.digest, operation.begun)
    for operation in listed:
        if operation.kind == "push-manifest" and operation.outcome == "ok":
            for child in operation.children:
                if brought.get(child, operation.ended) >= operation.ended:
                    yield Violation("O3 manifest without its child", f"{_said(operation)}: {child}")


def check_images(operations: Iterable[Operation], seen: Sighting) -> Iterator[Violation]:
    """In the end, everything below every tag can be pulled with the right bytes."""
    deleted = {
        (each.repository, each.digest)
        for each in operations
        if each.kind == "delete-manifest" and each.may_have_happened
    }
    for pulled in seen.pulls:
        if pulled.status == 200 and pulled.found == pulled.digest:
            continue
        if pulled.status == 404 and pulled.child and (pulled.repository, pulled.digest) in deleted:
            continue  # Whoever deletes a child by its digest wants its bytes back, and the index waits for it.
        rule = "O1 wrong bytes" if pulled.status == 200 else "O1 lost content"
        what = f"{pulled.repository}:{pulled.tag} has {pulled.digest}: {pulled.status}, bytes of {_named(pulled.found)}"
        yield Violation(rule, what)


def check_referrers(operations: Iterable[Operation], registers: Registers, seen: Sighting) -> Iterator[Violation]:
    """What was pushed for a subject that had its tag all the time is listed with it."""
    deleted = {
        (each.repository, each.digest)
        for each in operations
        if each.kind == "delete-manifest" and each.may_have_happened
    }
    for operation in operations:
        if operation.kind != "push-manifest" or operation.outcome != "ok" or not operation.subject:
            continue
        where = operation.repository
        if {(where, operation.digest), (where, operation.subject)} & deleted:
            continue
        kept = any(
            registers.settled_since(name, operation.subject, operation.begun)
            for name in registers.names
            if name[0] == where
        )
        if kept and operation.digest not in seen.referrers.get((where, operation.subject), ()):
            yield Violation("O1 lost referrer", f"{where}@{operation.digest} of {operation.subject}")


def check_objects(seen: Sighting) -> Iterator[Violation]:
    """Every stored byte is named by exactly one row, and every row has its bytes."""
    names = [*(blob.key for blob in seen.blobs), *seen.uploads, *seen.outbox]
    for key in sorted(seen.objects.keys() - set(names)):
        yield Violation("O4 unnamed object", key)
    for key in sorted({key for key in names if names.count(key) > 1}):
        yield Violation("O4 object named twice", key)
    for key in seen.outbox:
        yield Violation("O4 deletion that does not end", key)
    for blob in seen.blobs:
        if blob.key not in seen.objects:
            yield Violation("O5 row without object", f"{blob.digest} at {blob.key}")
        elif seen.objects[blob.key] != (blob.size, blob.digest):
            size, digest = seen.objects[blob.key]
            yield Violation("O5 object unlike its row", f"{blob.digest} of {blob.size} bytes is {digest} of {size}")
    if seen.parts:
        yield Violation("O4 upload that nobody ends", ", ".join(seen.parts))


def check_garbage(seen: Sighting) -> Iterator[Violation]:
    """After two rounds nothing is left that no tag leads to."""
    for manifest in seen.unreachable_manifests:
        yield Violation("O4 garbage manifest", manifest)
    for digest in seen.unreferenced_blobs:
        yield Violation("O4 garbage blob", digest)


def check_figures(seen: Sighting) -> Iterator[Violation]:
    """Each team's account equals a recount."""
    for team, (account, recount) in seen.usage.items():
        if account != recount:
            yield Violation("O6 wrong account", f"{team}: {account} bytes instead of {recount}")


def missing_successes(operations: Iterable[Operation]) -> list[str]:
    """Kinds of requests of which none came through."""
    done = {operation.kind for operation in operations if operation.outcome == "ok"}
    return [kind for kind in EXPECTED if kind not in done]


def _said(operation: Operation) -> str:
    what = f"{operation.kind} {operation.repository}:{operation.tag or operation.digest}"
    told = " ".join([str(operation.status), *operation.codes])
    return f"{what} at {operation.begun:.3f} by {operation.client}: {told}"


def _named(digest: str) -> str:
    return digest or "nothing"


def _list(digests: Iterable[str]) -> str:
    return ", ".join(sorted(map(_named, digests)))

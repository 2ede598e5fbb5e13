"""What a run did and came to."""

from collections import Counter, defaultdict

from tests.soak.checker import Violation
from tests.soak.journal import Operation
from tests.soak.sighting import Fault, Sighting

MOST_VIOLATIONS = 40


def print_report(
    operations: list[Operation],
    faults: list[Fault],
    seen: Sighting,
    violations: list[Violation],
    missing: list[str],
) -> None:
    by_kind: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for operation in operations:
        answer = "no answer" if operation.outcome == "unknown" else str(operation.status)
        by_kind[operation.kind][answer] += 1
    print(f"  {len(operations)} requests:")
    for kind, answers in sorted(by_kind.items()):
        print(f"    {kind:20} " + ", ".join(f"{count} x {answer}" for answer, count in sorted(answers.items())))
    broken = Counter(fault.kind for fault in faults)
    print(f"  {len(faults)} faults: " + ", ".join(f"{count} x {kind}" for kind, count in sorted(broken.items())))
    late = max((fault.recovered - fault.healed for fault in faults if fault.recovered is not None), default=0.0)
    print(f"  the longest recovery took {late:.1f} s")
    print(f"  {seen.collected_bytes} bytes collected; {len(seen.objects)} objects, {len(seen.tags)} tags left")
    for what in missing:
        print(f"  nothing shown: no success of {what}" if " " not in what else f"  {what}")
    for rule, count in Counter(violation.rule for violation in violations).items():
        print(f"  {count} x {rule}")
    for violation in violations[:MOST_VIOLATIONS]:
        print(f"    {violation}")
    print(f"  verdict: {'BROKEN' if violations or missing else 'all promises kept'}", flush=True)

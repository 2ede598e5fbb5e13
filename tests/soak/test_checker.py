"""The checker on histories that were made by hand: it must find what is wrong, and only that."""

import dataclasses
import json
import math

import pytest

from tests.soak.checker import check, missing_successes
from tests.soak.journal import Journal, Operation, read_journals
from tests.soak.sighting import Fault, Pulled, Sighting, StoredBlob

NAME, TAG = "soak/app", "t0"
LAYER, OTHER, IMAGE, INDEX, NOTE = (f"sha256:{letter * 64}" for letter in "01234")


def operation(kind, begun, ended=None, *, status=0, **more):
    """Answered a second later, unless `ended` or an outcome says otherwise."""
    outcome = "fail" if status >= 400 else "ok" if status else "unknown"
    end = math.inf if outcome == "unknown" else begun + 1 if ended is None else ended
    values = {"repository": NAME, "begun": begun, "ended": end, "outcome": outcome, "status": status} | more
    return Operation(kind, **values)


def pushed(digest, begun, *, tag=TAG, status=201, children=(LAYER,), **more):
    return operation("push-manifest", begun, status=status, tag=tag, digest=digest, children=children, **more)


def read(begun, found, *, status=None):
    return operation("pull-manifest", begun, status=status or (200 if found else 404), tag=TAG, found=found)


LAYER_PUSHED = operation("push-blob", 0, status=201, digest=LAYER)
GOOD = [LAYER_PUSHED, pushed(IMAGE, 2), read(4, IMAGE)]


def sighting(**changes):
    """What is seen when all is well behind GOOD."""
    seen = Sighting(
        begun=100,
        ended=110,
        tags={(NAME, TAG): IMAGE},
        pulls=[Pulled(NAME, TAG, IMAGE, 200, IMAGE), Pulled(NAME, TAG, LAYER, 200, LAYER)],
        objects={"blobs/a": (3, LAYER)},
        blobs=[StoredBlob("blobs/a", LAYER, 3)],
        usage={"soak": (3, 3)},
    )
    return dataclasses.replace(seen, **changes)


def rules(operations=GOOD, *, seen=None, faults=()):
    return [violation.rule for violation in check(operations, list(faults), seen or sighting())]


def test_finds_nothing_where_all_is_well():
    recovered = Fault("kill the worker", 1, 2, 3, 4)
    refused = operation("push-blob", 5, status=503, digest=OTHER)
    assert rules([*GOOD, refused], faults=[recovered]) == []


@pytest.mark.parametrize("status", [400, 401, 403, 409, 500, 502])
def test_finds_an_answer_that_no_client_can_explain(status):
    assert rules([*GOOD, operation("pull-blob", 5, status=status, digest=LAYER)]) == ["O9 unexplained answer"]


def test_believes_that_an_upload_is_busy_only_behind_a_request_that_failed():
    failed = operation("append-chunk", 4, status=503, upload="here")
    busy = operation("push-blob", 6, status=409, digest=OTHER, upload="here")
    assert rules([*GOOD, failed, busy]) == []
    assert rules([*GOOD, dataclasses.replace(failed, upload="there"), busy]) == ["O9 unexplained answer"]


def test_finds_a_manifest_refused_without_a_reason():
    refusal = pushed(IMAGE, 5, status=404, codes=("UNSUPPORTED",))
    explained = pushed(IMAGE, 7, status=404, codes=("MANIFEST_BLOB_UNKNOWN",))
    assert rules([*GOOD, refusal, explained]) == ["O9 unexplained answer"]


@pytest.mark.parametrize("recovered", [None, 33.0])
def test_finds_a_late_recovery(recovered):
    assert rules(faults=[Fault("kill the worker", 1, 2, recovered, 99)]) == ["O9 late recovery"]


def test_finds_a_collection_that_does_not_go_on():
    assert rules(faults=[Fault("kill the worker", 1, 2, 3)]) == ["O9 collection does not go on"]


def test_finds_wrong_bytes_of_a_pull():
    assert rules([*GOOD, operation("pull-blob", 5, status=200, digest=LAYER, found=OTHER)]) == ["O1 wrong bytes"]


def below(digest, begun, status, **more):
    return operation("pull-blob", begun, status=status, digest=digest, tag=TAG, image=IMAGE, since=begun - 1, **more)


def test_finds_an_image_that_is_broken_while_its_tag_stays():
    assert rules([*GOOD, below(LAYER, 7, 404)]) == ["O1 broken image"]


@pytest.mark.parametrize(
    "meanwhile",
    [
        operation("delete-tag", 6.5, status=202, tag=TAG),
        operation("delete-tag", 6.5, tag=TAG),
        operation("delete-repository", 3.5, status=503),
        operation("delete-manifest", 6.5, status=202, digest=IMAGE),
        pushed(OTHER, 6.5),
    ],
)
def test_believes_that_an_image_goes_with_its_tag(meanwhile):
    history = [*GOOD, meanwhile, below(LAYER, 7, 404), pushed(IMAGE, 20)]
    assert rules(history) == []


def test_believes_that_a_child_goes_when_its_digest_is_deleted():
    history = [LAYER_PUSHED, pushed(IMAGE, 2, tag=""), pushed(INDEX, 4, children=(IMAGE,))]
    deletion = operation("delete-manifest", 6, status=202, digest=IMAGE)
    missing = operation("pull-manifest", 9, status=404, digest=IMAGE, tag=TAG, image=INDEX, parent=INDEX, since=8)
    lost = Pulled(NAME, TAG, IMAGE, 404, "", child=True)
    seen = sighting(tags={(NAME, TAG): INDEX}, pulls=[lost])
    assert rules([*history, deletion, missing], seen=seen) == []
    assert rules([*history, missing], seen=seen) == ["O1 broken image", "O1 lost content"]


def test_finds_a_stale_read():
    moved = [*GOOD, pushed(OTHER, 6)]
    now_other = sighting(tags={(NAME, TAG): OTHER}, pulls=[])
    assert rules([*moved, read(8, IMAGE)], seen=now_other) == ["O2 stale tag"]
    assert rules([*moved, read(8, "")], seen=now_other) == ["O2 stale tag"]
    assert rules([*moved, read(6.5, IMAGE), read(8, OTHER)], seen=now_other) == []


def test_finds_a_tag_that_was_never_written_and_one_that_came_back():
    assert rules([*GOOD, read(6, NOTE)]) == ["O2 stale tag"]
    deleted = [*GOOD, operation("delete-manifest", 6, status=202, digest=IMAGE)]
    assert rules(deleted) == ["O2 lost tag"]
    assert rules(deleted, seen=sighting(tags={}, pulls=[])) == []


def test_finds_a_lost_tag():
    assert rules(seen=sighting(tags={}, pulls=[])) == ["O2 lost tag"]


@pytest.mark.parametrize("last", [pushed(OTHER, 6, status=0), pushed(OTHER, 6, status=503)])
@pytest.mark.parametrize("value", [IMAGE, OTHER])
def test_believes_both_outcomes_of_a_write_without_an_answer(last, value):
    assert rules([*GOOD, last], seen=sighting(tags={(NAME, TAG): value})) == []


def test_believes_no_outcome_of_a_write_that_was_refused():
    full = pushed(OTHER, 6, status=507)
    assert rules([*GOOD, full], seen=sighting(tags={(NAME, TAG): OTHER})) == ["O2 lost tag"]


def test_knows_what_comes_back_with_a_repository():
    deleted = [*GOOD, operation("delete-repository", 6, status=204)]
    assert rules(deleted) == ["O2 lost tag"]
    assert rules([*deleted, operation("restore-repository", 8, status=200, tags={TAG: IMAGE})]) == []


def test_finds_a_manifest_that_was_taken_without_its_child():
    assert rules([*GOOD, pushed(IMAGE, 5, children=(LAYER, OTHER))]) == ["O3 manifest without its child"]
    late = operation("push-blob", 9, status=201, digest=OTHER)
    assert rules([*GOOD, pushed(IMAGE, 5, children=(OTHER,)), late]) == ["O3 manifest without its child"]


@pytest.mark.parametrize(
    ("status", "found", "rule"),
    [(404, "", "O1 lost content"), (500, "", "O1 lost content"), (200, OTHER, "O1 wrong bytes")],
)
@pytest.mark.parametrize("digest", [IMAGE, LAYER])
def test_finds_what_cannot_be_pulled_in_the_end(digest, status, found, rule):
    assert rules(seen=sighting(pulls=[Pulled(NAME, TAG, digest, status, found)])) == [rule]


def test_finds_a_lost_referrer():
    history = [*GOOD, pushed(NOTE, 6, tag="", subject=IMAGE)]
    assert rules(history) == ["O1 lost referrer"]
    assert rules(history, seen=sighting(referrers={(NAME, IMAGE): [NOTE]})) == []
    # Its subject may have been gone for a moment.
    assert rules([*history, operation("delete-tag", 8, status=202, tag=TAG), pushed(IMAGE, 10)]) == []


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"objects": {"blobs/a": (3, LAYER), "blobs/b": (1, OTHER)}}, "O4 unnamed object"),
        ({"uploads": ["blobs/a"]}, "O4 object named twice"),
        ({"outbox": ["blobs/b"]}, "O4 deletion that does not end"),
        ({"parts": ["blobs/b"]}, "O4 upload that nobody ends"),
        ({"unreachable_manifests": [f"{NAME}@{OTHER}"]}, "O4 garbage manifest"),
        ({"unreferenced_blobs": [OTHER]}, "O4 garbage blob"),
        ({"objects": {}}, "O5 row without object"),
        ({"objects": {"blobs/a": (2, LAYER)}}, "O5 object unlike its row"),
        ({"objects": {"blobs/a": (3, OTHER)}}, "O5 object unlike its row"),
        ({"usage": {"soak": (3, 3), "other": (5, 4)}}, "O6 wrong account"),
    ],
)
def test_finds_what_is_wrong_at_rest(changes, rule):
    assert rules(seen=sighting(**changes)) == [rule]


def test_says_what_a_run_did_not_show():
    assert "push-manifest" not in missing_successes(GOOD)
    assert "restore-tag" in missing_successes([*GOOD, operation("restore-tag", 5, status=404)])


def test_journals_tell_what_was_asked_and_what_was_answered(tmp_path):
    path = tmp_path / "client-0.jsonl"
    journal = Journal(path)
    first = journal.invoke("push-manifest", repository=NAME, tag=TAG, digest=IMAGE, children=[LAYER])
    journal.complete(first, "ok", status=201, codes=[])
    lost = journal.invoke("delete-tag", repository=NAME, tag=TAG)
    journal.complete(lost, "unknown")
    journal.invoke("delete-repository", repository=NAME)
    journal.close()
    with path.open("a") as file:
        file.write(json.dumps({"n": 4, "event": "invoke"})[:-3])
    pushed_one, without_answer, cut_off = read_journals([path])
    assert (pushed_one.outcome, pushed_one.status, pushed_one.children) == ("ok", 201, (LAYER,))
    assert pushed_one.begun <= pushed_one.ended <= without_answer.begun
    assert [(each.outcome, each.may_have_happened, each.latest) for each in (without_answer, cut_off)] == [
        ("unknown", True, math.inf)
    ] * 2

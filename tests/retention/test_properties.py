"""What holds for every repository and every policy."""

from datetime import timedelta

import semver
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_gc.retention.evaluator import evaluate
from registry_gc.retention.facts import fallback_subject, used_at
from registry_gc.retention.policy import Action
from registry_gc.retention.verdicts import Cause
from registry_gc.retention.versions import version_key
from tests.retention.builders import NOW, layer, rules_of
from tests.retention.strategies import delete_rules, facts, keep_rules, rules, worlds

many = settings(max_examples=100)
# Beside other rules, so that whatever is not kept goes.
EVERYTHING = {"action": "delete"}


def run(repository, documents, now=NOW):
    return evaluate(facts=repository, rules=rules_of(layer(documents)), now=now)


def deleted(evaluation):
    return {verdict.tag or verdict.digest for verdict in evaluation.verdicts if verdict.is_deleted}


def kept(evaluation):
    return {verdict.tag or verdict.digest for verdict in evaluation.verdicts if not verdict.is_deleted}


def age_holds(document, tag, repository, now):
    """The ages of a rule, read a second time and in other words."""
    used = used_at(tag.pushed_at, tag.pulled_at, repository.manifests.get(tag.digest), repository)
    day = timedelta(days=1)
    for field, value in document.items():
        moment = tag.pushed_at if field.startswith("pushed") else used
        if field.endswith("_within") and not (now - moment) / day < int(value[:-1]):
            return False
        if field.endswith("_before") and not (now - moment) / day >= int(value[:-1]):
            return False
    return True


@many
@given(worlds)
def test_every_tag_gets_one_verdict_in_its_place(world):
    verdicts = [verdict for verdict in run(world.facts, world.rules).verdicts if verdict.tag]
    assert [verdict.tag for verdict in verdicts] == [tag.name for tag in world.facts.tags]


@many
@given(worlds, st.randoms(use_true_random=False))
def test_the_order_of_rules_changes_nothing(world, random):
    shuffled = random.sample(world.rules, len(world.rules))
    first, second = run(world.facts, world.rules), run(world.facts, shuffled)
    assert (kept(first), first.gone) == (kept(second), second.gone)
    assert [verdict.changes_at for verdict in first.verdicts] == [verdict.changes_at for verdict in second.verdicts]


@many
@given(worlds, st.integers(1, 3))
def test_the_order_of_tags_changes_nothing(world, count):
    documents = [{"action": "keep", "newest": count}, EVERYTHING, *world.rules[:1]]
    turned = type(world.facts)(world.facts.name, world.facts.tags[::-1], world.facts.manifests)
    assert deleted(run(world.facts, documents)) == deleted(run(turned, documents))


@many
@given(worlds, keep_rules())
def test_another_keep_rule_never_deletes_more(world, rule):
    documents = [*world.rules, EVERYTHING]
    assert deleted(run(world.facts, [*documents, rule])) <= deleted(run(world.facts, documents))


@many
@given(worlds, delete_rules())
def test_another_delete_rule_never_keeps_more(world, rule):
    # Only a rule about untagged manifests brings verdicts for them.
    assert deleted(run(world.facts, world.rules)) <= deleted(run(world.facts, [*world.rules, rule]))


@many
@given(facts(), st.lists(keep_rules(), max_size=4))
def test_keep_rules_alone_delete_nothing(repository, documents):
    evaluation = run(repository, documents)
    assert not deleted(evaluation)
    assert not evaluation.gone


@many
@given(worlds)
def test_a_protected_tag_is_kept(world):
    protected = {tag.name for tag in world.facts.tags if tag.protected}
    assert not protected & deleted(run(world.facts, world.rules))


@many
@given(worlds)
def test_the_deciding_rule_matches_and_no_keep_rule_does(world):
    named = {tag.name: tag for tag in world.facts.tags}
    evaluation = run(world.facts, world.rules)
    for verdict in evaluation.verdicts:
        if verdict.cause is not Cause.RULE or not verdict.counts:
            continue
        tag, document = named[verdict.tag], world.rules[verdict.rule.number - 1]
        assert document["action"] == verdict.action
        assert verdict.rule.rule.tags[0].matches(tag.name)
        assert age_holds(document, tag, world.facts, NOW)
        if verdict.action is Action.DELETE:
            assert not any(
                other["action"] == "keep"
                and not other.keys() & {"newest", "newest_semver"}
                and rules_of(layer([other]))[0].rule.tags[0].matches(tag.name)
                and age_holds(other, tag, world.facts, NOW)
                for other in world.rules
            )


@many
@given(worlds, st.data())
def test_the_newest_are_never_deleted(world, data):
    count = data.draw(st.integers(1, 3))
    evaluation = run(world.facts, [{"action": "keep", "newest": count}, EVERYTHING, *world.rules])
    ordinary = [verdict.tag for verdict in evaluation.verdicts if verdict.counts]
    pushed = {tag.name: (tag.pushed_at, tag.name) for tag in world.facts.tags}
    newest = sorted(ordinary, key=pushed.get)[-count:]
    assert not set(newest) & deleted(evaluation)


@many
@given(worlds)
def test_an_index_and_its_children_and_referrers_share_their_fate(world):
    evaluation = run(world.facts, world.rules)
    stays = {tag.digest for tag in world.facts.tags if tag.name in kept(evaluation)}
    stays |= world.facts.manifests.keys() - evaluation.gone
    for manifest in world.facts.manifests.values():
        if manifest.digest in stays:
            assert not set(manifest.children) & evaluation.gone
        elif not any(tag.digest == manifest.digest for tag in world.facts.tags if tag.name in kept(evaluation)):
            keepers = [other for other in world.facts.manifests.values() if manifest.digest in other.children]
            assert all(keeper.digest in evaluation.gone for keeper in keepers)
        if manifest.subject in stays:
            assert manifest.digest not in evaluation.gone
    for tag in world.facts.tags:
        subject = fallback_subject(tag.name)
        if subject in world.facts.manifests and not tag.protected:
            assert (tag.name in deleted(evaluation)) == (subject in evaluation.gone)


@many
@given(worlds)
def test_a_kept_tag_keeps_its_manifest(world):
    evaluation = run(world.facts, world.rules)
    assert not evaluation.gone & {tag.digest for tag in world.facts.tags if tag.name in kept(evaluation)}


@many
@given(worlds)
def test_it_tells_truly_when_a_tag_will_go(world):
    for verdict in run(world.facts, world.rules).verdicts:
        name = verdict.tag or verdict.digest
        if verdict.is_deleted:
            assert verdict.changes_at is None
        elif verdict.changes_at:
            second = timedelta(seconds=1)
            assert name in deleted(run(world.facts, world.rules, verdict.changes_at))
            assert name in kept(run(world.facts, world.rules, verdict.changes_at - second))
            assert verdict.then is None or verdict.then.rule.action is Action.DELETE


@many
@given(worlds, st.integers(0, 400))
def test_what_never_goes_is_kept_at_every_later_hour(world, hours):
    later = NOW + timedelta(hours=hours)
    never = {
        verdict.tag or verdict.digest
        for verdict in run(world.facts, world.rules).verdicts
        if not verdict.is_deleted and (verdict.changes_at is None or verdict.changes_at > later)
    }
    assert not never & deleted(run(world.facts, world.rules, later))


@many
@given(worlds, st.integers(1, 400))
def test_without_pushes_and_pulls_nothing_comes_back(world, hours):
    """Unless a rule keeps the old, or the newest of those that are young, what goes now goes later as well."""
    documents = [
        rule
        for rule in world.rules
        if rule["action"] == "delete"
        or (
            not (rule.keys() & {"pushed_before", "pulled_before"})
            and not (rule.keys() & {"newest", "newest_semver"} and rule.keys() & {"pushed_within", "pulled_within"})
        )
    ]
    documents.append(EVERYTHING)
    now, later = run(world.facts, documents), run(world.facts, documents, NOW + timedelta(hours=hours))
    assert deleted(now) <= deleted(later)


@many
@given(worlds)
def test_running_twice_deletes_nothing_more(world):
    """What a run leaves is what the next one at the same moment leaves, so that a preview stays true."""
    first = run(world.facts, world.rules)
    left = [tag for tag in world.facts.tags if tag.name in kept(first)]
    manifests = {digest: fact for digest, fact in world.facts.manifests.items() if digest not in first.gone}
    second = run(type(world.facts)(world.facts.name, left, manifests), world.rules)
    tags = {verdict.tag for verdict in second.verdicts if verdict.tag and verdict.is_deleted}
    assert not tags


@given(rules)
def test_a_policy_comes_back_as_it_went_in(documents):
    policy = layer(documents, enabled=False, schedule="*/5 1-3 * * mon", brake_percent=7).policy
    again = layer([]).policy.model_validate(policy.document())
    assert again == policy
    assert again.document() == policy.document()


numbers = st.integers(0, 12).map(str)
prereleases = st.lists(numbers | st.sampled_from(["a", "rc", "rc1", "x-y", "0a"]), min_size=1, max_size=3).map(".".join)
versions = st.builds(
    lambda patch, suffix: f"1.2.{patch}{suffix}",
    st.integers(9, 11),
    st.just("") | prereleases.map(lambda pre: f"-{pre}"),
)


@many
@given(versions, versions)
def test_versions_sort_as_the_library_compares_them(one, other):
    key, other_key = version_key(one), version_key("v" + other)
    assert (key > other_key) - (key < other_key) == semver.Version.parse(one).compare(other)

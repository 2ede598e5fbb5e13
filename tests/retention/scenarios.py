"""What people complained about elsewhere, and what happens here. The references are other projects' threads."""

from dataclasses import dataclass, field

from tests.retention.builders import digest, fallback, manifest, tag


@dataclass(frozen=True)
class Scenario:
    name: str
    rules: list
    tags: list
    expected: dict
    manifests: list = field(default_factory=list)
    reference: str = ""

    def __str__(self):
        return self.name.replace(" ", "-")


def keep(**conditions):
    return {"action": "keep", **conditions}


def delete(**conditions):
    return {"action": "delete", **conditions}


BUILDS = [tag(f"build-{age}", f"{age}d") for age in (1, 10, 20, 40, 50)]
INDEX = manifest("multi", "90d", children=["amd64", "arm64"])
CHILDREN = [manifest("amd64", "90d"), manifest("arm64", "90d")]
NEWEST, OLD = keep(tags="build-*", newest=2), delete(tags="build-*", pushed_before="30d")

SCENARIOS = [
    Scenario(
        "a never pulled tag counts from its push",
        [delete(pulled_before="7d")],
        [tag("fresh", "1h"), tag("stale", "8d"), tag("used", "60d", "2d")],
        {"fresh": "keep", "stale": "delete by 1", "used": "keep"},
        reference="goharbor/harbor#18479",
    ),
    Scenario(
        "keeping what was pulled lately keeps what was just pushed",
        [keep(pulled_within="7d"), delete()],
        [tag("fresh", "1h"), tag("stale", "8d")],
        {"fresh": "keep by 1", "stale": "delete by 2"},
        reference="goharbor/harbor#11837",
    ),
    Scenario(
        "a push after the last pull begins anew",
        [delete(pulled_before="90d")],
        [tag("nightly", "1d", "100d")],
        {"nightly": "keep"},
        reference="aws/containers-roadmap#2746",
    ),
    Scenario(
        "a pull of a child is a pull of its index",
        [delete(pulled_before="30d")],
        [tag("1.0", "90d", of="multi")],
        {"1.0": "keep"},
        [INDEX, manifest("amd64", "90d", pulled="1d"), manifest("arm64", "90d")],
        reference="goharbor/harbor#22390",
    ),
    Scenario(
        "a pull by digest counts for the tag",
        [delete(pulled_before="30d")],
        [tag("prod", "90d"), tag("test", "90d")],
        {"prod": "keep", "test": "delete by 1"},
        [manifest("prod", "90d", pulled="1d"), manifest("test", "90d")],
        reference="aws/containers-roadmap#921",
    ),
    Scenario(
        "children of a kept index are no untagged manifests",
        [delete(untagged="7d")],
        [tag("1.0", "90d", of="multi")],
        {"1.0": "keep"},
        [INDEX, *CHILDREN],
        reference="snok/container-retention-policy#43",
    ),
    Scenario(
        "untagged manifests go and children of tagged indexes stay",
        [delete(untagged="7d")],
        [tag("1.0", "90d", of="multi")],
        {"1.0": "keep", digest("lost"): "delete by 1", digest("young"): "keep"},
        [INDEX, *CHILDREN, manifest("lost", "90d"), manifest("young", "1d")],
        reference="actions/delete-package-versions#90",
    ),
    Scenario(
        "an untagged index goes as a whole",
        [delete(untagged="7d")],
        [],
        {digest("multi"): "delete by 1"},
        [INDEX, *CHILDREN],
        reference="go-gitea/gitea#32053",
    ),
    Scenario(
        "untagged counts from the end of the last tag",
        [delete(untagged="7d")],
        [],
        {digest("moved"): "keep", digest("gone"): "delete by 1"},
        [manifest("moved", "90d", untagged="2d"), manifest("gone", "90d", untagged="9d")],
        reference="go-gitea/gitea#21673",
    ),
    Scenario(
        "hundreds of untagged manifests do not touch the tags",
        [delete(untagged="7d")],
        [tag("latest", "300d")],
        {"latest": "keep", **{digest(f"u{n}"): "delete by 1" for n in range(20)}},
        [manifest(f"u{n}", "30d") for n in range(20)],
        reference="loxilb-io/kube-loxilb#266",
    ),
    Scenario(
        "an untagged manifest in use by digest can stay",
        [delete(untagged="7d", pulled_before="30d")],
        [],
        {digest("pinned"): "keep", digest("unused"): "delete by 1"},
        [manifest("pinned", "90d", pulled="3d"), manifest("unused", "90d")],
        reference="aws/containers-roadmap#1078",
    ),
    Scenario(
        "a tag of a child is a tag of its own",
        [delete(tags="*-amd64", pushed_before="30d")],
        [tag("1.0", "90d", of="multi"), tag("1.0-amd64", "90d", of="amd64")],
        {"1.0": "keep", "1.0-amd64": "delete by 1"},
        [INDEX, *CHILDREN],
        reference="goharbor/harbor#20844",
    ),
    Scenario(
        "deleting one tag of a digest leaves its siblings",
        [delete(tags="build-*")],
        [tag("build-7", "9d", of="image"), tag("prod", "9d", of="image")],
        {"build-7": "delete by 1", "prod": "keep"},
        reference="goharbor/harbor#8717",
    ),
    Scenario(
        "a kept sibling does not keep the others",
        [keep(tags="prod"), delete()],
        [tag("build-7", "9d", of="image"), tag("prod", "9d", of="image")],
        {"build-7": "delete by 2", "prod": "keep by 1"},
        reference="goharbor/harbor#9215",
    ),
    Scenario(
        "each of two siblings is a name of its own",
        [delete(tags="b")],
        [tag("a", "9d", of="image"), tag("b", "9d", of="image"), tag("c", "9d", of="image")],
        {"a": "keep", "b": "delete by 1", "c": "keep"},
        reference="Joxit/docker-registry-ui#157",
    ),
    Scenario(
        "what no rule is about stays",
        [delete(tags="pr-*")],
        [tag("pr-1", "1d"), tag("production", "900d")],
        {"pr-1": "delete by 1", "production": "keep"},
        reference="goharbor/harbor#22026",
    ),
    Scenario(
        "a policy of keep rules deletes nothing",
        [keep(tags="v*"), keep(newest=1)],
        [tag("v1", "900d"), tag("old", "900d"), tag("new", "1d")],
        {"v1": "keep by 1", "old": "keep", "new": "keep by 2"},
        reference="goharbor/harbor#16065",
    ),
    Scenario(
        "an empty policy deletes nothing",
        [],
        [tag("a", "900d"), tag(fallback("gone", ".sig"), "900d")],
        {"a": "keep", fallback("gone", ".sig"): "keep"},
        [manifest("lost", "900d")],
        reference="project-zot/zot#3804",
    ),
    Scenario(
        "a keep rule wins though it stands last",
        [delete(pushed_before="1d"), keep(tags="v*")],
        [tag("v1", "9d"), tag("x", "9d")],
        {"v1": "keep by 2", "x": "delete by 1"},
        reference="aws/containers-roadmap#1128",
    ),
    Scenario(
        "releases are told from builds by an expression",
        [keep(tags_regex=r"v[0-9]+\.[0-9]+"), delete()],
        [tag("v1.2", "9d"), tag("v1.2-rc", "9d"), tag("xv1.2", "9d")],
        {"v1.2": "keep by 1", "v1.2-rc": "delete by 2", "xv1.2": "delete by 2"},
        reference="goharbor/harbor#12877",
    ),
    Scenario(
        "an expression with alternatives matches whole tags",
        [delete(tags_regex="dev|test")],
        [tag("dev", "1d"), tag("test", "1d"), tag("development", "1d"), tag("latest", "1d")],
        {"dev": "delete by 1", "test": "delete by 1", "development": "keep", "latest": "keep"},
        reference="gitlab-org/gitlab#219915",
    ),
    Scenario(
        "pattern and expression hold together",
        [delete(tags="dev-*", tags_regex=".*[0-9]")],
        [tag("dev-1", "1d"), tag("dev-x", "1d"), tag("prod-1", "1d")],
        {"dev-1": "delete by 1", "dev-x": "keep", "prod-1": "keep"},
    ),
    Scenario(
        "the newest are counted among what the rule matches",
        [NEWEST, OLD],
        [*BUILDS, tag("v9", "1h"), tag("v8", "2h")],
        {
            "build-1": "keep by 1",
            "build-10": "keep by 1",
            "build-20": "keep",
            "build-40": "delete by 2",
            "build-50": "delete by 2",
            "v9": "keep",
            "v8": "keep",
        },
        reference="gitlab-org/gitlab#325429",
    ),
    Scenario(
        "the newest stay however old they are",
        [NEWEST, OLD],
        [tag("build-1", "400d"), tag("build-2", "500d"), tag("build-3", "600d")],
        {"build-1": "keep by 1", "build-2": "keep by 1", "build-3": "delete by 2"},
        reference="goharbor/harbor#11818",
    ),
    Scenario(
        "fewer tags than the rule keeps all stay",
        [keep(newest=10), delete(pushed_before="1d")],
        [tag("a", "90d"), tag("b", "91d")],
        {"a": "keep by 1", "b": "keep by 1"},
        reference="sonatype/nexus-public#255",
    ),
    Scenario(
        "of tags pushed at once the later name is newer",
        [keep(newest=1), delete()],
        [tag("build-2", "5d"), tag("build-1", "5d"), tag("build-3", "5d")],
        {"build-1": "delete by 2", "build-2": "delete by 2", "build-3": "keep by 1"},
        reference="sonatype/nexus-public#400",
    ),
    Scenario(
        "pushing the same image again makes the tag new",
        [keep(newest=1), delete()],
        [tag("old-image", "1h", of="x"), tag("other", "2h")],
        {"old-image": "keep by 1", "other": "delete by 2"},
        [manifest("x", "900d")],
        reference="aws/containers-roadmap#2746",
    ),
    Scenario(
        "signatures take no place among the newest",
        [keep(newest=2), delete(pushed_before="1d")],
        [tag("a", "3d"), tag("b", "2d"), tag(fallback("a", ".sig"), "1h"), tag(fallback("b", ".att"), "1h")],
        {
            "a": "keep by 1",
            "b": "keep by 1",
            fallback("a", ".sig"): "keep with its subject",
            fallback("b", ".att"): "keep with its subject",
        },
        reference="go-gitea/gitea#32053",
    ),
    Scenario(
        "signature, attestation and SBOM go with their image",
        [delete(tags="pr-*", pushed_before="7d")],
        [tag("pr-1", "9d"), *(tag(fallback("pr-1", suffix), "9d") for suffix in (".sig", ".att", ".sbom", ""))],
        {
            "pr-1": "delete by 1",
            **{fallback("pr-1", suffix): "delete with its subject" for suffix in (".sig", ".att", ".sbom", "")},
        },
        reference="project-zot/zot#3804",
    ),
    Scenario(
        "a rule for all tags does not strip images of their signatures",
        [keep(tags="v*"), delete(tags="*", pushed_before="7d")],
        [tag("v1", "9d"), tag(fallback("v1", ".sig"), "9d"), tag("x", "9d"), tag(fallback("x", ".sig"), "1h")],
        {
            "v1": "keep by 1",
            fallback("v1", ".sig"): "keep with its subject",
            "x": "delete by 2",
            fallback("x", ".sig"): "delete with its subject",
        },
        reference="snok/container-retention-policy#97",
    ),
    Scenario(
        "a keep rule for signatures alone keeps none without its image",
        [keep(tags="sha256-*"), delete(pushed_before="7d")],
        [tag("x", "9d"), tag(fallback("x", ".sig"), "9d")],
        {"x": "delete by 2", fallback("x", ".sig"): "delete with its subject"},
    ),
    Scenario(
        "a signature of a child stays with the index",
        [delete(pushed_before="7d", tags="sha256-*")],
        [tag("1.0", "90d", of="multi"), tag(fallback("amd64", ".sig"), "90d")],
        {"1.0": "keep", fallback("amd64", ".sig"): "keep with its subject"},
        [INDEX, *CHILDREN],
        reference="goharbor/harbor#11273",
    ),
    Scenario(
        "a signature of an SBOM follows the image",
        [delete(tags="x")],
        [tag("x", "9d"), tag(fallback("sbom", ".sig"), "9d")],
        {"x": "delete by 1", fallback("sbom", ".sig"): "delete with its subject"},
        [manifest("sbom", "9d", subject="x")],
    ),
    Scenario(
        "a tagged referrer follows its subject",
        [keep(newest=1), delete(pushed_before="7d")],
        [tag("x", "9d"), tag("x-sbom", "1h", of="sbom"), tag("y", "8d")],
        {"x": "delete by 2", "x-sbom": "delete with its subject", "y": "keep by 1"},
        [manifest("sbom", "1h", subject="x")],
        reference="project-zot/zot#3804",
    ),
    Scenario(
        "a referrer whose subject never came is an ordinary tag",
        [delete(tags="chart-*", pushed_before="7d")],
        [tag("chart-1", "9d", of="chart"), tag("chart-2", "1d", of="chart")],
        {"chart-1": "delete by 1", "chart-2": "keep"},
        [manifest("chart", "9d", subject="elsewhere")],
    ),
    Scenario(
        "an orphaned signature is as good as untagged",
        [delete(pushed_before="1d", tags="sha256-*"), delete(untagged="7d")],
        [tag(fallback("gone", ".sig"), "9d"), tag(fallback("gone", ".att"), "2d")],
        {fallback("gone", ".sig"): "delete by 2", fallback("gone", ".att"): "keep"},
        reference="project-zot/zot#3804",
    ),
    Scenario(
        "a name that only looks like a signature is a tag",
        [delete(tags="sha256-*")],
        [tag("sha256-abc.sig", "9d")],
        {"sha256-abc.sig": "delete by 1"},
    ),
    Scenario(
        "an index in an index goes with the outermost",
        [delete(tags="bundle", pushed_before="7d")],
        [tag("bundle", "90d"), tag(fallback("arm64", ".sig"), "90d")],
        {"bundle": "delete by 1", fallback("arm64", ".sig"): "delete with its subject"},
        [manifest("bundle", "90d", children=["multi"]), INDEX, *CHILDREN],
        reference="goharbor/harbor#20844",
    ),
    Scenario(
        "children of a deleted index that another one needs stay",
        [delete(tags="old")],
        [tag("old", "90d", of="multi"), tag("new", "1d"), tag(fallback("amd64", ".sig"), "1d")],
        {"old": "delete by 1", "new": "keep", fallback("amd64", ".sig"): "keep with its subject"},
        [INDEX, *CHILDREN, manifest("new", "1d", children=["amd64"])],
        reference="goharbor/harbor#20844",
    ),
    Scenario(
        "a protected tag stays whatever the rules say",
        [delete()],
        [tag("v1", "900d", protected="by the tag rule v*"), tag("x", "1m")],
        {"v1": "keep as protected", "x": "delete by 1"},
        reference="goharbor/harbor#22026",
    ),
    Scenario(
        "a protected tag keeps its signature and its children",
        [delete(), delete(untagged="7d")],
        [tag("v1", "900d", of="multi", protected="by the tag rule v*"), tag(fallback("arm64", ".sig"), "900d")],
        {"v1": "keep as protected", fallback("arm64", ".sig"): "keep with its subject"},
        [INDEX, *CHILDREN],
    ),
    Scenario(
        "latest is a tag as others, and one rule keeps it",
        [keep(tags="latest"), delete(pushed_before="30d")],
        [tag("latest", "90d"), tag("build-1", "90d")],
        {"latest": "keep by 1", "build-1": "delete by 2"},
        reference="sonatype/nexus-public#400",
    ),
    Scenario(
        "the newest patches of each minor line",
        [keep(newest_semver={"count": 2}), delete()],
        [tag(name, "9d") for name in ("1.0.0", "1.0.9", "1.0.10", "1.1.0", "v2.0.0")],
        {
            "1.0.0": "delete by 2",
            "1.0.9": "keep by 1",
            "1.0.10": "keep by 1",
            "1.1.0": "keep by 1",
            "v2.0.0": "keep by 1",
        },
        reference="goharbor/harbor#12877",
    ),
    Scenario(
        "a patch of an old line does not push out a newer version",
        [keep(newest_semver={"count": 1, "per": "major"}), delete()],
        [tag("2.3.0", "90d"), tag("2.2.9", "1d"), tag("1.9.9", "1h")],
        {"2.3.0": "keep by 1", "2.2.9": "delete by 2", "1.9.9": "keep by 1"},
    ),
    Scenario(
        "candidates count only where they are asked for",
        [keep(newest_semver={"count": 1}), delete()],
        [tag("1.0.0", "9d"), tag("1.0.1-rc.1", "1d"), tag("1.0", "1d")],
        {"1.0.0": "keep by 1", "1.0.1-rc.1": "delete by 2", "1.0": "delete by 2"},
    ),
    Scenario(
        "candidates that are asked for come before their release",
        [keep(newest_semver={"count": 2, "prereleases": True}), delete()],
        [tag("1.0.0-rc.2", "9d"), tag("1.0.0-rc.10", "9d"), tag("1.0.0", "9d"), tag("1.0.0-alpha", "9d")],
        {
            "1.0.0": "keep by 1",
            "1.0.0-rc.10": "keep by 1",
            "1.0.0-rc.2": "delete by 2",
            "1.0.0-alpha": "delete by 2",
        },
    ),
    Scenario(
        "the newest of those in use",
        [keep(newest=1, pulled_within="30d"), delete()],
        [tag("new", "40d"), tag("used", "50d", "1d"), tag("also", "60d", "2d")],
        {"new": "delete by 2", "used": "keep by 1", "also": "delete by 2"},
        reference="aws/containers-roadmap#1078",
    ),
    Scenario(
        "old and unused is two conditions of one rule",
        [delete(pushed_before="30d", pulled_before="30d")],
        [tag("old-used", "90d", "1d"), tag("old", "90d"), tag("young", "1d")],
        {"old-used": "keep", "old": "delete by 1", "young": "keep"},
        reference="aws/containers-roadmap#2728",
    ),
    Scenario(
        "the moment in which an age is reached deletes",
        [keep(pushed_within="30d"), delete(pushed_before="30d")],
        [tag("exactly", "30d"), tag("almost", "719h59m59s")],
        {"exactly": "delete by 2", "almost": "keep by 1"},
    ),
    Scenario(
        "several patterns of one rule are alternatives",
        [delete(tags=["pr-*", "mr-*"])],
        [tag("pr-1", "1d"), tag("mr-1", "1d"), tag("main", "1d")],
        {"pr-1": "delete by 1", "mr-1": "delete by 1", "main": "keep"},
        reference="aws/containers-roadmap#1128",
    ),
    Scenario(
        "rules for other repositories say nothing here",
        [
            delete(repositories="other"),
            delete(repositories="alpha/app", tags="x"),
            delete(repositories="ap?", tags="y"),
        ],
        [tag("x", "1d"), tag("y", "1d"), tag("z", "1d")],
        {"x": "delete by 2", "y": "delete by 3", "z": "keep"},
        reference="goharbor/harbor#16318",
    ),
    Scenario(
        "the rule that keeps the longest is named",
        [keep(pushed_within="30d"), keep(tags="v*"), delete()],
        [tag("v1", "1d"), tag("x", "1d")],
        {"v1": "keep by 2", "x": "keep by 1"},
    ),
]

import json

import pytest

PLAIN = "--allow-http-registry"
NO_LOG = "--insecure-ignore-tlog"
PREDICATE = {"builder": "a test", "reproducible": True}


@pytest.fixture
def cosign(client, tmp_path):
    """cosign with a key pair, and with the trusted root and services of nobody: it asks no other server."""
    cosign = client("cosign", COSIGN_PASSWORD="")
    cosign("generate-key-pair")
    cosign("signing-config", "create", "--out=services.json")
    cosign("trusted-root", "create", "--out=root.json")
    (tmp_path / "predicate.json").write_text(json.dumps(PREDICATE))
    return cosign


SIGN = ("--yes", "--key=cosign.key", "--signing-config=services.json", "--trusted-root=root.json", PLAIN)
VERIFY = ("--key=cosign.pub", "--trusted-root=root.json", NO_LOG, PLAIN)


@pytest.fixture
def pushed(client, host, repository, image):
    client("crane")("push", image.folder, f"{host}/{repository}:v1")
    return f"{host}/{repository}@{image.digest}"


def test_signature_is_a_referrer(cosign, pushed, registry, repository, image):
    cosign("sign", *SIGN, pushed)
    assert image.digest in cosign("verify", *VERIFY, pushed)
    (signature,) = registry.referrers(repository, image.digest)
    assert signature["artifactType"].startswith("application/vnd.dev.sigstore.bundle")
    assert registry.tags(repository) == ["v1"]


def test_attestation_comes_back(cosign, pushed, registry, repository, image):
    cosign("attest", *SIGN, "--predicate=predicate.json", "--type=custom", pushed)
    assert "payload" in cosign("verify-attestation", *VERIFY, "--type=custom", pushed)
    assert len(registry.referrers(repository, image.digest)) == 1


def test_unsigned_image_is_not_verified(cosign, pushed):
    assert "no signatures found" in cosign.fails("verify", *VERIFY, pushed)


def test_another_key_does_not_verify(cosign, pushed):
    cosign("sign", *SIGN, pushed)
    cosign("generate-key-pair", "--output-key-prefix=other")
    cosign.fails("verify", "--key=other.pub", *VERIFY[1:], pushed)


def test_index_is_signed_with_its_platforms(cosign, client, host, registry, repository, index):
    client("oras")(
        "copy", "--from-oci-layout", f"{index.folder}:multi", "--to-plain-http", f"{host}/{repository}:multi"
    )
    cosign("sign", *SIGN, "--recursive", f"{host}/{repository}@{index.digest}")
    for digest in index.manifests:
        assert len(registry.referrers(repository, digest)) == 1
        cosign("verify", *VERIFY, f"{host}/{repository}@{digest}")


def test_signature_in_a_tag(cosign, pushed, registry, repository, image):
    """The older form, which many pipelines still write: a tag named after the digest."""
    old = "--new-bundle-format=false"
    cosign(
        "sign",
        "--yes",
        "--key=cosign.key",
        "--tlog-upload=false",
        "--use-signing-config=false",
        old,
        PLAIN,
        pushed,
    )
    tag = f"{image.digest.replace(':', '-')}.sig"
    assert registry.tags(repository) == [tag, "v1"]
    assert image.digest in cosign("verify", "--key=cosign.pub", NO_LOG, PLAIN, old, pushed)
    cosign("clean", "--force", "--type=signature", PLAIN, pushed)
    assert registry.tags(repository) == ["v1"]

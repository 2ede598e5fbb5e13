"""What a signed-in person may not push is refused with the reason, in each program's output."""

import pytest


@pytest.fixture
def signed_in(tool, password):
    tool.login(password.username, password.secret)
    return tool


def test_full_team(signed_in, new_team, new_image):
    message = signed_in.refused.push(new_image(), f"{new_team(quota_bytes=0)}/app")
    assert "0 bytes of 0 bytes, so 0 bytes are free" in message, message
    assert "ask an administrator for more" in message, message


def test_team_without_room_for_a_layer(signed_in, registry, new_team, new_image):
    """How large a layer is, many programs say only at its end."""
    team = new_team(quota_bytes=100)
    message = signed_in.refused.push(new_image(), f"{team}/app")
    if signed_in.tells_why_uploads_fail:
        assert " of 100 bytes, so " in message, message
        assert "this needs " in message, message
    assert registry.manage("GET", f"teams/{team}/usage")["physical_bytes"] <= 100


def test_immutable_tag(signed_in, alice, new_team, new_image, registry):
    team = new_team()
    alice.manage("POST", f"teams/{team}/tag-rules", tags="*", immutable=True)
    signed_in.push(new_image(), f"{team}/app")
    name, tag = signed_in.pushed(f"{team}/app")
    before = registry.manifest(name, tag).body
    message = signed_in.refused.push(new_image(), f"{team}/app")
    assert f"tag {tag} points to another manifest, and a rule of the team keeps it so" in message, message
    assert registry.manifest(name, tag).body == before

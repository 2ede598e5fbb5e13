"""Who does not sign in may pull what is public, and nothing else."""

import pytest

from tests.clients.sign_in.tools import says_to_sign_in


@pytest.fixture
def public(new_team, alice):
    team = new_team()
    alice.manage("PATCH", f"teams/{team}", visibility="public")
    return f"{team}/app"


def test_pulls_what_is_public_and_pushes_nothing(tool, password, public, new_image):
    tool.login(password.username, password.secret)
    tool.push(new_image(), public)
    tool.logout()
    tool.pull(public)
    message = tool.refused.push(new_image(), public)
    assert says_to_sign_in(message), message

"""Fixtures that several endpoints' tests share."""

import pytest


@pytest.fixture
def location(registry):
    """The address of an upload session that is open."""
    return registry.start_upload()

"""Pull times that are written while others hold the rows."""

import pytest

from oci.names import TagName
from registry_project.database import writing
from repositories import pulls
from repositories.models import Manifest, Tag
from tests.concurrency.meeting import finish, in_background


@pytest.mark.parametrize("held", [Manifest, Tag])
def test_what_somebody_holds_is_written_the_next_time_and_nobody_waits(house, held):
    house.put_manifest(TagName("v1"))
    pulls._noted.clear()
    pulls.note_pull(manifest_id=Manifest.objects.get().pk, account="", agent="")
    with writing():
        held.objects.select_for_update().get()
        with in_background(pulls.write_pulls) as writer:
            assert finish(writer) is None
    assert {model for model in (Manifest, Tag) if model.objects.get().pulled_at} == {Manifest, Tag} - {held}
    pulls.write_pulls()
    assert held.objects.get().pulled_at
    assert not pulls._noted

"""Steps of the background work, some of which end in the middle, and of the clock."""

from datetime import timedelta
from unittest.mock import patch

from django.db import connection
from django.test import override_settings
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import precondition

from blobs import deletions
from blobs.deletions import drain_storage_deletions
from blobs.models import StorageDeletion
from blobs.storage import get_store
from blobs.uploads import purge_expired_uploads
from blobs.usage import roll_up_usage
from registry_gc.collection import rounds
from registry_gc.collection.models import Kind
from registry_gc.collection.reviews import claim_reviews
from registry_gc.collection.rounds import run_round, run_until_idle
from registry_gc.collection.standings import Rules
from registry_gc.collection.sweep import sweep_step
from repositories.expiry import end_expired_tags
from tests.model.machine import KINDS, NO_DELAYS, Machine, pick, step, which
from tests.model.shelf import GRACE, TRASH

few = st.integers(1, 4)


class Workers(Machine):
    """The background work, a piece at a time."""

    # Hypothesis leaves steps out of each example: of these one is nearly always there.

    @step(hours=st.integers(1, 2))
    def an_hour_passes(self, hours):
        self.advance_by(hours)

    @step(hours=st.integers(3, 9))
    def much_time_passes(self, hours):
        self.advance_by(hours)

    @step(hours=st.sampled_from([0, 0, 1, GRACE, TRASH]))
    def collect(self, hours):
        self.advance_by(hours)
        run_round()
        self.work(True)

    @step()
    def collect_whatever_its_date(self):
        totals = run_until_idle(rules=Rules.configured(), undated=list(Kind))
        self.work(totals, heeds_grace=False)

    @step(kind=KINDS, limit=few)
    def claim(self, kind, limit):
        self.claims += claim_reviews(kind, limit=limit)

    @precondition(lambda self: bool(self.claims))
    @step(chosen=which, count=few)
    def act_on_claims(self, chosen, count):
        """Perhaps long after they were claimed, when much has happened."""
        for _claim in range(min(count, len(self.claims))):
            claim = pick(self.claims, chosen)
            self.claims.remove(claim)
            self.work(rounds._act(claim, Rules.configured()))

    @step()
    def restart(self):
        """Workers forget what they claimed, and web processes what they had in memory."""
        self.claims.clear()
        get_store.cache_clear()
        connection.close()

    @step()
    def a_year_passes(self):
        """A review that was lost is found out before another event arms it again."""
        self.claims.clear()
        with override_settings(**NO_DELAYS):
            self.come_to_rest()

    @step(piece=few)
    def sweep(self, piece):
        sweep_step(piece=piece, pause=timedelta())

    @step(limit=few)
    def delete_bytes(self, limit):
        drain_storage_deletions(limit=limit)

    @precondition(lambda self: StorageDeletion.objects.exists())
    @step()
    def delete_bytes_in_vain(self):
        def refuse(keys):
            return {key: OSError("refused") for key in keys}

        with patch.object(type(get_store()), "delete_many", lambda _self, keys: refuse(keys)):
            assert drain_storage_deletions(limit=2) == 0

    @precondition(lambda self: StorageDeletion.objects.exists())
    @step(bytes_went=st.booleans())
    def die_while_deleting_bytes(self, bytes_went):
        claimed = deletions._claim(2, timezone.now())
        if bytes_went:
            get_store().delete_many([deletion.storage_key for deletion in claimed])

    @step()
    def purge_uploads(self):
        ended = [upload for upload in self.shelf.uploads if upload.expires_at <= self.shelf.now]
        assert purge_expired_uploads() == len(ended)
        self.shelf.uploads = [upload for upload in self.shelf.uploads if upload not in ended]

    @step()
    def end_expired_tags(self):
        expired = self.shelf.expired()
        assert end_expired_tags() == len(expired)
        for repository, name in expired:
            self.shelf.end_tag(repository, name)

    @step()
    def roll_up_usage(self):
        roll_up_usage()

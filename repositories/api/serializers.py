"""What the management API tells of repositories, tags and manifests."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.serializers import ROLES
from accounts.models import Visibility
from accounts.rights import role_in
from repositories.catalog import target_of
from repositories.models import Manifest, PointedAs, Repository, Tag, TagHistory

END_REASONS = TagHistory.Reason.values


class RepositorySerializer(serializers.Serializer[Repository]):
    """Needs `credential` in its context, and the annotations of `repositories.listings.list_repositories`."""

    name = serializers.CharField()
    team = serializers.CharField(source="team.slug")
    visibility = serializers.SerializerMethodField(help_text="Who may pull: its own setting, or the team's.")
    inherited = serializers.SerializerMethodField(help_text="Whether the visibility is the team's.")
    role = serializers.SerializerMethodField(help_text="The caller's; null for auditors and outsiders.")
    tag_count = serializers.IntegerField()
    size_bytes = serializers.IntegerField(help_text="Each blob counts once.")
    pushed_at = serializers.DateTimeField(allow_null=True, help_text="The last push of a tag.")
    created_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ChoiceField(choices=Visibility.values))
    def get_visibility(self, repository: Repository) -> str:
        return repository.visibility or repository.team.visibility

    def get_inherited(self, repository: Repository) -> bool:
        return not repository.visibility

    @extend_schema_field(serializers.ChoiceField(choices=ROLES, allow_null=True))
    def get_role(self, repository: Repository) -> str | None:
        return role_in(self.context["credential"], target_of(repository))


class DeletedRepositorySerializer(serializers.Serializer[Repository]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    deleted_at = serializers.DateTimeField()
    restorable_until = serializers.DateTimeField()
    size_bytes = serializers.IntegerField(help_text="Each blob counts once.")


class TagSerializer(serializers.Serializer[Tag]):
    """Needs `platforms` and `rules` in its context, and the annotation `size_bytes`."""

    name = serializers.CharField()
    digest = serializers.CharField(source="manifest.digest")
    media_type = serializers.CharField(source="manifest.media_type")
    size_bytes = serializers.IntegerField(help_text="All that pulling every platform brings.")
    platforms = serializers.SerializerMethodField(help_text="As indexes tell them; empty where none does.")
    pushed_at = serializers.DateTimeField()
    pushed_by = serializers.CharField()
    pulled_at = serializers.DateTimeField(allow_null=True, help_text="To the minute; null where nobody has pulled it.")
    expires_at = serializers.DateTimeField(allow_null=True, help_text="When it ends by itself.")
    protected = serializers.SerializerMethodField(help_text="Whether a tag rule of the team protects it.")
    immutable = serializers.SerializerMethodField(help_text="Whether it never points to another manifest.")
    reserved_for = serializers.SerializerMethodField(help_text="The least role that may write and delete it.")
    retention = serializers.SerializerMethodField(help_text="What a retention policy says; null for nothing.")

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_platforms(self, tag: Tag) -> list[str]:
        platforms: list[str] = self.context["platforms"].get(tag.manifest_id, [])
        return platforms

    def get_protected(self, tag: Tag) -> bool:
        return bool(self.context["rules"].protection(tag.name).protects)

    def get_immutable(self, tag: Tag) -> bool:
        return bool(self.context["rules"].protection(tag.name).immutable)

    @extend_schema_field(serializers.ChoiceField(choices=ROLES, allow_null=True))
    def get_reserved_for(self, tag: Tag) -> str | None:
        role: str | None = self.context["rules"].protection(tag.name).role
        return role

    @extend_schema_field({"type": ["object", "null"]})
    def get_retention(self, tag: Tag) -> None:
        return None


class EpisodeSerializer(serializers.Serializer[Any]):
    """What a tag pointed to, from when until when; the newest is what it points to now."""

    digest = serializers.CharField()
    media_type = serializers.CharField()
    started_at = serializers.DateTimeField()
    started_by = serializers.CharField()
    started_as = serializers.ChoiceField(choices=PointedAs.values)
    ended_at = serializers.DateTimeField(allow_null=True, help_text="Null while the tag points to it.")
    ended_by = serializers.CharField(allow_null=True, help_text="Empty where the registry itself ended it.")
    reason = serializers.ChoiceField(choices=END_REASONS, allow_null=True)
    replaced_by = serializers.CharField(allow_null=True, help_text="What the tag pointed to next; null for none.")
    restorable_until = serializers.DateTimeField(allow_null=True)
    restorable = serializers.BooleanField(help_text="Whether `restore` takes the digest.")


class TrashSerializer(serializers.Serializer[TagHistory]):
    tag = serializers.CharField(source="name")
    digest = serializers.CharField(source="manifest.digest")
    media_type = serializers.CharField(source="manifest.media_type")
    size_bytes = serializers.IntegerField(help_text="All that pulling every platform brings.")
    ended_at = serializers.DateTimeField()
    ended_by = serializers.CharField(help_text="Empty where the registry itself ended it.")
    reason = serializers.ChoiceField(choices=END_REASONS)
    restorable_until = serializers.DateTimeField()


class TrashPageSerializer(serializers.Serializer[Any]):
    results = TrashSerializer(many=True)
    next = serializers.CharField(allow_null=True)
    bytes = serializers.IntegerField(help_text="What only this trash holds, in the whole registry.")


class PurgedSerializer(serializers.Serializer[Any]):
    entries = serializers.IntegerField()


class SkippedSerializer(serializers.Serializer[Any]):
    tag = serializers.CharField()
    reason = serializers.CharField()


class GoingTagSerializer(serializers.Serializer[Tag]):
    name = serializers.CharField()
    digest = serializers.CharField(source="manifest.digest")
    pushed_at = serializers.DateTimeField()


class GoingManifestSerializer(serializers.Serializer[Manifest]):
    digest = serializers.CharField()
    media_type = serializers.CharField()


class TotalsSerializer(serializers.Serializer[Any]):
    tags = serializers.IntegerField()
    manifests = serializers.IntegerField(help_text="Those that nothing keeps then, with children and referrers.")
    bytes_freed = serializers.IntegerField(help_text="What comes back when the trash is over, shared layers left out.")


class BulkDeletionSerializer(serializers.Serializer[Any]):
    """What was done has `restorable_until`; only a preview has the fields behind it."""

    preview = serializers.BooleanField()
    deleted = serializers.ListField(child=serializers.CharField(), help_text="Names of tags; of those that would go.")
    skipped = SkippedSerializer(many=True)
    more = serializers.BooleanField(help_text="The query matches more than one request takes: send it again.")
    restorable_until = serializers.DateTimeField(required=False, allow_null=True)
    tags = GoingTagSerializer(many=True, required=False)
    siblings = GoingTagSerializer(many=True, required=False, help_text="Tags that stay and keep their manifest.")
    children = GoingManifestSerializer(many=True, required=False)
    referrers = GoingManifestSerializer(many=True, required=False)
    fallback_tags = GoingTagSerializer(
        many=True, required=False, help_text="Tags such as `sha256-….sig` that tell of what would go, and stay."
    )
    totals = TotalsSerializer(required=False)


class DescriptorSerializer(serializers.Serializer[Any]):
    digest = serializers.CharField()
    media_type = serializers.CharField()
    size_bytes = serializers.IntegerField(source="size")


class RelatedManifestSerializer(serializers.Serializer[Any]):
    digest = serializers.CharField()
    media_type = serializers.CharField(help_text="Empty where the repository does not have it.")
    artifact_type = serializers.CharField()
    size_bytes = serializers.IntegerField()
    platform = serializers.CharField()


class ManifestDetailsSerializer(serializers.Serializer[Any]):
    digest = serializers.CharField(source="manifest.digest")
    media_type = serializers.CharField(source="manifest.media_type")
    artifact_type = serializers.CharField(source="manifest.artifact_type")
    size_bytes = serializers.IntegerField(source="manifest.size", help_text="Of the manifest itself.")
    total_bytes = serializers.IntegerField(source="manifest.total_size", help_text="Of all that it names directly.")
    pushed_at = serializers.DateTimeField(source="manifest.pushed_at")
    pushed_by = serializers.CharField(source="manifest.pushed_by")
    pulled_at = serializers.DateTimeField(source="manifest.pulled_at", allow_null=True)
    annotations = serializers.DictField(source="manifest.annotations")
    subject = serializers.CharField(source="manifest.subject_digest", help_text="Empty where it refers to nothing.")
    payload = serializers.SerializerMethodField(help_text="The manifest as it was pushed.")
    config = serializers.SerializerMethodField(help_text="Its descriptor, and its document where that is an image's.")
    layers = DescriptorSerializer(source="document.layers", many=True)
    history = serializers.ListField(child=serializers.DictField(), help_text="The steps of the build.")
    children = RelatedManifestSerializer(many=True)
    parents = RelatedManifestSerializer(many=True)
    referrers = RelatedManifestSerializer(many=True)
    tags = serializers.ListField(child=serializers.CharField())

    def get_payload(self, details: Any) -> str:
        return bytes(details.manifest.payload).decode()

    @extend_schema_field(serializers.DictField(allow_null=True))
    def get_config(self, details: Any) -> dict[str, Any] | None:
        descriptor = details.document.config
        if descriptor is None:
            return None
        return {**DescriptorSerializer(descriptor).data, "document": details.config}

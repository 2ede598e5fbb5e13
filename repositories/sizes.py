"""How large a tag is: all that pulling every platform of it brings."""

from django.db.models import BigIntegerField, F, OuterRef, Subquery, Sum
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce

from repositories.models import ManifestChild


def total_size(manifest: str) -> CombinedExpression:
    """Bytes of the manifest at the path `manifest`, of what it names, and of what its children name.

    As the descriptors say: layers that two platforms share count for each.
    """
    below = (
        ManifestChild.objects.filter(parent=OuterRef(f"{manifest}_id"))
        .values("parent")
        .annotate(size=Sum("child__total_size"))
        .values("size")
    )
    children = Coalesce(Subquery(below), 0, output_field=BigIntegerField())
    return F(f"{manifest}__size") + F(f"{manifest}__total_size") + children

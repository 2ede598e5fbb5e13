"""Why something is kept, and what collection does, in the management API."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import authorise_instance, who_asks
from accounts.callers import caller_of
from accounts.rights import Action
from oci.digests import Digest
from registry_gc.collection.pausing import find_pause, pause_collection, resume_collection
from registry_gc.collection.progress import read_progress
from registry_gc.collection.serializers import CollectionSerializer, PausedSerializer, WhySerializer
from registry_gc.collection.why import explain, list_holders, may_see, targets_of
from registry_project.endpoints import ManagementView
from registry_project.pages import read_page
from registry_project.parameters import Cursor, Number, Order
from registry_project.problems import NotFound


class CollectionView(ManagementView):
    @extend_schema(responses=CollectionSerializer)
    def get(self, request: Request) -> Response:
        """What waits for collection, how fast it goes, what came back, and what fails."""
        authorise_instance(caller_of(request), Action.READ_INSTANCE)
        return Response(CollectionSerializer(read_progress()).data)


class CollectionPauseView(ManagementView):
    @extend_schema(request=None, responses={200: PausedSerializer})
    def post(self, request: Request) -> Response:
        """Let collection rest, on all hosts, until somebody resumes it; pushes, pulls and deletes go on."""
        credential = authorise_instance(caller_of(request), Action.WRITE_INSTANCE)
        pause_collection(actor=credential.name)
        return Response(PausedSerializer({"paused": find_pause()}).data)


class CollectionResumeView(ManagementView):
    @extend_schema(request=None, responses={200: PausedSerializer})
    def post(self, request: Request) -> Response:
        """Let collection go on."""
        authorise_instance(caller_of(request), Action.WRITE_INSTANCE)
        resume_collection()
        return Response(PausedSerializer({"paused": find_pause()}).data)


class BlobWhyView(ManagementView):
    parameters = {
        "get": (
            Number(name="limit", description="Most repositories of one page.", least=1, most=50, default=20),
            Cursor(name="cursor", description="Where the page begins: follow `next` instead of making one."),
        )
    }

    @extend_schema(responses=WhySerializer)
    def get(self, request: Request, digest: str) -> Response:
        """What keeps a blob or a manifest, in the repositories that the caller may see, and when it can go.

        `kept` and `can_go_at` are about the repositories of this page.
        """
        credential = who_asks(caller_of(request))
        for target in targets_of(credential, Digest.parse(digest)):
            page = read_page(
                request._request,
                list_holders(credential, target),
                order=Order("name"),
                limit=self.query["limit"],
                cursor=self.query["cursor"],
                keep=lambda repository: may_see(credential, repository),
            )
            why = explain(target, page.rows) if page.rows or target.everywhere else None
            if why is not None and why.is_there:
                return Response(WhySerializer(why, context={"next": page.next}).data)
        raise NotFound

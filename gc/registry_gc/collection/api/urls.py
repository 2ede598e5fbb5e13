"""The routes of collection, below `/api/v1/`."""

from django.urls import path

from registry_gc.collection.api.views import BlobWhyView, CollectionPauseView, CollectionResumeView, CollectionView

urlpatterns = [
    path("gc", CollectionView.as_view(), name="collection"),
    path("gc/pause", CollectionPauseView.as_view(), name="collection_pause"),
    path("gc/resume", CollectionResumeView.as_view(), name="collection_resume"),
    path("blobs/<str:digest>/why", BlobWhyView.as_view(), name="blob_why"),
]

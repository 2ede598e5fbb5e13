"""The routes of collection, below `/api/v1/`."""

from django.urls import path

from registry_gc.collection.api.views import BlobWhyView

urlpatterns = [
    path("blobs/<str:digest>/why", BlobWhyView.as_view(), name="blob_why"),
]

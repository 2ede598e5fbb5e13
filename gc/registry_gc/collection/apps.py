from django.apps import AppConfig


class CollectionConfig(AppConfig):
    name = "registry_gc.collection"
    label = "gc_collection"
    default_auto_field = "django.db.models.BigAutoField"

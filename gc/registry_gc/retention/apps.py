from django.apps import AppConfig


class RetentionConfig(AppConfig):
    name = "registry_gc.retention"
    label = "gc_retention"
    default_auto_field = "django.db.models.BigAutoField"

from django.db import migrations, models

from registry_project.online_indexes import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("blobs", "0004_blob_quarantine")]

    operations = [
        AddIndexOnline(
            model_name="blob", index=models.Index(fields=["scrubbed_at", "id"], name="blob_scrub_order")
        ),
        AddIndexOnline(
            model_name="blob",
            index=models.Index(
                condition=models.Q(("quarantined_at__isnull", False)),
                fields=["quarantined_at", "id"],
                name="blob_quarantined",
            ),
        ),
    ]

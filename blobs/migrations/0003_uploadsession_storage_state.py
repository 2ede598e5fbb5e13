from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("blobs", "0002_initial")]

    operations = [
        migrations.AddField(
            model_name="uploadsession",
            name="storage_state",
            # The database fills it in, so that the previous version may still insert rows during an upgrade.
            field=models.JSONField(default=dict, db_default={}),
        ),
    ]

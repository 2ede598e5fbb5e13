from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("blobs", "0003_uploadsession_storage_state")]

    operations = [
        migrations.AddField(model_name="blob", name="scrubbed_at", field=models.DateTimeField(null=True)),
        migrations.AddField(model_name="blob", name="verified_at", field=models.DateTimeField(null=True)),
        migrations.AddField(model_name="blob", name="quarantined_at", field=models.DateTimeField(null=True)),
        migrations.AddField(
            model_name="blob",
            name="quarantine_reason",
            # The database fills it in, so that the previous version may still insert rows during an upgrade.
            field=models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
        migrations.CreateModel(
            name="ScrubClaim",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("token", models.UUIDField(null=True)),
                ("busy_until", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="scrub_claim_is_one")],
            },
        ),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('repositories', '0007_manifest_pulled_at'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='repository',
            index=models.Index(condition=models.Q(('deleted_at__isnull', False)), fields=['deleted_at'], name='repository_deleted'),
        ),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('repositories', '0006_tag_history_started_as'),
    ]

    operations = [
        migrations.AddField(
            model_name='manifest',
            name='pulled_at',
            field=models.DateTimeField(null=True),
        ),
    ]

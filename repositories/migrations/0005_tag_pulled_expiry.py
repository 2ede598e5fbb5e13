from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('repositories', '0004_tag_rule'),
    ]

    operations = [
        migrations.AddField(
            model_name='tag',
            name='pointed_as',
            field=models.CharField(choices=[('push', 'Push'), ('restore', 'Restore')], db_default='push', default='push', max_length=10),
        ),
        migrations.AddField(
            model_name='tag',
            name='pulled_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name='tag',
            index=models.Index(fields=['repository', 'pushed_at', 'name'], name='tag_by_push'),
        ),
        migrations.AddIndex(
            model_name='tag',
            index=models.Index(condition=models.Q(('expires_at__isnull', False)), fields=['expires_at'], name='tag_expiry'),
        ),
    ]

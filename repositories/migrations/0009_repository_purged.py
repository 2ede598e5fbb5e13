from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('repositories', '0008_repository_deleted'),
    ]

    operations = [
        migrations.AddField(
            model_name='repository',
            name='purged_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name='repository',
            index=models.Index(condition=models.Q(('purged_at__isnull', False)), fields=['purged_at'], name='repository_purged'),
        ),
        migrations.AddConstraint(
            model_name='repository',
            constraint=models.CheckConstraint(condition=models.Q(('purged_at__isnull', True), ('deleted_at__isnull', False), _connector='OR'), name='repository_purged_is_deleted'),
        ),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('repositories', '0005_tag_pulled_expiry'),
    ]

    operations = [
        migrations.AddField(
            model_name='taghistory',
            name='started_as',
            field=models.CharField(choices=[('push', 'Push'), ('restore', 'Restore')], db_default='push', default='push', max_length=10),
        ),
        migrations.AlterField(
            model_name='taghistory',
            name='reason',
            field=models.CharField(choices=[('moved', 'Moved'), ('deleted', 'Deleted'), ('manifest-deleted', 'Manifest Deleted'), ('expired', 'Expired'), ('restored', 'Restored')], max_length=20),
        ),
        migrations.AddIndex(
            model_name='taghistory',
            index=models.Index(fields=['repository', 'ended_at'], name='tag_history_trash'),
        ),
    ]

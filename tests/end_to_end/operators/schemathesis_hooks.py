"""Tells Schemathesis how the media type of backups is sent and read: as the bytes that it is."""

import schemathesis

BACKUP = "application/x-billion-backup"

schemathesis.serializer.alias(BACKUP, "application/octet-stream")


@schemathesis.deserializer(BACKUP)
def backup(_context, response):
    return response.content.decode("latin-1")

"""Online garbage collection: what nothing keeps any more goes, while everybody pushes and pulls."""

"""Text classifiers that labellers and judges share."""

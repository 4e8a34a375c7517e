"""What every job of the workflow does: private outputs, manifests, code fingerprints, ownership, named damage."""

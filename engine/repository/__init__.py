"""What a backup set is: its key, manifest, proof, verdicts and how long it is kept."""

"""Does the work: backup, restore, proof. Plain Python; imports no Prefect."""

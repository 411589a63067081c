"""What runs inside a job: train, import, evaluate, and the preparation of a base. Only here is torch used."""

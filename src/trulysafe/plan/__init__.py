"""What the rules need to know of a configuration: where things lie, what they are made of, which trainings form a job."""

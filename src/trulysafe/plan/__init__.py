"""What the rules need to know of a configuration: where things lie, what is made of what, what forms a job."""

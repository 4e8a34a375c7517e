"""One training on the two nodes that it asks for."""

from trulysafe.plan.resources import Site, requests

SITE = Site(slurm_partition="cpu", gpu_partition="gpu")


rule train:
    output:
        "log.csv",
    log:
        "train.log",
    resources:
        **requests("train", lambda wildcards: "1b", SITE, nodes_of=lambda wildcards: 2),
    script:
        "nodes.py"

"""The configuration of the one-machine cluster: nodes, partitions, accounting, fake GPUs, and srun's wrapper."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

NODES = ("one", "two")
CPUS, MEMORY_MB = 32, 256000  # claimed, not there: what is tested is scheduling

CONFIGURATION = """
ClusterName=onemachine
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CryptoType=crypto/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,defer_batch=0,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=1
SlurmdTimeout=300
DefMemPerCPU=1000
MinJobAge=3600
KillWait=3
MessageTimeout=30
GresTypes=gpu
AccountingStorageType={storage}
{accounting}
"""
ACCOUNTING = """
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd_port}
AccountingStoragePass={folder}/munge.sock
AccountingStorageTRES=gres/gpu
"""
PARTITIONS = """
PartitionName=cpu Nodes=ALL Default=YES MaxTime=12:00:00
PartitionName=gpu Nodes=ALL MaxTime=24:00:00
PartitionName=short Nodes=ALL MaxTime=00:05:00 DefaultTime=00:01:00
"""
DATABASE = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd_port}
SlurmUser=root
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""


def write_configuration(folder: Path, ports: Mapping[str, int], accounting: bool) -> None:
    """Write all files and folders that the daemons start from.

    Args:
        folder: the cluster's.
        ports: of slurmctld, slurmdbd and the database (``ctld_port``, ``dbd_port``, ``sql_port``), and one per node.
        accounting: with slurmdbd, or with no accounts.
    """
    for name in ("log", "state", "bin", "dev", *(f"spool.{node}" for node in NODES)):
        (folder / name).mkdir(parents=True, exist_ok=True)
    values = {"folder": folder, "host": _host(), **ports}
    accounts = ACCOUNTING.format(**values) if accounting else ""
    storage = f"accounting_storage/{'slurmdbd' if accounting else 'none'}"
    # Weights: without them a job joins the node with the least left, so the order in which jobs come would decide who
    # is on a node that a test sets down.
    nodes = [
        f"NodeName={node} NodeHostname={_host()} NodeAddr=127.0.0.1 Port={ports[node]} CPUs={CPUS} "
        f"RealMemory={MEMORY_MB} "
        f"Gres=gpu:fake:1 Weight={weight}"
        for weight, node in enumerate(NODES, start=1)
    ]
    text = CONFIGURATION.format(**values, storage=storage, accounting=accounts) + "\n".join(nodes) + PARTITIONS
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    gpus = []
    for index, node in enumerate(NODES):
        device = folder / "dev" / f"nvidia{index}"
        os.mknod(device, 0o600 | 0o020000, os.makedev(195, index))  # SLURM takes character devices alone for GPUs
        gpus.append(f"NodeName={node} Name=gpu Type=fake File={device}\n")
    (folder / "gres.conf").write_text("AutoDetect=off\n" + "".join(gpus), encoding="utf-8")
    (folder / "slurmdbd.conf").write_text(DATABASE.format(**values), encoding="utf-8")
    (folder / "slurmdbd.conf").chmod(0o600)
    wrapper = folder / "bin" / "srun"
    wrapper.write_text(
        f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n', encoding="utf-8"
    )
    wrapper.chmod(0o755)


def _host() -> str:
    return socket.gethostname().partition(".")[0]

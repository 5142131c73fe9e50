#!/bin/sh
# Runs a command in control groups that it may make others in, of whichever version this machine has. To be started as root:
#
#     tests/verifiers/sandbox/in_groups.sh root  python -m pytest tests/verifiers/sandbox
#     tests/verifiers/sandbox/in_groups.sh alice python -m pytest tests/verifiers/sandbox      # as a plain user
#
# Version 2, where this machine has version 1: start a virtual machine or a host with `systemd.unified_cgroup_hierarchy=1`, or a
# container there (`docker run --privileged --cgroupns=private`), and run it inside. A user's own session on a machine with systemd
# has such a group without root: `systemd-run --user --scope -p Delegate=yes COMMAND`.
set -eu
user=$1
shift
name=tenfold_tests_$$
mount=/sys/fs/cgroup
if [ -e $mount/cgroup.controllers ]; then
    # In version 2 a group that hands controllers on holds no processes: those of a container's own root move to a leaf first.
    if ! echo '+memory +pids' > $mount/cgroup.subtree_control 2> /dev/null; then
        mkdir -p $mount/everyone
        for process in $(cat $mount/cgroup.procs); do echo "$process" > $mount/everyone/cgroup.procs 2> /dev/null || true; done
        echo '+memory +pids' > $mount/cgroup.subtree_control
    fi
    mkdir $mount/$name
    echo '+memory +pids' > $mount/$name/cgroup.subtree_control
    mkdir $mount/$name/command
    chown -R "$user" $mount/$name
    echo $$ > $mount/$name/command/cgroup.procs
else
    for tree in memory pids cpuacct; do
        mkdir $mount/$tree/$name
        chown -R "$user" $mount/$tree/$name
        echo $$ > $mount/$tree/$name/cgroup.procs
    done
fi
if [ "$user" = root ]; then exec "$@"; fi
exec setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups env HOME="$(getent passwd "$user" | cut -d: -f6)" "$@"

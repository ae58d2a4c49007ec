#!/bin/bash
# Runs a command in namespaces whose pid 1 is a real systemd, on a host that has no systemd itself
# and a pure cgroup v2 tree. It changes the tree's root and /etc: for throw-away VMs only (the lab).
#   under_systemd.sh unit_cgroups --gtest_filter='RealManager*'
set -u
[ -n "${LAB-}" ] || { echo "under_systemd.sh: only in the lab (LAB=1)" >&2; exit 2; }
tree=/sys/fs/cgroup
mkdir -p $tree/host && echo $$ > $tree/host/cgroup.procs   # the root has to be free of processes
echo "+memory +cpu +pids +cpuset +io" > $tree/cgroup.subtree_control
mkdir $tree/guest
mkfifo /tmp/ready
rm -f /etc/systemd/system/*.wants/*                        # nothing but the manager itself
(
  echo $BASHPID > $tree/guest/cgroup.procs
  exec env -i container=lab PATH="$PATH" unshare -m -p -C -f --mount-proc bash -c '
    read -r < /tmp/ready
    mount -t tmpfs tmpfs /run && mkdir -p /run/lock
    umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
    exec /lib/systemd/systemd --unit=local-fs.target --log-target=console --log-level=warning'
) < /dev/null > /tmp/systemd.log 2>&1 &
outer=$!
# unshare itself stays outside of the guest: else its group would be an inner node with a process.
until pid=$(pgrep -P $outer) && [ -n "$pid" ]; do sleep 0.1; done
echo $outer > $tree/host/cgroup.procs
echo go > /tmp/ready
for _ in $(seq 300); do
  [ -S /proc/"$pid"/root/run/systemd/private ] && [ -d $tree/guest/init.scope ] && break
  sleep 0.2
done
[ -S /proc/"$pid"/root/run/systemd/private ] || { cat /tmp/systemd.log; exit 3; }
echo $$ > $tree/guest/init.scope/cgroup.procs
nsenter -t "$pid" -m -p -C -- "$@"
code=$?
kill -KILL "$pid"
exit $code

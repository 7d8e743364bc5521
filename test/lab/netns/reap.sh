#!/usr/bin/env bash
# reap.sh ID DIR [guard]: removes one lab: its processes, namespaces (and with
# them links and rules), names and folder. With "guard" it waits first until its
# standard input ends, which is when the owner of the lab is gone.
set -u
id=$1 dir=$2
if [[ ${3:-} == guard ]]; then
  trap '' INT TERM HUP
  if read -r word && [[ $word == dismissed ]]; then
    exit 0
  fi
fi

spaces() { ip netns list | awk -v p="ensign-$id-" 'index($1, p) == 1 { print $1 }'; }
processes() { for space in $(spaces); do ip netns pids "$space"; done; }

for _ in {1..50}; do
  left=$(processes)
  [[ -z $left ]] && break
  kill -KILL $left 2>/dev/null
  sleep 0.05
done
for space in $(spaces); do
  ip netns del "$space"
  rm -rf "/etc/netns/$space"
done
rmdir /etc/netns 2>/dev/null
for disk in $(awk -v under="$dir/" 'index($2, under) == 1 { print $2 }' /proc/mounts); do
  umount -l "$disk"
done
# Only a folder that a lab made: never what a wrong argument names.
[[ -d $dir/logs ]] && rm -rf "$dir"
rm -f "/run/ensign-lab/$id.json"
[[ -z $(spaces) ]]

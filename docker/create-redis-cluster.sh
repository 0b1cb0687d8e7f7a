#!/bin/sh
# Makes one Redis Cluster of the servers in REDIS_SERVERS (address:port, separated by spaces; the first half
# become masters, each of the others a replica), if they do not know each other yet. Whatever is there
# already is left as it is; done when every server says that the cluster is ready.
set -eu

ask() { # address:port, words of a command
    server=$1
    shift
    timeout 2 redis-cli -h "${server%:*}" -p "${server##*:}" "$@" 2>/dev/null | tr -d '\r'
}

# Runs a test every second until it succeeds, for a minute at most.
await() { # what for, the test
    what=$1
    shift
    for _ in $(seq 60); do
        if "$@"; then return; fi
        sleep 1
    done
    echo "waited a minute for: $what" >&2
    echo "see: redis-cli --cluster check $first (and --cluster fix, if its creation was interrupted)" >&2
    exit 1
}

answers() { [ "$(ask "$1" ping)" = PONG ]; }

# All slots are given to somebody, and it is known of nobody that they are missing.
ready() {
    info=$(ask "$1" cluster info)
    for wanted in cluster_state:ok cluster_slots_assigned:16384 cluster_slots_ok:16384; do
        echo "$info" | grep -qx "$wanted" || return 1
    done
}

alone() { ask "$1" cluster info | grep -qx cluster_known_nodes:1; }

first=${REDIS_SERVERS%% *}
for server in $REDIS_SERVERS; do
    await "$server to answer" answers "$server"
done
# A server that knows others has been in a cluster: redis-cli would refuse, and after a restart they only
# need a moment to find each other.
if alone "$first"; then
    # One address a word.
    # shellcheck disable=SC2086
    redis-cli --cluster create $REDIS_SERVERS --cluster-replicas 1 --cluster-yes
fi
for server in $REDIS_SERVERS; do
    await "$server to find the cluster ready" ready "$server"
done
echo "the cluster is ready"

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of coldstart, of its GPU controller, or of both, before and after each call of the driver: no process stays
# locked or checkpointed (faults 1 and 15).
# timeout 300
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

port=$(free_port)
counter_on_host "$port" 2
ln -s "$COLDSTART" "$TMP/cuda-checkpoint"
state() { "$TMP/cuda-checkpoint" --get-state --pid "$counter_pid"; }
no_journal() { [[ -z $(find "$STORE/gpu" -name '*.journal') ]]; }
untraced() { grep -q '^TracerPid:\s0$' "/proc/$counter_pid/status"; }

for call in lock checkpoint restore unlock; do
  for who in caller parent both; do
    for when in "" -after; do
      before=$(get "$port" | jq .count)
      faults "$call 1 kill-$who$when"
      status=0
      coldstart snapshot --pid "$counter_pid" -t s --leave-running >"$TMP/log" 2>&1 || status=$?
      [[ $status -ne 0 ]] || [[ $call == unlock && $who == parent ]] || fail "it did not fail: $call $who$when"
      wait_for 20 untraced
      case $who in
        # its owner has another one put it back
        caller) no_journal || fail "the journal is left after $call $who$when: $(<"$TMP/log")" ;;
        # the controller finishes and puts back by itself
        parent) wait_for 20 no_journal ;;
        # the next command does it, whatever it is
        both)
          [[ $when == -after && $call == unlock ]] || [[ -n $(find "$STORE/gpu" -name '*.journal') ]] ||
            fail "no journal is left after $call $who$when"
          assert_status 0 coldstart --json recover
          assert_eq "$(jq '[.processes[] | select(.ended)] | length' <<<"$out")" 0 "ended after $call $who$when: $out"
          no_journal || fail "the journal is left after recover"
          ;;
      esac
      assert_eq "$(state)" running "the state after $call $who$when"
      assert_eq "$(get "$port" | jq .count)" $((before + 1)) "the count after $call $who$when"
    done
  done
done
faults "none 0 none"
assert_status 0 coldstart recover
assert_contains "$out" "nothing to recover"

# any other command recovers as well
faults "checkpoint 1 kill-both-after"
coldstart snapshot --pid "$counter_pid" -t s >/dev/null 2>&1 && fail "it did not fail"
wait_for 20 untraced
assert_eq "$(state)" checkpointed
assert_status 0 coldstart ps
assert_contains "$err" "was checkpointed and runs again"
get "$port" >/dev/null

# a restore that failed is never tried again: the process is ended, and it is said why
faults "checkpoint 1 kill-both-after" "restore 1 oom"
coldstart snapshot --pid "$counter_pid" -t s >/dev/null 2>&1 && fail "it did not fail"
wait_for 20 untraced
assert_status 0 coldstart recover
assert_contains "$out" "was ended"
assert_contains "$out" "CUDA_ERROR_OUT_OF_MEMORY"

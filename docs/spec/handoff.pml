/*
 * The handoff protocol of one entity, for Spin. README.md in this folder says what is modelled and how to read it.
 *
 * A configuration is a set of -D macros (tests/model/configurations.py): how many shards and transfers, which faults and
 * how many of them. A known-wrong variant is one more macro, WRONG_...; every use of such a macro marks a rule that the
 * protocol needs.
 */
#ifndef SHARDS
#define SHARDS 2
#endif
#ifndef TRANSFERS
#define TRANSFERS 1
#endif
#ifndef CRASHES
#define CRASHES 0 /* of any shards, all together */
#endif
#ifndef ZOMBIES
#define ZOMBIES 0 /* how many of these leave the old process running until its lease ends */
#endif

#include "state.pml"
#include "words.pml"
#ifdef ROLL_CALL
#include "rollcall_state.pml"
#endif
#ifdef TAKEOVER
#include "takeover_state.pml"
#endif
#ifdef LIFE
#include "life_state.pml"
#endif
#include "scripts.pml"
#include "processes.pml"
#include "recovery.pml"
#include "sides.pml"
#ifdef LIFE
#include "life.pml"
#endif
#ifdef TAKEOVER
#include "takeover.pml"
#endif
#ifdef ROLL_CALL
#include "rollcall.pml"
#endif
#include "shard.pml"
#include "transfer.pml"
#include "faults.pml"
#include "properties.pml"

init {
  atomic {
    byte n;
    for (n : 0 .. SHARDS - 1) {
      mode[n] = UP;
      run Shard(n);
#ifdef LIFE
      run Life(n);
#endif
    }
#ifndef LIFE
    version[0] = 1;
    manifest[0] = 1; /* shard 0 owns the entity and has published it */
#endif
    for (n : 0 .. TRANSFERS - 1) {
      run Transfer(n)
    }
#ifdef TAKEOVER
    run Takeover();
#endif
#ifdef ROLL_CALL
    run RollCall();
#endif
    run Faults();
    run Monitor()
  }
}

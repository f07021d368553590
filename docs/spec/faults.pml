/* What goes wrong. Loss, repetition and reordering of requests and frames need no step of their own: see scripts.pml. */

proctype Faults() {
  byte y;
#ifdef WRONG_CENSUS_RESTORES_FROM_TWO_MOMENTS
  byte census;
#define HOLDS(i) (manifest[i] || transfers && target[0] == (i) && journal_in[0])
#endif
end:
  do
#ifdef WRONG_CENSUS_RESTORES_FROM_TWO_MOMENTS
  :: d_step { !calm && census == 0 && !HOLDS(1) -> census = 1 }
  :: d_step { !calm && census == 1 && !HOLDS(0) -> census = 2 }
  :: d_step { !calm && census == 2 && mode[0] == UP && version[0] == 0 -> version[0] = 1; from[0] = 0; census = 3 }
#endif
  :: d_step { !calm -> calm = true }
#if CRASHES
#define CRASHES_ONCE(i) \
  :: d_step { !calm && crashes && MAY_CRASH && mode[i] != DOWN -> crashes--; crash(i) }
  STEPS_OF_EACH_SHARD(CRASHES_ONCE)
#endif
#if ZOMBIES
#define OLD_PROCESS(i) \
  :: d_step { \
       !calm && crashes && zombies && REDIS_SERVES && mode[i] == UP && !old_lives[i] -> \
       crashes--; \
       zombies--; \
       replace(i) \
     } \
  :: d_step { old_lives[i] -> old_ends(i) } \
  :: d_step { old_lives[i] && old_leaving[i] && CANCELED(old_leaving[i] - 1) -> old_leaving[i] = 0 } \
  :: d_step { \
       old_lives[i] && old_coming[i] && old_version[i] <= offered[old_coming[i] - 1] -> \
       old_version[i] = offered[old_coming[i] - 1] + 1; \
       old_from[i] = K(old_coming[i] - 1); \
       old_leaving[i] = 0; \
       old_coming[i] = 0 \
     }
  STEPS_OF_EACH_SHARD(OLD_PROCESS)
#endif
  od
}

/* How a process ends, and how it may live on beside its successor. */

inline crash(i) { /* what it has sent is still on its way, so only the row goes */
  mode[i] = DOWN;
  forget_memory(i)
}

#if ZOMBIES
inline leave_old_process(i) { /* it goes on by itself, with the row it has and what it is about to adopt */
  old_lives[i] = true;
  old_version[i] = version[i];
  old_from[i] = from[i];
  old_leaving[i] = leaving[i];
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && target[y] == i &&
       (incoming[y] == AGREED_TO || (incoming[y] == ASKED && record[y] == ACCEPTED)) -> old_coming[i] = y + 1
    :: else
    fi
  }
  y = 0;
  crash(i)
}

inline replace(i) { /* a successor starts although the old process lives */
  leave_old_process(i);
  recover_script(i);
  mode[i] = FENCING
}

inline old_ends(i) {
  old_lives[i] = false;
  old_version[i] = 0;
  old_from[i] = 0;
  old_leaving[i] = 0;
#ifdef ROLL_CALL
  lease_forgotten[i] = false;
#endif
  old_coming[i] = 0
}

#define CANCELED(x) (decided[x] && !was_accepted[x])
#endif

/* What the two sides of a transfer remember of it (core/outgoing.py, core/incoming.py), by the tables in core/transfer.py. */

/* --- the source ---------------------------------------------------------------------------------------------------- */

inline let_go(x) { /* the row goes; RELEASED is repeated until Redis has it */
  if
  :: leaving[source[x]] == x + 1 ->
     version[source[x]] = 0;
     from[source[x]] = 0;
     leaving[source[x]] = 0
  :: else
  fi;
  outgoing[x] = GONE
}

inline resume(x) {
  if
  :: leaving[source[x]] == x + 1 -> leaving[source[x]] = 0
  :: else
  fi
}

inline learn_accepted(x) {
  if
  :: outgoing[x] == OFFERED -> outgoing[x] = AGREED
  :: outgoing[x] == FROZEN -> let_go(x)
  :: outgoing[x] == WITHDRAWN -> assert(every_pair_in_the_table) /* no such pair: 'never' was a lie */
  :: else
  fi
}

inline learn_kept(x) {
  if
  :: IN_DOUBT(x) -> resume(x); outgoing[x] = KEPT
  :: outgoing[x] == WITHDRAWN -> outgoing[x] = KEPT
  :: outgoing[x] == AGREED -> assert(every_pair_in_the_table) /* no such pair */
  :: else
  fi
}

inline source_hears(x) {
  if
  :: answer == SAYS_ACCEPTED -> learn_accepted(x)
  :: answer == SAYS_CANCELED || answer == SAYS_DECIDED -> learn_kept(x)
  :: else
  fi;
  answer = 0
}

/* --- the target ---------------------------------------------------------------------------------------------------- */

inline refuse(x) {
  incoming[x] = REFUSED;
  says_never[x] = true
}

inline say_accepted(x) { /* a frame; as long as Redis forgets nothing, it says no more than the source's own journal */
#ifdef ROLL_CALL
  says_accepted[x] = true
#else
  skip
#endif
}

inline target_hears(x) {
  if
  :: answer == SAYS_ACCEPTED && ASKING(x) -> incoming[x] = AGREED_TO; say_accepted(x)
  :: answer == SAYS_DECIDED && ASKING(x) -> refuse(x)
  :: answer == SAYS_DECIDED && incoming[x] == AGREED_TO -> assert(every_pair_in_the_table) /* no such pair */
  :: else
  fi;
  answer = 0
}

inline adopt(x) { /* incoming.py: not over the same or a higher version; an older one goes first */
  t = target[x];
  if
  :: version[t] <= offered[x] ->
     if
     :: leaving[t] -> outgoing[leaving[t] - 1] = GONE /* it came back: so it was accepted */
     :: else
     fi;
#ifdef WRONG_VERSION_IS_NOT_RAISED
     version[t] = offered[x];
#else
     version[t] = offered[x] + 1;
#endif
     from[t] = K(x);
     leaving[t] = 0
  :: else
  fi;
  incoming[x] = ADOPTED;
  t = 0
}

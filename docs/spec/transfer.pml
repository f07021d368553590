/* One transfer: every step that one of its sides or one of its scripts can take. */

#define SOURCE_UP(x) ((x) < transfers && mode[source[x]] == UP)
#define TARGET_UP(x) ((x) < transfers && mode[target[x]] == UP)
#ifdef WRONG_BOTH_EPOCHS_IN_EVERY_SCRIPT
#define ACTOR_MAY(x) (source_current[x] && target_current[x])
#else
#define ACTOR_MAY(x) (true)
#endif

#ifdef WRONG_FROZEN_SOURCE_ONLY_WAITS
#define ASKS(x) (outgoing[x] == OFFERED)
#else
#define ASKS(x) (IN_DOUBT(x))
#endif
#ifdef WRONG_CANCEL_WITHOUT_COMPARING
#define CANCELABLE(x) (record[x] != ABSENT || !decided[x])
#else
#define CANCELABLE(x) (record[x] == STARTED || record[x] == ABSENT && !decided[x])
#endif
#ifdef WRONG_TARGET_FORGETS_ITS_OFFER
#define KNOWS_ITS_IN(x) (incoming[x] == AGREED_TO || HAS(x) || incoming[x] == REFUSED)
#else
#define KNOWS_ITS_IN(x) (incoming[x] == AGREED_TO || HAS(x))
#endif

proctype Transfer(byte x) {
  mtype:answer answer = 0;
  byte t;
end:
  do
  /* --- BEGIN. Sent once; a doubt about it ends by CANCEL. */
  :: d_step {
       !calm && x < transfers && REDIS_SERVES && REQUEST_TAKEN(x) && CURRENT(source_current[x]) &&
       record[x] == ABSENT && !decided[x] ->
       begin_script(x);
       answer = 0
     }
  :: d_step { /* executed once more, and heard */
       !calm && SOURCE_UP(x) && REDIS_SERVES && REQUEST_TAKEN(x) && source_current[x] &&
       (IN_DOUBT(x) || outgoing[x] == AGREED && source[x] != target[x]) -> /* who took its target over may clear it first */
       begin_script(x);
       source_hears(x)
     }

  /* --- the offer arrives, if it does; the target asks, or declines without ever having asked */
  :: d_step {
       !calm && TARGET_UP(x) && FRAME_TAKEN(target[x], x) && target_current[x] && incoming[x] == UNHEARD ->
       incoming[x] = ASKED
     }
  :: d_step {
       !calm && TARGET_UP(x) && FRAME_TAKEN(target[x], x) && target_current[x] && incoming[x] == UNHEARD ->
       incoming[x] = DECLINED;
       says_never[x] = true
     }

  /* --- ACCEPT */
  :: d_step {
       !calm && x < transfers && ACCEPT_SERVED(x) && CURRENT(target_current[x]) && record[x] == STARTED &&
       (ASKING(x) || incoming[x] == REFUSED) ->
       accept_script(x);
#ifdef ROLL_CALL
       late_accept[x] = answer;
#endif
       answer = 0
     }
  :: d_step { /* not executed: the target's cell is not claimed any more */
       !calm && x < transfers && REDIS_SERVES && target_current[x] && record[x] == STARTED && ASKING(x) -> forget(x)
     }
  :: d_step {
       TARGET_UP(x) && REDIS_SERVES && target_current[x] && ASKING(x) &&
       !(record[x] == ABSENT && !decided[x] && CURRENT(source_current[x])) ->
       accept_script(x);
       target_hears(x)
     }

  /* --- REJECT: its BEGIN never came, or the offer was declined */
  :: d_step { TARGET_UP(x) && incoming[x] == ASKED -> incoming[x] = REJECTING }
#ifdef WRONG_TARGET_WAVERS
  :: d_step { TARGET_UP(x) && incoming[x] == REJECTING -> incoming[x] = ASKED }
#endif
  :: d_step { TARGET_UP(x) && REDIS_SERVES && incoming[x] == REJECTING -> reject_script(x); target_hears(x) }
  :: d_step {
       !calm && x < transfers && REDIS_SERVES && (incoming[x] == REJECTING || incoming[x] == DECLINED) &&
       (record[x] == STARTED || record[x] == ABSENT && !decided[x]) ->
       reject_script(x);
       answer = 0
     }

  /* --- the answer 'rejected' arrives. 'Accepted' says no more than the source's own journal, see below. */
  :: d_step {
       !calm && SOURCE_UP(x) && FRAME_TAKEN(source[x], x) && source_current[x] && says_never[x] && IN_DOUBT(x) ->
       resume(x);
       outgoing[x] = WITHDRAWN
     }

  /* --- CANCEL: the deadline has passed, or the target said 'never' */
  :: d_step {
       !calm && x < transfers && REDIS_SERVES && CURRENT(source_current[x]) && ACTOR_MAY(x) && outgoing[x] != KEPT &&
       CANCELABLE(x) ->
       cancel_script(x);
#ifdef ROLL_CALL
       late_cancel[x] = answer;
#endif
       answer = 0
     }
  :: d_step {
       SOURCE_UP(x) && REDIS_SERVES && source_current[x] && ACTOR_MAY(x) && (ASKS(x) || outgoing[x] == WITHDRAWN) ->
       cancel_script(x);
       source_hears(x)
     }

  /* --- each shard reads its own journal */
  :: d_step {
       SOURCE_UP(x) && REDIS_SERVES && journal_out[x] && (IN_DOUBT(x) || outgoing[x] == WITHDRAWN) -> learn_accepted(x)
     }
  :: d_step { /* an `out` of no open transfer: the row goes if it is still below that version */
       SOURCE_UP(x) && REDIS_SERVES && journal_out[x] && outgoing[x] == KEPT ->
       if
       :: version[source[x]] && version[source[x]] <= offered[x] ->
          version[source[x]] = 0;
          from[source[x]] = 0;
          leaving[source[x]] = 0
       :: else
       fi;
       outgoing[x] = GONE
     }
  :: d_step {
       TARGET_UP(x) && REDIS_SERVES && journal_in[x] && !KNOWS_ITS_IN(x) -> incoming[x] = AGREED_TO
     }

  /* --- the switch, on either side whenever its ticks get there */
#ifdef WRONG_COMMIT_BY_EQUALITY
  :: d_step { SOURCE_UP(x) && (outgoing[x] == AGREED || outgoing[x] == OFFERED) -> resume(x); outgoing[x] = KEPT }
#endif
#ifdef WRONG_UNACKNOWLEDGED_DROP
  :: d_step { SOURCE_UP(x) && outgoing[x] == OFFERED -> let_go(x) }
#endif
  :: d_step { SOURCE_UP(x) && outgoing[x] == AGREED -> let_go(x) }
  :: d_step { SOURCE_UP(x) && outgoing[x] == OFFERED -> outgoing[x] = FROZEN }
  :: d_step { TARGET_UP(x) && incoming[x] == AGREED_TO -> adopt(x) }
#ifdef WRONG_ADOPT_BEFORE_ACCEPT
  :: d_step { TARGET_UP(x) && incoming[x] == ASKED -> adopt(x) }
#endif

  /* --- RELEASED and ADOPTED, repeated until they are answered */
  :: d_step {
       x < transfers && REDIS_SERVES && ACTOR_MAY(x) && outgoing[x] == GONE && record[x] == ACCEPTED &&
       (holders[x] & BIT(source[x])) ->
       released_script(x)
     }
  :: d_step {
       x < transfers && REDIS_SERVES && ACTOR_MAY(x) && HAS(x) && record[x] == ACCEPTED &&
       (!(holders[x] & BIT(target[x])) || holders[x] == BIT(target[x])) ->
       adopted_script(x)
     }

#ifdef ROLL_CALL
  /* --- what Redis and the target said before Redis forgot it, and is heard after that */
  :: d_step {
       !calm && TARGET_UP(x) && LATE_ANSWER_TAKEN(target[x]) && late_accept[x] != SILENCE && ASKING(x) ->
       answer = late_accept[x];
       late_accept[x] = SILENCE;
       target_hears(x)
     }
  :: d_step {
       !calm && SOURCE_UP(x) && LATE_ANSWER_TAKEN(source[x]) && late_cancel[x] != SILENCE && IN_DOUBT(x) ->
       answer = late_cancel[x];
       late_cancel[x] = SILENCE;
       source_hears(x)
     }
  :: d_step { !calm && SOURCE_UP(x) && FRAME_TAKEN(source[x], x) && says_accepted[x] && IN_DOUBT(x) -> learn_accepted(x) }
#endif

  /* --- the watchdog: only what is merely started. Nothing may depend on it, so it does not help in the calm. */
  :: d_step { !calm && REDIS_SERVES && record[x] == STARTED -> forget(x) }
#ifdef WRONG_WATCHDOG_CANCELS_ACCEPTED
  :: d_step {
       !calm && record[x] == ACCEPTED && holders[x] == BIT(source[x]) ->
       forget(x);
       journal_in[x] = false;
       journal_out[x] = false
     }
#endif

#ifdef WRONG_MISSING_RECORD_MEANS_CANCELED
  :: d_step { SOURCE_UP(x) && IN_DOUBT(x) && record[x] == ABSENT -> learn_kept(x) }
#endif
#ifdef WRONG_READ_TAKEN_AS_PROMISE
  :: d_step { TARGET_UP(x) && incoming[x] == ASKED && record[x] == STARTED -> refuse(x) }
#endif
#ifdef WRONG_TARGET_FORGETS_ITS_OFFER
  :: d_step { TARGET_UP(x) && incoming[x] == ASKED -> incoming[x] = REFUSED }
#endif
  od
}

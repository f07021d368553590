/* What a shard does that belongs to no single transfer: begin one, publish, come back. */

#define MAY_BEGIN(i) (LIFE_LETS_BEGIN(i) && ROLL_LETS_BEGIN(i))
#define CAN_TRIM_MORE(i) (TRIMS_LIFE(i) || TRIMS_TAKEOVER(i) || TRIMS_HELD(i))
#ifdef WRONG_MANIFEST_ONLY_FOR_ROWS
#define TRIMS(i) (false)
#else
#define TRIMS(i) (CAN_TRIM(i) || CAN_TRIM_MORE(i))
#endif
#ifdef WRONG_EMPTY_SHARD_PUBLISHES_NOTHING
#define MAY_PUBLISH(i) (version[i])
#else
#define MAY_PUBLISH(i) (true)
#endif
#ifdef WRONG_RECOVERY_WAITS_FOR_ITS_TRANSFERS
#define NAMES(i, x) (record[x] != ABSENT && (source[x] == (i) || target[x] == (i)))
#define MAY_REBUILD(i) (!NAMES(i, 0))
#else
#define MAY_REBUILD(i) (true)
#endif

inline begin_transfer(i, t) { /* outgoing.py begin: BEGIN and the offer leave together */
  source[transfers] = i;
  target[transfers] = t;
  offered[transfers] = version[i];
  source_current[transfers] = true;
  target_current[transfers] = true;
#if defined(TAKEOVER) && defined(ROLL_CALL)
  offered_to[transfers] = t;
#endif
  outgoing[transfers] = OFFERED;
  leaving[i] = transfers + 1;
#ifdef ROLL_CALL
  outdated[transfers] = roll != OPEN;
#endif
  transfers++
}

proctype Shard(byte i) {
  byte y, top, top_owner, contained;
  byte t;
end:
  do
  /* Step 4 of a tick: the entity is past a border. To any other shard, once an acceptor is there. */
  :: d_step {
       !calm && mode[i] == UP && MAY_BEGIN(i) && ROW_STAYS(i) && transfers < TRANSFERS && mode[(i + 1) % SHARDS] == UP ->
       begin_transfer(i, (i + 1) % SHARDS)
     }
#if SHARDS > 2
  :: d_step {
       !calm && mode[i] == UP && MAY_BEGIN(i) && ROW_STAYS(i) && transfers < TRANSFERS && mode[(i + 2) % SHARDS] == UP ->
       begin_transfer(i, (i + 2) % SHARDS)
     }
#endif

  /* Step 6: the manifest, and with it the journal's trim. */
  :: d_step {
       mode[i] == UP && REDIS_SERVES && MAY_PUBLISH(i) && (ROW_IS_NEWS(i) || TRIMS(i)) ->
       applied_prefix(i);
       overtake_late_publish(i);
#ifdef ROLL_CALL
       held[i] = 0;
       held_from[i] = 0;
#endif
#ifdef LIFE
       publish_life(i);
#endif
#ifdef TAKEOVER
       publish_takeovers(i);
#endif
       publish_script(i, version[i], from[i], contained);
       contained = 0
     }
#ifdef LATE_PUBLISH
  :: d_step { /* a manifest whose request is held up on its way */
       !calm && mode[i] == UP && REDIS_SERVES && late[i] == NONE ->
       applied_prefix(i);
       late[i] = ON_ITS_WAY;
       late_version[i] = version[i];
       late_from[i] = from[i];
       late_trim[i] = contained;
       contained = 0
     }
  :: d_step {
       late[i] != NONE && REDIS_SERVES ->
       if
#ifndef WRONG_OLDER_MANIFEST_OVER_NEWER
       :: late[i] == OLDER /* refused: (epoch, tick) is not above the stored one */
#endif
       :: else -> publish_script(i, late_version[i], late_from[i], late_trim[i])
       fi;
       late[i] = NONE;
       late_version[i] = 0;
       late_from[i] = 0;
       late_trim[i] = 0
     }
#endif

  /* RECOVER; then everyone's manifests and journals are read, at any time; then the old lease has to end. */
  :: d_step {
       mode[i] == DOWN && REDIS_SERVES ->
       recover_script(i);
       mode[i] = FENCING
     }
  :: d_step {
       mode[i] == FENCING && REDIS_SERVES && MAY_REBUILD(i) ->
       rebuild(i);
       mode[i] = REBUILT
     }
#ifdef WRONG_NO_WAIT_FOR_THE_OLD_LEASE
  :: d_step { mode[i] == REBUILT && REDIS_SERVES -> mode[i] = UP }
#else
  :: d_step { mode[i] == REBUILT && REDIS_SERVES && !OLD_LEASE_STANDS(i) -> mode[i] = UP }
#endif
  od
}

/* A manifest's journal position, the ledger, and what a shard that comes back starts from. */

/* --- the journal's position (core/journal.py) ---------------------------------------------------------------------- */

/* contained: a bit each entry of the longest applied prefix. One entity's entries stand in the order of its versions. */
inline applied_prefix(i) {
  contained = 0;
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: ENTRY(i, y) && APPLIED(i, y) -> contained = contained | BIT(y)
    :: ENTRY(i, y) && !APPLIED(i, y) -> break
    :: else
    fi
  }
  y = 0
}

/* --- recovery (core/recovery.py, core/ledger.py) ------------------------------------------------------------------- */

/* The fold of all manifests and journals: the highest version, and whose it is. */
inline consider(its_version, its_owner) {
  if
  :: its_version > top -> top = its_version; top_owner = its_owner
  :: else
  fi
}

#ifdef ROLL_CALL
inline fold_held() {
  for (y : 0 .. SHARDS - 1) {
    if
    :: held[y] -> consider(held[y], y)
    :: else
    fi
  }
}
#endif

inline fold() {
  top = 0;
  top_owner = NOBODY;
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && (journal_in[y] || journal_out[y]) -> consider(offered[y] + 1, target[y])
    :: else
    fi
  }
  for (y : 0 .. SHARDS - 1) {
    consider(manifest[y], y)
  };
#ifdef ROLL_CALL
  fold_held();
#endif
#ifdef LIFE
  fold_life();
#endif
#ifdef TAKEOVER
  fold_takeovers();
#endif
  y = 0
}

/* Manifest and journal, held against everyone else's: which row is here, which `in` is still to be adopted. */
inline rebuild(i) {
  fold();
  version[i] = 0;
  from[i] = 0;
  leaving[i] = 0;
  if
  :: manifest[i] && RECOVERY_KEEPS(i, manifest[i]) ->
     version[i] = manifest[i];
     from[i] = RECOVERED_FROM(manifest_from[i])
  :: else
  fi;
#ifdef ROLL_CALL
  rebuild_held(i);
#endif
#ifdef LIFE
  rebuild_life(i);
#endif
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && source[y] == i ->
       outgoing[y] = (journal_out[y] -> GONE : KEPT);
#ifdef WRONG_RECOVERY_DOES_NOT_COMPARE
       if /* its own journal it still believes */
       :: journal_out[y] && version[i] <= offered[y] -> version[i] = 0; from[i] = 0
       :: else
       fi
#endif
    :: else
    fi;
    if
    :: y < transfers && target[y] == i && journal_in[y] && RECOVERY_KEEPS(i, offered[y] + 1) && version[i] <= offered[y] ->
       incoming[y] = AGREED_TO;
       version[i] = 0; /* superseded by the one that arrives */
       from[i] = 0
    :: y < transfers && target[y] == i &&
       !(journal_in[y] && RECOVERY_KEEPS(i, offered[y] + 1) && version[i] <= offered[y]) ->
       incoming[y] = (journal_in[y] || record[y] == ACCEPTED -> CONTAINED : UNHEARD)
    :: else
    fi
  }
  y = 0;
#ifdef TAKEOVER
  begin_takeovers_anew(i);
#endif
  top = 0;
  top_owner = 0
}

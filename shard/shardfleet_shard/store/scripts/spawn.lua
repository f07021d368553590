-- include _base
-- include _actor
-- include _spawn
return spawn(5) or 'ok'

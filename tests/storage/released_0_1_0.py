"""The SQL of version 0.1.0 (schema revision 0004) for a worker's path, as that version sent it to PostgreSQL.

Recorded from the released code: its store enqueued a message, claimed it, applied every write of a lease holder and
renewed its leases, while a listener for SQLAlchemy's ``before_cursor_execute`` noted each statement. Only line breaks
were changed. Do not edit: this is what processes of that version do to a database that newer code shares with them.
"""

from __future__ import annotations

from typing import Final

CONSTANTS: Final = {
    "tail_1": 1,
    "param_1": 0,
    "epoch_1": 1,
    "coalesce_1": "",
    "next_at_1": 0,
    "id_1": 0,
    "head_1": 1,
    "head_2": 2,
    "state_1": "cancelled",
    "pg_notify_2": "chat_gateway",
}
"""Parameters with the same value in every call."""

APPEND_TURN: Final = """
    INSERT INTO conversations (platform, workspace, channel, topic, user_id, head, tail, next_at, owner, epoch,
    created_at) VALUES (%(platform)s::VARCHAR, %(workspace)s::VARCHAR, %(channel)s::VARCHAR, %(topic)s::VARCHAR,
    %(user_id)s::VARCHAR, %(head)s::INTEGER, %(tail)s::INTEGER, (date_part('epoch', clock_timestamp()) +
    %(wait)s), %(holder)s::VARCHAR, %(claims)s::INTEGER, date_part('epoch', clock_timestamp())) ON CONFLICT
    (platform, workspace, channel, topic, user_id) DO UPDATE SET tail = (conversations.tail +
    %(tail_1)s::INTEGER), next_at = coalesce(conversations.next_at, date_part('epoch', clock_timestamp()) +
    %(wait)s), owner = CASE WHEN (conversations.next_at IS NULL) THEN %(holder)s::VARCHAR ELSE
    conversations.owner END, epoch = (conversations.epoch + CASE WHEN (conversations.next_at IS NULL) THEN
    %(claims)s ELSE %(param_1)s::INTEGER END) RETURNING conversations.id, conversations.thread_id,
    conversations.backend, conversations.head, conversations.tail, conversations.epoch, date_part('epoch',
    clock_timestamp()) AS at
"""
"""Makes room for one more turn in its conversation, which it creates if needed."""

INSERT_TURN: Final = """
    INSERT INTO turns (conversation_id, seq, id, platform, message_id, text, author, address, state, attempts,
    trail, received_at, started_at) VALUES (%(conversation_id)s::BIGINT, %(seq)s::INTEGER, %(id)s::VARCHAR,
    %(platform)s::VARCHAR, %(message_id)s::VARCHAR, %(text)s::VARCHAR, %(author)s::VARCHAR,
    %(address)s::VARCHAR, %(state)s::VARCHAR, %(attempts)s::INTEGER, %(trail)s::VARCHAR, %(received_at)s,
    %(started_at)s) ON CONFLICT DO NOTHING
"""

NOTIFY: Final = """
    SELECT pg_notify(%(pg_notify_2)s::VARCHAR, unnest(%(payloads)s::TEXT[])) AS pg_notify_1
"""

FIND_BY_MESSAGE: Final = """
    SELECT turns.id, turns.conversation_id, turns.seq, turns.message_id, turns.text, turns.author,
    turns.address, turns.kind, turns.files, turns.awaited_by, turns.trace, turns.state, turns.attempts,
    turns.run_id, turns.reply, turns.made, turns.error_code, turns.error_sentence, turns.error_detail,
    turns.error_retry_after, turns.tokens_in, turns.tokens_out, turns.model, turns.cost, turns.parts,
    turns.trail, turns.received_at, turns.started_at, turns.answered_at, turns.delivered_at, turns.erased_at,
    conversations.platform, conversations.workspace, conversations.channel, conversations.topic,
    conversations.user_id FROM turns JOIN conversations ON conversations.id = turns.conversation_id WHERE
    turns.platform = %(on)s::VARCHAR AND turns.message_id = %(message)s::VARCHAR
"""

CLAIM_DUE: Final = """
    WITH due AS (SELECT conversations.id AS id FROM conversations WHERE conversations.next_at <= (SELECT
    date_part('epoch', clock_timestamp()) AS anon_1) AND coalesce(conversations.platform,
    %(coalesce_1)s::VARCHAR) IN (%(platforms_1)s::VARCHAR) ORDER BY conversations.next_at, conversations.id
    LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED) UPDATE conversations SET next_at=(date_part('epoch',
    clock_timestamp()) + %(wait)s), owner=%(holder)s::VARCHAR, epoch=(conversations.epoch +
    %(epoch_1)s::INTEGER) WHERE conversations.id IN (SELECT due.id FROM due) RETURNING conversations.id,
    conversations.platform, conversations.workspace, conversations.channel, conversations.topic,
    conversations.user_id, conversations.thread_id, conversations.backend, conversations.head,
    conversations.tail, conversations.owner, conversations.epoch
"""

NEXT_TURNS: Final = """
    SELECT turns.id, turns.conversation_id, turns.seq, turns.message_id, turns.text, turns.author,
    turns.address, turns.kind, turns.files, turns.awaited_by, turns.trace, turns.state, turns.attempts,
    turns.run_id, turns.reply, turns.made, turns.error_code, turns.error_sentence, turns.error_detail,
    turns.error_retry_after, turns.tokens_in, turns.tokens_out, turns.model, turns.cost, turns.parts,
    turns.trail, turns.received_at, turns.started_at, turns.answered_at, turns.delivered_at, turns.erased_at,
    date_part('epoch', clock_timestamp()) AS at FROM conversations JOIN turns ON turns.conversation_id =
    conversations.id AND turns.seq BETWEEN conversations.head + %(head_1)s::INTEGER AND conversations.head +
    %(head_2)s::INTEGER WHERE conversations.id IN (%(conversations_1)s::BIGINT) FOR UPDATE OF turns
"""
"""Loads the current turn of a conversation and the one after it."""

SAVE_STEP_WITH_TRAIL: Final = """
    UPDATE turns SET state=%(state)s::VARCHAR, attempts=%(attempts)s::INTEGER, run_id=%(run_id)s::VARCHAR,
    error_code=%(error_code)s::VARCHAR, error_sentence=%(error_sentence)s::VARCHAR,
    error_detail=%(error_detail)s::VARCHAR, error_retry_after=%(error_retry_after)s, trail=%(trail)s::VARCHAR,
    started_at=%(started_at)s, answered_at=%(answered_at)s, delivered_at=%(delivered_at)s WHERE
    turns.conversation_id = %(conversation)s::BIGINT AND turns.seq = %(place)s::INTEGER
"""
"""Saves a claimed, started or released turn, and two turns in one call when the next one is claimed on finishing."""

RENEW_SOME: Final = """
    WITH mine AS (SELECT conversations.id AS id FROM conversations WHERE conversations.owner =
    %(holder)s::VARCHAR AND conversations.next_at > %(next_at_1)s::INTEGER AND conversations.id IN
    (%(among_1)s::BIGINT) ORDER BY conversations.id + %(id_1)s::BIGINT FOR NO KEY UPDATE) UPDATE conversations
    SET next_at=(date_part('epoch', clock_timestamp()) + %(wait)s) WHERE conversations.id IN (SELECT mine.id
    FROM mine) RETURNING conversations.id
"""

CANCELLED: Final = """
    SELECT turns.id FROM turns JOIN conversations ON turns.conversation_id = conversations.id AND turns.seq =
    conversations.head + %(head_1)s::INTEGER WHERE conversations.owner = %(holder)s::VARCHAR AND
    conversations.next_at > %(next_at_1)s::INTEGER AND turns.state = %(state_1)s::VARCHAR AND turns.started_at
    IS NOT NULL
"""
"""Follows each renewal of at least one lease."""

LOCK: Final = """
    SELECT conversations.id, conversations.platform, conversations.workspace, conversations.channel,
    conversations.topic, conversations.user_id, conversations.thread_id, conversations.backend,
    conversations.head, conversations.tail, conversations.owner, conversations.epoch FROM conversations WHERE
    conversations.id IN (%(conversations_1)s::BIGINT) ORDER BY conversations.id FOR NO KEY UPDATE
"""
"""Begins every write of a lease holder; the code then compared owner and epoch."""

SET_THREAD: Final = """
    UPDATE conversations SET thread_id=%(thread)s::VARCHAR, backend=%(opener)s::VARCHAR WHERE conversations.id =
    %(conversation)s::BIGINT
"""

SAVE_OUTCOME: Final = """
    UPDATE turns SET state=%(state)s::VARCHAR, attempts=%(attempts)s::INTEGER, run_id=%(run_id)s::VARCHAR,
    reply=%(reply)s::VARCHAR, made=%(made)s::VARCHAR, error_code=%(error_code)s::VARCHAR,
    error_sentence=%(error_sentence)s::VARCHAR, error_detail=%(error_detail)s::VARCHAR,
    error_retry_after=%(error_retry_after)s, tokens_in=%(tokens_in)s::INTEGER,
    tokens_out=%(tokens_out)s::INTEGER, model=%(model)s::VARCHAR, cost=%(cost)s::BIGINT,
    started_at=%(started_at)s, answered_at=%(answered_at)s, delivered_at=%(delivered_at)s WHERE
    turns.conversation_id = %(conversation)s::BIGINT AND turns.seq = %(place)s::INTEGER
"""

SAVE_POSTED: Final = """
    UPDATE turns SET state=%(state)s::VARCHAR, attempts=%(attempts)s::INTEGER, run_id=%(run_id)s::VARCHAR,
    error_code=%(error_code)s::VARCHAR, error_sentence=%(error_sentence)s::VARCHAR,
    error_detail=%(error_detail)s::VARCHAR, error_retry_after=%(error_retry_after)s, parts=%(parts)s::VARCHAR,
    started_at=%(started_at)s, answered_at=%(answered_at)s, delivered_at=%(delivered_at)s WHERE
    turns.conversation_id = %(conversation)s::BIGINT AND turns.seq = %(place)s::INTEGER
"""

SAVE_STEP: Final = """
    UPDATE turns SET state=%(state)s::VARCHAR, attempts=%(attempts)s::INTEGER, run_id=%(run_id)s::VARCHAR,
    error_code=%(error_code)s::VARCHAR, error_sentence=%(error_sentence)s::VARCHAR,
    error_detail=%(error_detail)s::VARCHAR, error_retry_after=%(error_retry_after)s, started_at=%(started_at)s,
    answered_at=%(answered_at)s, delivered_at=%(delivered_at)s WHERE turns.conversation_id =
    %(conversation)s::BIGINT AND turns.seq = %(place)s::INTEGER
"""
"""Saves a finished turn when no turn follows it."""

SET_LEASE: Final = """
    UPDATE conversations SET head=%(finished)s::INTEGER, next_at=(date_part('epoch', clock_timestamp()) +
    %(wait)s), owner=%(holder)s::VARCHAR WHERE conversations.id = %(conversation)s::BIGINT
"""
"""Moves the head of a conversation and renews, passes on or ends its lease."""

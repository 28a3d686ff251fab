"""The feed of events, in commit order: what webhooks may have missed can be read here, byte for
byte the same.
"""

import msgspec

from gateway.http.bodies import EventsQuery
from gateway.http.decoding import decode_query
from gateway.http.exchange import Answer, Call, EdgeDeps


async def list_events(call: Call, deps: EdgeDeps) -> Answer:
    """`GET /v1/events`: `{data, next_cursor, has_more}`; the stored objects go out as they are."""
    query = decode_query(EventsQuery, call.query_string)
    found = await deps.lookup.events(query.after, query.limit, call.caller)
    cursor = msgspec.json.encode(found.next_cursor)
    has_more = b"true" if found.has_more else b"false"
    return Answer(
        200,
        b'{"data":['
        + b",".join(found.rows)
        + b'],"next_cursor":'
        + cursor
        + b',"has_more":'
        + has_more
        + b"}",
    )

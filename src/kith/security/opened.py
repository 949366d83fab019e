"""What an account of the provider has opened here: it ends with the connection that opened it."""

from __future__ import annotations

from collections.abc import Collection

from kith.core.audit import Change
from kith.core.ports import Records

GRANT, REFRESH, SESSION = "grant", "refresh", "session"


async def opened(records: Records, user: str, links: Collection[str], but: str = "") -> list[Change]:
    """What takes away the sessions and access tokens of `user` that these links opened, except the session `but`.

    Of an access token from before it was noted who opened it nobody knows: it ends as well.
    """
    if not links:
        return []
    sessions = (await records.all(SESSION)).items()
    gone = [
        Change(SESSION, key, None)
        for key, one in sessions
        if one["principal"] == user and one.get("via") in links and key != but
    ]
    grants = (await records.all(GRANT)).items()
    ended = {key for key, one in grants if one["principal"] == user and ("via" not in one or one["via"] in links)}
    gone += [Change(GRANT, key, None) for key in sorted(ended)]
    refresh = (await records.all(REFRESH)).items() if ended else ()
    return gone + [Change(REFRESH, key, None) for key, one in refresh if one["grant"] in ended]

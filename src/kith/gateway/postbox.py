"""The channel of programs: replies to messages that came through the API wait to be fetched."""

from __future__ import annotations

from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.streams import Streams


class Postbox:
    """Implements the port `Channel` for the channel ``api``.

    A reply has been kept with its turn before it comes here, so delivering it means telling whoever follows the
    conversation; sending it twice is harmless, as followers know a parcel by its id.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def start(self, accept: Accept) -> None:
        """Nothing to connect to: messages come through the gateway's own routes."""

    async def send(self, parcel: Parcel) -> Sent:
        """Tell the followers of the conversation."""
        told = {"parcel": parcel.id, "message": parcel.message.id, "text": parcel.message.text}
        return Sent(str(self._streams.publish(parcel.conversation, "message", told)))

    async def stop(self) -> None:
        """Nothing to disconnect."""

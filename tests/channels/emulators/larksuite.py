"""Feishu's own SDK, talking to the emulator at ``sys.argv[1]``: it has to believe that this is Feishu.

A process of its own, because the SDK has one event loop for its whole process and can only be killed. Prints the ids of
a message said twice with one ``uuid`` and of a reply, then the texts of two events, and ends.
"""

from __future__ import annotations

import json
import os
import sys

import lark_oapi as lark
from lark_oapi.api.im.v1 import (
    CreateMessageRequest,
    CreateMessageRequestBody,
    P2ImMessageReceiveV1,
    ReplyMessageRequest,
    ReplyMessageRequestBody,
)

base, app, secret = sys.argv[1:4]
client = lark.Client.builder().app_id(app).app_secret(secret).domain(base).log_level(lark.LogLevel.ERROR).build()
texts: list[str] = []


def said(body: str) -> str:
    content = CreateMessageRequestBody.builder().receive_id("oc_1").msg_type("text").content(body).uuid("one").build()
    answer = client.im.v1.message.create(
        CreateMessageRequest.builder().receive_id_type("chat_id").request_body(content).build()
    )
    assert answer.success(), answer.msg
    return str(answer.data.message_id)


def replied(name: str) -> str:
    content = ReplyMessageRequestBody.builder().content('{"text": "re"}').msg_type("text").build()
    answer = client.im.v1.message.reply(ReplyMessageRequest.builder().message_id(name).request_body(content).build())
    assert answer.success(), answer.msg
    return str(answer.data.message_id)


def heard(data: P2ImMessageReceiveV1) -> None:
    texts.append(json.loads(data.event.message.content)["text"])
    print("heard", texts[-1], flush=True)


first = said('{"text": "hello"}')
print("said", first, said('{"text": "hello"}'), replied(first), flush=True)
handler = lark.EventDispatcherHandler.builder("", "").register_p2_im_message_receive_v1(heard).build()
try:
    lark.ws.Client(app, secret, event_handler=handler, domain=base, log_level=lark.LogLevel.ERROR).start()
finally:
    os._exit(0)

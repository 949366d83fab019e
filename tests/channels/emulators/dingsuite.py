"""DingTalk's own SDK, talking to the emulator that the environment names: it has to believe that this is DingTalk.

A process of its own, because the SDK reads its address once and never ends. Prints what it hears; answers each message
in its session.
"""

from __future__ import annotations

import asyncio
import logging
import sys

import dingtalk_stream
from dingtalk_stream import AckMessage


class Handler(dingtalk_stream.ChatbotHandler):
    async def process(self, callback: dingtalk_stream.CallbackMessage) -> tuple[int, str]:
        message = dingtalk_stream.ChatbotMessage.from_dict(callback.data)
        if message.message_type == "picture":
            heard = await asyncio.to_thread(self.get_image_download_url, message.get_image_list()[0])
        else:
            heard = message.text.content
            await asyncio.to_thread(self.reply_text, f"re {heard}", message)
        print("heard", heard, flush=True)
        return AckMessage.STATUS_OK, "OK"


client = dingtalk_stream.DingTalkStreamClient(
    dingtalk_stream.Credential(*sys.argv[1:3]), logger=logging.Logger("silent", logging.CRITICAL)
)
client.register_callback_handler(dingtalk_stream.ChatbotMessage.TOPIC, Handler())
client.start_forever()

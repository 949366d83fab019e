"""Converted models through CTranslate2: fast INT8 on processors."""

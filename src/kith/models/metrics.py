"""What the room measures. Names follow OpenTelemetry's GenAI conventions and vLLM's, in Prometheus' spelling.

The conventions' ``gen_ai.server.time_to_first_token`` is ``gen_ai_server_time_to_first_token_seconds`` here; vLLM's
``vllm:num_requests_waiting`` is ``kith_model_num_requests_waiting``.
"""

from __future__ import annotations

from kith.runtime.telemetry import counter, gauge, histogram

_MODEL = ("model",)

requests = counter("kith_model_requests_total", "Requests to models by outcome", ("model", "outcome"))
retries = counter("kith_model_retries_total", "Requests tried again after a lost worker", _MODEL)
fallbacks = counter("kith_model_fallbacks_total", "Requests answered by another model than the one asked", _MODEL)
duration = histogram("gen_ai_server_request_duration_seconds", "From request to last token", _MODEL)
first = histogram("gen_ai_server_time_to_first_token_seconds", "From request to first token", _MODEL)
each = histogram("gen_ai_server_time_per_output_token_seconds", "Mean time of a token after the first", _MODEL)
tokens = counter("gen_ai_client_token_usage_total", "Tokens read and written", ("model", "gen_ai_token_type"))
queued = histogram("kith_model_request_queue_time_seconds", "Time a request waited for a slot", _MODEL)
waiting = gauge("kith_model_num_requests_waiting", "Requests in the queue", _MODEL)
running = gauge("kith_model_num_requests_running", "Requests that run: the size of the batch", _MODEL)
prefix_tokens = counter("kith_model_prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache", _MODEL)
prefix_hits = counter("kith_model_prefix_cache_hits_total", "Prompt tokens found in the prefix cache", _MODEL)
cache = counter("kith_model_response_cache_total", "Look-ups of remembered replies by result", ("model", "result"))
cache_age = histogram("kith_model_response_cache_age_seconds", "Age of a remembered reply when it was given", _MODEL)
breaker = counter("kith_model_breaker_opened_total", "How often a model was left alone after failures", _MODEL)
memory = gauge("kith_model_memory_bytes", "Resident memory of a model's processes", _MODEL)
replicas = gauge("kith_model_replicas", "Processes of a model", _MODEL)
loads = counter("kith_model_loads_total", "Models loaded", _MODEL)
unloads = counter("kith_model_unloads_total", "Models unloaded by reason", ("model", "reason"))
recycled = counter("kith_model_recycled_total", "Processes replaced because they grew", _MODEL)

"""Servers whose replies differ from OpenAI's: the effect on a sample and on the rest of its batch."""

import json
import math
from typing import Any

import pytest

from tenfold.core import Completion, Sampling, SamplingIncomplete, Status, UserError, verdict_without_response
from tenfold.policies import openai as policy_module
from tenfold.policies.chat import thinking
from tenfold.policies.openai import OpenAIPolicy

from .servers import Reply, Request, answer, error, serving

ASKED = [[{"role": "user", "content": text}] for text in ("one", "two", "three")]


def sampled(reply: Reply, sampling: Sampling | None = None, **options: Any) -> Completion:
    """Returns the sample of a server that sends one reply."""
    with serving(lambda request: reply) as server:
        policy = OpenAIPolicy("m", server.url, **{"max_retries": 1, **options})
        return policy.generate(ASKED[:1], 1, sampling or Sampling())[0][0]


def second_is(reply: Reply, **options: Any) -> tuple[list[Completion], list[Request]]:
    """Returns a sample for each of three prompts; the server always sends the given reply for the second."""
    with serving(lambda request: reply if request["messages"][-1]["content"] == "two" else Reply(answer("ok"))) as server:
        policy = OpenAIPolicy("m", server.url, **{"max_retries": 1, **options})
        rows = policy.generate(ASKED, 1, Sampling())
        return [row[0] for row in rows], server.requests


ODD = {
    "no choices": Reply(answer("") | {"choices": []}),
    "null choices": Reply(answer("") | {"choices": None}),
    "choices left out": Reply({"id": "1", "object": "chat.completion"}),
    "a null choice": Reply(answer("") | {"choices": [None]}),
    "a null message": Reply(answer("", choice={"message": None})),
    "a message of text": Reply(answer("", choice={"message": "hi"})),
    "an empty message": Reply(answer("", choice={"message": {}})),
    "a number for a content": Reply(answer(7)),
    "an error object": Reply(error("the model is overloaded", code=502)),
    "an error text": Reply({"error": "upstream timed out"}),
    "an error of vLLM's form": Reply({"object": "error", "message": "engine is dead", "code": 500}),
    "an error within a choice": Reply(answer("", choice={"error": {"code": 502, "message": "provider failed"}})),
    "a sample broken off": Reply(answer("So the answer is", "error")),
    "HTML": Reply(b"<html><body>Bad gateway</body></html>", content_type="text/html"),
    "HTML that claims to be JSON": Reply(b"<html></html>"),
    "truncated JSON": Reply(json.dumps(answer("hello")).encode()[:60]),
    "a body shorter than promised": Reply(json.dumps(answer("hello")).encode(), missing=50),
    "nothing": Reply(b""),
    "blanks": Reply(b"  \n"),
    "null": Reply(None),
    "a list": Reply([answer("hello")]),
    "a text": Reply("hello"),
    "a stream of events": Reply(b'data: {"choices": []}\n\ndata: [DONE]\n', content_type="text/event-stream"),
    "JSON nested without end": Reply(b"[" * 100_000),
    "nested reasoning": Reply(b'{"choices": [{"message": {"reasoning": ' + b"[" * 900 + b"]" * 900 + b"}}]}"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_reply_without_an_answer_is_a_fault_of_one_sample(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "PAUSE", 0.01)
    rows, requests = second_is(ODD[name])
    assert [(row.text, row.finish_reason) for row in rows] == [("ok", "stop"), ("", "fault"), ("ok", "stop")]
    assert sum(request["messages"][-1]["content"] == "two" for request in requests) == 2, "it was asked for again"
    verdict = verdict_without_response(rows[1].finish_reason, rows[1].error)
    assert verdict is not None
    assert verdict.status == Status.FAULT
    assert verdict.reason
    assert "\n" not in verdict.reason


@pytest.mark.parametrize("name", ["no choices", "HTML", "truncated JSON", "an error object"])
def test_a_reply_without_an_answer_is_retried(name: str) -> None:
    replies = [Reply(answer("at last")), ODD[name]]
    with serving(lambda request: replies.pop()) as server:
        (row,) = OpenAIPolicy("m", server.url).generate(ASKED[:1], 1, Sampling())
    assert [sample.text for sample in row] == ["at last"]


REFUSALS = {
    "Azure's filter": Reply(error("The response was filtered", code="content_filter"), 400),
    "OpenAI's policy": Reply(error("Your request was rejected", code="content_policy_violation"), 400),
    "a flagged prompt": Reply(error("Your prompt was flagged as potentially violating our usage policy."), 400),
    "Qwen's inspection": Reply(error("Input data may contain inappropriate content.", code="data_inspection_failed"), 400),
    "DeepSeek's risk": Reply(error("Content Exists Risk"), 400),
    "a moderation of OpenRouter's": Reply(error("Input was flagged by moderation", code=403), 403),
    "a window of OpenAI's": Reply(error("maximum context length is 8192 tokens", code="context_length_exceeded"), 400),
    "a window of Anthropic's": Reply(error("prompt is too long: 210000 tokens > 200000 maximum"), 400),
    "a body that is too large": Reply(error("Payload Too Large"), 413),
    "a reason that nobody gives": Reply(error("Invalid request"), 400),
    "a prompt that cannot be processed": Reply({"detail": "cannot process"}, 422),
    "a prompt that is not found": Reply(error("nothing here"), 404),
    "a filtered answer": Reply(answer(None, "content_filter")),
    "a filtered answer of Gemini's": Reply(answer("", "SAFETY")),
    "a filter under status 200": Reply(error("blocked by the content filter", code=400)),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_prompt_gives_a_sample_without_a_score(name: str) -> None:
    rows, requests = second_is(REFUSALS[name], max_retries=3)
    assert [(row.text, row.finish_reason) for row in rows] == [("ok", "stop"), ("", "refused"), ("ok", "stop")]
    assert len(requests) == 3, "a refused prompt is not sent again"
    verdict = verdict_without_response(rows[1].finish_reason, rows[1].error)
    assert verdict is not None
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(error("Incorrect API key provided"), 401), "401"),
        (Reply(error("You do not have access"), 403), "403"),
        (Reply(b"<html>Sorry, you have been blocked</html>", 403, "text/html"), "403"),
        (Reply(error("Insufficient credits"), 402), "402"),
        (Reply(error("The model `m` does not exist", code="model_not_found"), 404), "does not exist"),
        (Reply(error("Your credit balance is too low"), 400), "credit"),
        (Reply(error("Invalid key", code=401)), "401"),
        (Reply(error("messages: roles must alternate"), 400), "roles must alternate"),
        (
            Reply(error("max_tokens must be less than or equal to `99`, and not to the context_window"), 400),
            "less than or equal",
        ),
        (Reply(error("not now"), 503), "503"),
    ],
)
def test_an_error_of_the_whole_batch_gives_a_one_line_error(reply: Reply, said: str) -> None:
    with serving(lambda request: reply) as server, pytest.raises(SamplingIncomplete, match=said) as stopped:
        OpenAIPolicy("m", server.url, max_retries=1).generate(ASKED, 2, Sampling())
    assert "\n" not in str(stopped.value)
    assert stopped.value.completions == [[None, None]] * 3


CUT = "length max_tokens MAX_TOKENS model_length max_output_tokens FINISH_REASON_MAX_TOKENS token_limit_reached incomplete"
CUT += " model_context_window_exceeded max_new_tokens truncated"


@pytest.mark.parametrize("reason", CUT.split())
def test_finish_reasons_of_truncated_samples_are_recognized(reason: str) -> None:
    assert sampled(Reply(answer("So the answer is 1", reason))).finish_reason == "length"


@pytest.mark.parametrize("reason", ["stop", "STOP", "end_turn", "eos", "eos_token", "stop_sequence", "tool_calls", "COMPLETE"])
def test_finish_reasons_of_complete_samples_are_recognized(reason: str) -> None:
    assert sampled(Reply(answer("So the answer is 1", reason))).finish_reason == "stop"


@pytest.mark.parametrize("reason", [None, ""])
def test_a_sample_with_all_tokens_and_no_reason_is_truncated(reason: str | None) -> None:
    usage = {"completion_tokens": 5}
    assert sampled(Reply(answer("1 2 3 4 5", reason, usage=usage)), Sampling(max_tokens=5)).finish_reason == "length"
    assert sampled(Reply(answer("1 2 3 4 5", reason, usage=usage)), Sampling(max_tokens=6)).finish_reason == "stop"


@pytest.mark.parametrize(
    "usage", [None, {}, [], "3", *({"completion_tokens": n} for n in (None, "many", -1, 10**15, math.nan))]
)
def test_missing_or_invalid_token_counts_are_ignored(usage: Any) -> None:
    said = sampled(Reply(answer("4", usage=usage, choice={"logprobs": {"content": [{"token": "4", "logprob": -0.5}]}})))
    assert (said.text, len(said.token_ids), said.logprobs) == ("4", 1, (-0.5,))


@pytest.mark.parametrize(
    "logprobs",
    [
        *(None, {}, {"content": None}, {"content": [None]}, [], 3),
        *({"content": [{"logprob": logprob}]} for logprob in (None, True, 0.5, -(10**400))),
    ],
)
def test_missing_log_probabilities_give_an_empty_tuple(logprobs: Any) -> None:
    assert sampled(Reply(answer("4", choice={"logprobs": logprobs}))).logprobs == ()


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "It is "}, {"type": "text", "text": "4."}]}, "It is 4."),
        ({"content": ["It is ", "4."]}, "It is 4."),
        ({"content": []}, ""),
        ({"content": None}, ""),
        ({"content": [{"type": "thinking", "thinking": "2+2"}, {"type": "text", "text": "4"}]}, "<think>\n2+2\n</think>\n4"),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "2+2"}]}, {"type": "text", "text": "4"}]},
            "<think>\n2+2\n</think>\n4",
        ),
        ({"content": "4", "reasoning": "2+2"}, "<think>\n2+2\n</think>\n4"),
        ({"content": "4", "reasoning_content": "2+2"}, "<think>\n2+2\n</think>\n4"),
        ({"content": "4", "reasoning_details": [{"type": "reasoning.text", "text": "2+2"}]}, "<think>\n2+2\n</think>\n4"),
        ({"content": "<think>2+2</think>4", "reasoning_content": "2+2"}, "<think>2+2</think>4"),
        ({"content": None, "reasoning_content": "2+"}, "<think>\n2+"),
        ({"content": None, "refusal": "I cannot help with that."}, "I cannot help with that."),
        (
            {
                "content": None,
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}],
            },
            '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>',
        ),
        (
            {"content": "Let me add.", "function_call": {"name": "add", "arguments": '{"a": 2'}},
            'Let me add.\n<tool_call>\n{"name": "add", "arguments": "{\\"a\\": 2"}\n</tool_call>',
        ),
        ({"content": "half \ud800 a pair"}, "half \ufffd a pair"),
    ],
)
def test_every_format_of_a_message_is_parsed(message: dict[str, Any], text: str) -> None:
    assert sampled(Reply(answer("", message=message))).text == text


def strict(rejected: dict[str, Any], said: Request | None = None) -> Any:
    """Returns the reply function of a server that rejects some parameters, each with its own error."""

    def reply(request: Request) -> Reply:
        for name, body in rejected.items():
            if name in request:
                return body if isinstance(body, Reply) else Reply(body, 400)
        return Reply(answer("one END two"))

    return reply


def unsupported(name: str, **fields: Any) -> dict[str, Any]:
    return error(
        f"Unsupported parameter: '{name}' is not supported with this model.", param=name, code="unsupported_parameter", **fields
    )


def test_max_completion_tokens_is_sent_if_required() -> None:
    body = error(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        param="max_tokens",
        code="unsupported_parameter",
    )
    with serving(strict({"max_tokens": body})) as server:
        policy = OpenAIPolicy("m", server.url, batch_size=1, max_retries=0)
        policy.generate(ASKED, 1, Sampling(max_tokens=77))
    limits = [(request.get("max_tokens"), request.get("max_completion_tokens")) for request in server.requests]
    assert limits == [(77, None)] + [(None, 77)] * 3


@pytest.mark.filterwarnings("ignore:m at ")
def test_requests_to_openai_reasoning_models_use_their_parameters() -> None:
    rejected = {
        "max_tokens": unsupported("max_tokens"),
        "logprobs": Reply(error("You are not allowed to request logprobs from this model."), 403),
        "temperature": error(
            "Unsupported value: 'temperature' does not support 1 with this model.",
            param="temperature",
            code="unsupported_value",
        ),
        "top_p": unsupported("top_p"),
    }
    with serving(strict(rejected)) as server:
        ((sample,),) = OpenAIPolicy("m", server.url, max_retries=0).generate(ASKED[:1], 1, Sampling(max_tokens=9))
    assert sample.text == "one END two"
    assert server.requests[-1].keys() == {"model", "messages", "max_completion_tokens", "seed"}


@pytest.mark.parametrize(
    "body",
    [
        unsupported("seed"),
        Reply({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}, 422),
        Reply(error("Unrecognized request argument supplied: seed"), 400),
        Reply(error("1 validation error for ChatCompletionRequest\nseed\n  Extra inputs are not permitted"), 400),
    ],
)
def test_a_rejected_seed_is_left_out_with_a_warning(body: Any) -> None:
    with serving(strict({"seed": body})) as server, pytest.warns(UserWarning, match="does not accept seed"):
        rows = OpenAIPolicy("m", server.url, max_retries=0).generate(ASKED, 2, Sampling())
    assert {sample.finish_reason for row in rows for sample in row} == {"stop"}


def test_rejected_stop_strings_are_applied_by_the_client() -> None:
    with serving(strict({"stop": unsupported("stop")})) as server, pytest.warns(UserWarning, match="the client applies stop"):
        ((sample,),) = OpenAIPolicy("m", server.url, max_retries=0).generate(ASKED[:1], 1, Sampling(stop=("END", "two")))
    assert (sample.text, sample.finish_reason) == ("one ", "stop")


@pytest.mark.parametrize(("name", "sampling"), [("temperature", Sampling(0.6)), ("top_p", Sampling(top_p=0.9))])
def test_parameters_of_the_distribution_are_not_left_out(name: str, sampling: Sampling) -> None:
    with serving(strict({name: unsupported(name)})) as server:
        with pytest.raises(UserError, match=f"does not accept {name}=.*omit_parameters={name}"):
            OpenAIPolicy("m", server.url).generate(ASKED[:1], 1, sampling)
        (row,) = OpenAIPolicy("m", server.url, omit_parameters=name).generate(ASKED[:1], 1, sampling)
    assert row[0].text == "one END two"


def test_a_server_that_rejects_top_k_gives_a_one_line_error() -> None:
    body = error("Unrecognized request argument supplied: top_k")
    with (
        serving(strict({"top_k": body})) as server,
        pytest.raises(UserError, match=r"does not accept top_k=20 .*omit top_k") as it,
    ):
        OpenAIPolicy("m", server.url).generate(ASKED[:1], 1, Sampling(top_k=20))
    assert "\n" not in str(it.value)


def test_a_server_that_rejects_thinking_gives_a_one_line_error() -> None:
    body = error("Unrecognized request argument supplied: chat_template_kwargs")
    with serving(strict({"chat_template_kwargs": body})) as server:
        policy = OpenAIPolicy("m", server.url)
        words = r"does not accept chat_template_kwargs=\{'enable_thinking': False\} \(400: .*\): omit thinking \(--thinking\)$"
        with thinking.thinking(policy, "off"), pytest.raises(UserError, match=words):
            policy.generate(ASKED[:1], 1, Sampling())
        ((sample,),) = policy.generate(ASKED[:1], 1, Sampling())
    assert sample.text == "one END two"


def test_a_too_large_limit_is_not_treated_as_an_unknown_parameter() -> None:
    body = error("max_tokens is too large: 9. This model supports at most 8 completion tokens.", param="max_tokens")
    with serving(strict({"max_tokens": body})) as server, pytest.raises(UserError, match="at most 8"):
        OpenAIPolicy("m", server.url).generate(ASKED, 1, Sampling(max_tokens=9))


def test_lone_surrogates_are_replaced_in_requests() -> None:
    with serving(lambda request: Reply(answer("ok"))) as server:
        policy = OpenAIPolicy("m", server.url)
        policy.generate([[{"role": "user", "content": "half \ud800 a pair"}]], 1, Sampling(stop=("\udc00",)), ["p\ud800"])
        assert server.requests[0]["messages"] == [{"role": "user", "content": "half \ufffd a pair"}]
        policy.choice_probabilities([[{"role": "user", "content": "ok \udfff"}]], ["ok"])


def test_completions_of_plain_text_are_checked_too() -> None:
    replies = [Reply({"choices": [{"text": " 4", "finish_reason": None}], "usage": None}), Reply({"choices": []}), Reply(b"")]
    with serving(lambda request: replies.pop()) as server:
        ((sample,),) = OpenAIPolicy("m", server.url).generate([[{"role": "text", "content": "2 + 2 ="}]], 1, Sampling())
    assert (sample.text, sample.finish_reason, sample.token_ids) == (" 4", "stop", ())


@pytest.mark.filterwarnings("ignore:m at ")
def test_top_logprobs_are_not_requested_without_logprobs() -> None:
    def reply(request: Request) -> Reply:
        if request.keys() & {"logprobs"}:
            return Reply(unsupported("logprobs"), 400)
        return Reply(error("top_logprobs requires logprobs"), 400) if "top_logprobs" in request else Reply(answer("B"))

    with serving(reply) as server:
        assert OpenAIPolicy("m", server.url).choice_probabilities(ASKED[:1], ["A", "B"]) == [[0, 1]]


def test_a_judge_without_an_answer_is_a_fault_of_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "PAUSE", 0.01)
    top = {
        "content": [{"top_logprobs": [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -3}, None, {"token": "C"}]}]
    }

    def reply(request: Request) -> Reply:
        question = request["messages"][-1]["content"]
        return {"one": Reply(answer("A", choice={"logprobs": top})), "two": Reply({"choices": []})}.get(
            question, Reply(answer("B"))
        )

    with serving(reply) as server:
        one, two, three = OpenAIPolicy("m", server.url, max_retries=1).choice_probabilities(ASKED, ["A", "B"])
    assert one[0] > 0.9
    assert all(map(math.isnan, two))
    assert three == [0, 1]

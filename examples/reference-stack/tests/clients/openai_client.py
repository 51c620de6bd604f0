"""OpenAI's own client against the stack: what works with OpenAI works here."""

import asyncio
import os
import traceback

import openai
from openai import AsyncOpenAI, OpenAI

URL, TOKEN, FREE_TOKEN = (os.environ[name] for name in ("URL", "TOKEN", "FREE_TOKEN"))

client = OpenAI(base_url=URL, api_key=TOKEN, max_retries=0)
HELLO = [{"role": "user", "content": "Hello over there, how are the tides today?"}]


def ask(**more):
    return client.chat.completions.create(**{"model": "reference", "messages": HELLO} | more)


def refused(error, **more):
    try:
        ask(**more)
    except error as caught:
        return caught
    raise AssertionError(f"{more} was not refused")


def models():
    listed = [model.id for model in client.models.list()]
    assert listed == ["reference", "reference-small"], listed
    assert ask(model="reference-small").model == "reference-small"
    # Two models give two answers, so it was asked for.
    assert ask(model="reference-small").choices[0].message.content != ask().choices[0].message.content


def whole():
    answer = ask()
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert answer.choices[0].finish_reason == "stop"
    message = answer.choices[0].message
    assert message.role == "assistant" and "Messages read:" in message.content, message
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens == len(message.content.split())
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return message.content


def streamed(expected):
    text, reasons, usages = "", [], []
    for chunk in ask(stream=True, stream_options={"include_usage": True}):
        assert chunk.object == "chat.completion.chunk"
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
        usages += [chunk.usage] if chunk.usage else []
    assert text == expected, (text, expected)
    assert reasons == ["stop"], reasons
    assert len(usages) == 1 and usages[0].completion_tokens == len(text.split()), usages


def sampling(expected):
    for name in ("max_tokens", "max_completion_tokens"):
        short = ask(**{name: 3})
        text = short.choices[0].message.content
        assert len(text.split()) == 3, (name, text)
        assert short.choices[0].finish_reason == "length", (name, short.choices[0])
        assert short.usage.completion_tokens == 3, (name, short.usage)
    pieces = list(ask(max_tokens=3, stream=True))
    assert pieces[-1].choices[0].finish_reason == "length", pieces[-1]
    assert len("".join(piece.choices[0].delta.content or "" for piece in pieces).split()) == 3
    cut = ask(stop=["Messages read"])
    assert cut.choices[0].message.content == expected.split("Messages read")[0], cut.choices[0]
    assert cut.choices[0].finish_reason == "stop"
    assert ask(temperature=0.0, top_p=0.5).choices[0].message.content
    # And what was asked with one of them is no answer to what is asked without.
    assert ask().choices[0].message.content == expected


def closed_early():
    with ask(stream=True) as stream:
        next(iter(stream))
    assert ask().choices[0].message.content


def refusals():
    error = refused(openai.BadRequestError, temperature=7)
    assert error.status_code == 400 and error.param == "temperature", error
    assert refused(openai.BadRequestError, messages=[]).param == "messages"
    assert refused(openai.BadRequestError, messages=[{"role": "nobody", "content": "x"}]).status_code == 400
    assert refused(openai.NotFoundError, model="no-such-model").code == "model_not_found"
    for wrong in ("sk-of-somebody-else", TOKEN[:-3] + "AAA"):
        try:
            client.with_options(api_key=wrong).models.list()
            raise AssertionError("a wrong key was taken")
        except openai.AuthenticationError as error:
            assert error.code == "invalid_api_key" and wrong not in str(error), error


def limited():
    free = client.with_options(api_key=FREE_TOKEN)
    for _ in range(5):
        free.models.list()
    try:
        free.models.list()
        raise AssertionError("a sixth request was let through")
    except openai.RateLimitError as error:
        assert error.code == "rate_limit_exceeded", error
        assert int(error.response.headers["retry-after"]) > 0


def once():
    headers = {"Idempotency-Key": "of-the-python-client"}
    first, second = (ask(extra_headers=headers) for _ in range(2))
    assert first.id == second.id


async def at_once(expected):
    async with AsyncOpenAI(base_url=URL, api_key=TOKEN, max_retries=0) as client:
        ask = lambda: client.chat.completions.create(model="reference", messages=HELLO)
        answers = await asyncio.gather(*(ask() for _ in range(10)))
    assert {answer.choices[0].message.content for answer in answers} == {expected}
    assert len({answer.id for answer in answers}) == 10


def main():
    failures = []
    text = whole()
    for check in (
        models,
        lambda: streamed(text),
        lambda: sampling(text),
        closed_early,
        refusals,
        limited,
        once,
        lambda: asyncio.run(at_once(text)),
    ):
        try:
            check()
        except Exception:  # All of them are told, and not the first alone.
            failures.append(traceback.format_exc())
    for failure in failures:
        print(failure)
    raise SystemExit(1 if failures else 0)


main()

"""One turn with one Python library, chosen by name: run in an environment that has it. Prints what the model said.

python python_clients.py NAME URL KEY MODEL
"""

# ruff: noqa: PLC0415 each function needs one library and none of the others
# mypy: ignore-errors

from __future__ import annotations

import sys

HELLO = "say hello"


def openai(url: str, key: str, model: str) -> str:
    from openai import OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key=key)
    chunks = client.chat.completions.create(model=model, messages=[{"role": "user", "content": HELLO}], stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def anthropic(url: str, key: str, model: str) -> str:
    from anthropic import Anthropic

    with Anthropic(base_url=url, api_key=key).messages.stream(
        model=model, max_tokens=50, messages=[{"role": "user", "content": HELLO}]
    ) as stream:
        return stream.get_final_text()


def google(url: str, key: str, model: str) -> str:
    from google import genai

    client = genai.Client(api_key=key, http_options={"base_url": url})
    return client.models.generate_content(model=model, contents=HELLO).text or ""


def google_interactions(url: str, key: str, model: str) -> str:
    from google import genai

    client = genai.Client(api_key=key, http_options={"base_url": url})
    events = client.interactions.create(model=model, input=HELLO, store=False, stream=True)
    return "".join(e.delta.text for e in events if e.event_type == "step.delta" and e.delta.type == "text")


def langchain_openai(url: str, key: str, model: str) -> str:
    from langchain_openai import ChatOpenAI

    return "".join(
        str(chunk.content) for chunk in ChatOpenAI(base_url=f"{url}/v1", api_key=key, model=model).stream(HELLO)
    )


def langchain_anthropic(url: str, key: str, model: str) -> str:
    from langchain_anthropic import ChatAnthropic

    return str(ChatAnthropic(base_url=url, api_key=key, model=model).invoke(HELLO).content)


def pydantic_ai(url: str, key: str, model: str) -> str:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=f"{url}/v1", api_key=key)
    agent = Agent(OpenAIChatModel(model, provider=provider))

    @agent.tool_plain
    def run_command(command: str) -> str:
        return command

    return str(agent.run_sync("reach-by-shell").output)


def instructor(url: str, key: str, model: str) -> str:
    import instructor as library
    from openai import OpenAI
    from pydantic import BaseModel

    class City(BaseModel):
        name: str

    client = library.from_openai(OpenAI(base_url=f"{url}/v1", api_key=key))
    found = client.chat.completions.create(
        model=model, response_model=City, messages=[{"role": "user", "content": HELLO}]
    )
    return f"{found.name}: The router says hello."


def openai_agents(url: str, key: str, model: str) -> str:
    from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(disabled=True)
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key)
    agent = Agent(name="a", instructions="Be brief.", model=OpenAIResponsesModel(model, client))
    return str(Runner.run_sync(agent, HELLO).final_output)


def litellm(url: str, key: str, model: str) -> str:
    import litellm as library

    answer = library.completion(
        model=f"openai/{model}", api_base=f"{url}/v1", api_key=key, messages=[{"role": "user", "content": HELLO}]
    )
    return str(answer.choices[0].message.content)


def smolagents(url: str, key: str, model: str) -> str:
    from smolagents import OpenAIServerModel

    server = OpenAIServerModel(model_id=model, api_base=f"{url}/v1", api_key=key)
    return str(server([{"role": "user", "content": HELLO}]).content)


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    print(globals()[name](*rest))

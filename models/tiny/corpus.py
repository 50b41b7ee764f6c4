#!/usr/bin/env python3
"""Writes the training text of the bundled model: conversations as JSON Lines, `{"messages": [{role, content}, …]}`.

    corpus.py COUNT SEED [KIND…] > corpus.jsonl

Kinds: command (a request and its command line), explain (what a command does), self (what this system and its model are),
tool (a tool list in the system message, a tool call as JSON), unknown (questions it must not answer). The same count and seed
give the same bytes. Facts come from commands.toml, the phrasing from there and from the frames below; eval.toml is read only to
make sure that none of its requests is written.
"""

import json
import random
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent

BEFORE = ["", "", "", "please ", "can you ", "could you ", "I want to ", "help me to ", "hey, ", "now "]
BEFORE_QUESTION = ["", "", "", "", "hey, ", "tell me, ", "say, "]
QUESTION_WORDS = {"what", "which", "where", "who", "how", "is", "are", "do", "hello", "hi", "good", "thank", "thanks"}
AFTER = ["", "", "", "?", ".", " please", " for me", " now"]

HOW = ["how do I {request}", "how can I {request}", "which command is for this: {request}", "what do I type to {request}"]

EXPLAIN = ["what does {tool} do", "explain {tool}", "what is {tool} for", "tell me about {tool}", "what is the command {tool}"]

ABOUT = {
    "what can you do": "I can turn a request into a command line, explain commands, and tell you about this system. Try: show the five biggest files here.",
    "who are you": "I am the small model that comes with Valence. I run on this machine alone; nothing you say leaves it.",
    "what is this system": "This is Valence, a small operating system where AI is part of the system. Programs reach me as files under ai:.",
    "how do I talk to you from the shell": "Type ai and your question, or ai chat for a conversation.",
    "how do I install another model": "Get a GGUF file and type: ai add FILE. Then ai models lists it.",
    "where are the models": "Models are files in /usr/share/models and in the models folder of your home.",
    "do you send my words anywhere": "No. I compute everything on this machine.",
    "how can a program use you": "It opens /scheme/ai/chat, writes a message and reads the reply.",
    "hello": "Hello. Ask me how to do something on this system.",
    "hi": "Hello. Ask me how to do something on this system.",
    "good morning": "Good morning. Ask me how to do something on this system.",
    "thank you": "You are welcome.",
    "thanks": "You are welcome.",
}

UNKNOWN = [
    "who won the world cup in {year}", "what is the capital of {place}", "write a poem about {thing}", "how tall is {thing}",
    "what is the weather in {place}", "who is the president of {place}", "translate {thing} into {language}",
    "how do I cook {thing}", "what happened in {year}", "tell me a joke about {thing}", "what is {year} times {year}",
]
UNKNOWN_SLOTS = {
    "year": [str(year) for year in range(1900, 2030)],
    "place": ["France", "Japan", "Peru", "Kenya", "Norway", "Texas", "Rome", "Berlin", "India", "Brazil"],
    "thing": ["a mountain", "soup", "the sea", "a horse", "love", "bread", "a castle", "rain", "the moon", "a train"],
    "language": ["French", "German", "Spanish", "Latin", "Chinese", "Polish"],
}
DO_NOT_KNOW = "I do not know that. I know this system and its commands."

TOOLS = {
    "read_file": ("path", ["show {file}", "what is in {file}", "open {file}"], "{file}"),
    "list_dir": ("path", ["what is in the folder {dir}", "list {dir}"], "{dir}"),
    "search": ("text", ["search for {word}", "find notes about {word}"], "{word}"),
    "remember": ("text", ["remember {word}", "note {word}"], "{word}"),
}


def fill(template, slots, values, rng):
    """Puts a value into every slot; one slot has one value throughout."""
    for slot, choices in slots.items():
        mark = "{" + slot + "}"
        if mark in template:
            values.setdefault(slot, rng.choice(choices))
            template = template.replace(mark, values[slot])
    return template


def phrase(request, rng):
    asks = request.split()[0].lower() in QUESTION_WORDS
    text = rng.choice(BEFORE_QUESTION if asks else BEFORE) + request + rng.choice(AFTER)
    return text[0].upper() + text[1:] if rng.random() < 0.5 else text


def command(facts, rng):
    task = rng.choice(facts["task"])
    values = {}
    request = fill(rng.choice(task["requests"]), facts["slots"], values, rng)
    line = fill(task["command"], facts["slots"], values, rng)
    if rng.random() < 0.3:
        request = rng.choice(HOW).format(request=request)
        return phrase(request, rng), f"{line}\n{task['does']}"
    return phrase(request, rng), line


def explain(facts, rng):
    task = rng.choice(facts["task"])
    tool = " ".join(word for word in task["command"].split(" | ")[0].split() if "{" not in word and word != ".")
    return phrase(rng.choice(EXPLAIN).format(tool=tool), rng), task["does"]


def about(_facts, rng):
    question = rng.choice(list(ABOUT))
    return phrase(question, rng), ABOUT[question]


def unknown(_facts, rng):
    return phrase(fill(rng.choice(UNKNOWN), UNKNOWN_SLOTS, {}, rng), rng), DO_NOT_KNOW


def tool(facts, rng):
    names = rng.sample(list(TOOLS), rng.randint(1, len(TOOLS)))
    listed = [{"name": name, "parameters": {TOOLS[name][0]: "string"}} for name in names]
    name = rng.choice(names)
    parameter, requests, value = TOOLS[name]
    values = {}
    request = fill(rng.choice(requests), facts["slots"], values, rng)
    call = {"tool": name, "arguments": {parameter: fill(value, facts["slots"], values, rng)}}
    return phrase(request, rng), json.dumps(call), "Tools: " + json.dumps(listed)


KINDS = {"command": (command, 6), "explain": (explain, 2), "self": (about, 2), "tool": (tool, 2), "unknown": (unknown, 1)}


def main():
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    kinds = sys.argv[3:] or list(KINDS)
    facts = tomllib.loads((HERE / "commands.toml").read_text())
    held_back = {case["request"].lower() for case in tomllib.loads((HERE / "eval.toml").read_text())["case"]}
    rng = random.Random(seed)
    weights = [KINDS[kind][1] for kind in kinds]
    written = 0
    while written < count:
        kind = rng.choices(kinds, weights)[0]
        request, answer, *system = KINDS[kind][0](facts, rng)
        if request.lower() in held_back:
            continue
        messages = [{"role": "system", "content": text} for text in system]
        messages += [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]
        print(json.dumps({"messages": messages}, ensure_ascii=False))
        written += 1


if __name__ == "__main__":
    main()

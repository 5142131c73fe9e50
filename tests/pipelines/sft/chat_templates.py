"""Chat templates like those of several model families, for tests of conversations with tools."""
# ruff: noqa: E501 (templates)

QWEN = """{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content + '\n' }}{% endif %}<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools><|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) or (message.role == 'assistant' and not message.tool_calls) %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant' }}
{%- if message.content %}{{- '\n' + message.content }}{% endif %}
{%- for call in message.tool_calls %}{% if call.function is defined %}{% set call = call.function %}{% endif %}
{{- '\n<tool_call>\n{"name": "' + call.name + '", "arguments": ' }}{{ call.arguments | tojson }}{{ '}\n</tool_call>' }}{% endfor %}
{{- '<|im_end|>\n' }}
{%- elif message.role == 'tool' %}
{%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{% endif %}
{{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{% endif %}
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""
"""Like Qwen2.5: tools' replies share a user turn."""

QWEN3 = QWEN.replace(
    "{%- if message.role == 'user' or",
    "{%- if message.role == 'assistant' and loop.last and not message.tool_calls %}"
    "{{- '<|im_start|>assistant\n<think>\n\n</think>\n\n' + message.content + '<|im_end|>\n' }}"
    "{%- elif message.role == 'user' or",
)
"""Like Qwen3: the last turn has empty reasoning, earlier turns have none."""

LLAMA = """{{- bos_token }}{%- for message in messages %}
{%- if message.role in ('tool', 'ipython') %}<|start_header_id|>ipython<|end_header_id|>

{{ message.content | tojson }}<|eot_id|>
{%- elif 'tool_calls' in message %}
{%- if message.tool_calls | length != 1 %}{{ raise_exception("This model only supports single tool-calls at once!") }}{% endif %}
{%- set call = message.tool_calls[0].function %}<|start_header_id|>assistant<|end_header_id|>

{{ '{"name": "' + call.name + '", "parameters": ' }}{{ call.arguments | tojson }}}<|eot_id|>
{%- else %}<|start_header_id|>{{ message.role }}<|end_header_id|>

{% if tools and loop.index0 == 0 %}{% for tool in tools %}{{ tool | tojson }}

{% endfor %}{% endif %}{{ message.content | trim }}<|eot_id|>
{%- endif %}{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""
"""Like Llama 3.1: one call per turn without further text, declarations in the first turn."""

MISTRAL = """{{- bos_token }}{% set users = messages | selectattr('role', 'equalto', 'user') | list %}
{%- for message in messages %}
{%- if message.role == 'user' %}
{%- if tools and message == users[-1] %}[AVAILABLE_TOOLS] {{ tools | map(attribute='function') | list | tojson }}[/AVAILABLE_TOOLS]{% endif %}
{{- '[INST] ' + message.content + '[/INST]' }}
{%- elif message.tool_calls is defined and message.tool_calls %}[TOOL_CALLS] [
{%- for call in message.tool_calls %}
{%- if call.id is not defined or call.id | length != 9 %}{{ raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}{% endif %}
{{- call.function | tojson | replace('}}', '}, "id": "' + call.id + '"}') }}{{ ', ' if not loop.last }}{% endfor %}]{{ eos_token }}
{%- elif message.role == 'assistant' %}{{ ' ' + message.content | trim + eos_token }}
{%- elif message.role == 'tool' %}
{%- if message.tool_call_id is not defined or message.tool_call_id | length != 9 %}{{ raise_exception("no id") }}{% endif %}
{{- '[TOOL_RESULTS] {"content": ' + message.content + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
{%- else %}{{ raise_exception("Only user, assistant and tool roles are supported!") }}{% endif %}{% endfor %}"""
"""Like Mistral: ids of nine characters, declarations before the last user turn, no opening of the assistant's turn."""

DEEPSEEK = """{%- for message in messages %}
{%- if message.role == 'user' %}{{ '<|User|>' + message.content }}
{%- elif message.role == 'assistant' and message.content is none %}<|Assistant|>
{%- for call in message.tool_calls %}<|call|>{{ call.function.name + '\n```json\n' + call.function.arguments + '\n```' }}{% endfor %}{{ eos_token }}
{%- elif message.role == 'assistant' %}{{ '<|Assistant|>' + message.content + eos_token }}
{%- elif message.role == 'tool' %}{{ '<|output|>' + message.content }}
{%- else %}{{ message.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|Assistant|>{% endif %}"""
"""Like DeepSeek V3: arguments are text, a turn with calls has no content, tools are not declared."""

MARKED = """{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}
{%- if message.role == 'assistant' %}{% generation %}{{ message.content }}
{%- for call in message.tool_calls or [] %}{{ '<tool_call>' + call.function | tojson + '</tool_call>' }}{% endfor %}{% endgeneration %}<|im_end|>
{% else %}{% if loop.first and tools %}{{ tools | tojson }}{% endif %}{{ message.content }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
"""A template whose marks include the assistant's text, but not the end of its turn."""

THINKS = (
    QWEN.replace("{{- '<|im_start|>assistant\n' }}{% endif %}", "{{- '<|im_start|>assistant\n<think>\n' }}{% endif %}")
    .replace(
        "{%- if message.role == 'user' or",
        "{%- set last = (messages | selectattr('role', 'equalto', 'user') | list)[-1] %}"
        "{%- set ns = namespace(late=false) %}{%- for one in messages[:loop.index0] %}{% if one == last %}{% set ns.late = true %}{% endif %}{% endfor %}"
        "{%- set thought = '<think>\n\n</think>\n\n' if ns.late else '' %}"
        "{%- if message.role == 'assistant' and not message.tool_calls %}"
        "{{- '<|im_start|>assistant\n' + thought + message.content + '<|im_end|>\n' }}"
        "{%- elif message.role == 'user' or",
    )
    .replace("{{- '\n' + message.content }}", "{{- '\n' + thought + message.content }}")
)
"""Like Qwen3.5: the prompt opens the reasoning, and turns before the last user turn lose their reasoning."""

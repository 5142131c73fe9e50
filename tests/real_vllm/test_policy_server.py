"""The command of `tenfold policy serve vllm+…`, read by vLLM's own parser. No server is started."""

from tenfold.policies.serving import vllm_server


def test_vllms_parser_reads_the_command_of_a_policy() -> None:
    from vllm.entrypoints.openai.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    uri = "vllm+micro:?hidden=16&heads=2&dtype=float32&max_model_len=512&enforce_eager=true&enable_prefix_caching=false"
    further = "--enable-auto-tool-choice --tool-call-parser hermes"
    command = vllm_server.command(uri, "small", "127.0.0.1", 8123, further)
    assert command[1:4] == ["-m", "vllm.entrypoints.cli.main", "serve"]
    read = make_arg_parser(FlexibleArgumentParser()).parse_args(command[4:])
    assert (read.served_model_name, read.host, read.port) == (["small"], "127.0.0.1", 8123)
    assert (read.dtype, read.max_model_len, read.enforce_eager, read.enable_prefix_caching) == ("float32", 512, True, False)
    assert (read.generation_config, read.logprobs_mode, read.trust_remote_code) == ("vllm", "processed_logprobs", False)
    assert (read.enable_auto_tool_choice, read.tool_call_parser) == (True, "hermes")

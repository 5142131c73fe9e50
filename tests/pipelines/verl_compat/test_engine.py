"""The membership test of model classes that the engine replaces."""

import importlib
import sys

import pytest
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, LlamaConfig, PreTrainedConfig, Qwen2VLConfig
from verl.utils.model import get_hf_auto_model_class


@pytest.mark.filterwarnings("ignore:.* engine is not available")
@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (LlamaConfig(architectures=["LlamaForCausalLM"]), AutoModelForCausalLM),
        (Qwen2VLConfig(architectures=["Qwen2VLForConditionalGeneration"]), AutoModelForImageTextToText),
    ],
)
def test_verl_finds_a_models_class_without_further_imports(config: PreTrainedConfig, kind: type) -> None:
    importlib.import_module("tenfold.pipelines.verl_compat.engine")
    before = {*sys.modules}
    assert get_hf_auto_model_class(config) is kind
    assert {*sys.modules} == before

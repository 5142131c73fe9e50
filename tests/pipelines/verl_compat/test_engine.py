"""What the training engine changes of verl's."""

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
def test_verl_finds_the_kind_of_a_model_and_imports_no_other_for_it(config: PreTrainedConfig, kind: type) -> None:
    importlib.import_module("tenfold.pipelines.verl_compat.engine")
    before = {*sys.modules}
    assert get_hf_auto_model_class(config) is kind
    assert {*sys.modules} == before

#pragma once
#include <stddef.h>
#include <stdint.h>
/// libFuzzer's own changes to an input, for mutators that then put it in order. Returns its new size.
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#!/bin/sh
# run.sh - libFuzzer on every loader: sh tests/fuzz/run.sh [SECONDS] [TARGET...], 30 seconds each of onnx, safetensors, npy,
# idx and darknet. Seeds: small files made here, ONNX's own node tests (Debian: libonnx-testdata) and what is small enough
# of the models in ../shared/models, or where CONVNET_MODELS points. A crashing input is kept in build/fuzz and printed.
# Needs clang with libFuzzer. The last line is N passed, N failed.

cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-30}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- onnx safetensors npy idx darknet
models=${CONVNET_MODELS:-../shared/models}
out=build/fuzz
flags="-g1 -O1 -fno-sanitize-recover=all"
sanitize="address,undefined -fno-sanitize=pointer-overflow"  # that one: NULL + 0, which works everywhere
passed=0 failed=0
mkdir -p $out
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT

echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return !d && n; }' >$out/probe.c
if ! clang -fsanitize=fuzzer,$sanitize -o $out/probe $out/probe.c 2>/dev/null; then
    echo "skipped  fuzzing: no clang with libFuzzer"
    echo "0 passed, 0 failed"
    exit 0
fi

# The implementation is compiled once; a target that looks inside has it itself.
printf '#define CONVNET_IMPLEMENTATION\n#include "../../convnet.h"\n' >$out/implementation.c
for target in "$@"; do
    if ! grep -q '^#define CONVNET_IMPLEMENTATION' tests/fuzz/fuzz_$target.c && [ ! -f "$object" ]; then
        object=$out/implementation.o
        clang -w $flags -fsanitize=fuzzer-no-link,$sanitize -c -o $object $out/implementation.c || exit 1
    fi
done

mkdir "$seeds/onnx" "$seeds/safetensors" "$seeds/npy" "$seeds/idx" "$seeds/darknet"
${CC:-cc} -O1 -w -DCONVNET_IMPLEMENTATION -o $out/seeds tests/fuzz/seeds.c -lm && $out/seeds "$seeds"
for file in /usr/share/libonnx-testdata/data/*/*/model.onnx; do
    [ -f "$file" ] && cp "$file" "$seeds/onnx/$(basename "$(dirname "$file")").onnx"
done
for kind in onnx safetensors darknet; do
    for file in "$models/$kind"/*; do
        case $file in *.names | *.weights | *.pb) continue ;; esac
        [ -f "$file" ] && [ "$(wc -c <"$file")" -le 100000 ] && cp "$file" "$seeds/$kind/"
    done
done

for target in "$@"; do
    own=$object
    grep -q '^#define CONVNET_IMPLEMENTATION' tests/fuzz/fuzz_$target.c && own=
    clang -w $flags -fsanitize=fuzzer,$sanitize -o $out/fuzz_$target tests/fuzz/fuzz_$target.c $own -lm || exit 1
    mkdir -p $out/corpus_$target
    if $out/fuzz_$target -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -max_len=100000 -print_final_stats=1 \
        -artifact_prefix=$out/crash_${target}_ $out/corpus_$target "$seeds/$target" >$out/$target.log 2>&1; then
        passed=$((passed + 1))
        echo "ok       $target: $(sed -n 's/^stat::number_of_executed_units: *//p' $out/$target.log) inputs, $(ls "$seeds/$target" | wc -l) seeds"
    else
        failed=$((failed + 1))
        echo "FAILED   $target"
        grep -a 'ERROR\|runtime error\|SUMMARY\|Test unit written' $out/$target.log | head -10
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]

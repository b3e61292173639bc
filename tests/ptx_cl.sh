#!/bin/sh
# ptx_cl.sh - do the kernels for NVIDIA's matrix units assemble? Without a GPU: clang makes PTX of a way (>>cl-mma,
# >>cl-wgmma) in each layout, precision and storage, the library splices it, ptxas assembles it for sm_90 or sm_90a.
# Prints what ptxas tells: registers, spills; fails on an error and where it adds waits for wgmma. Not part of make test.
#   sh tests/ptx_cl.sh           ways for large and small products: a minute or two
#   sh tests/ptx_cl.sh WAY...    rows of cvncl_ways
# Needs clang with libclc (Debian: clang-15 libclc-15; CLANG, LIBCLC name others) and ptxas (CUDA, or Python's package
# nvidia-cuda-nvcc; PTXAS names it).

CC=${CC:-cc}
CLANG=${CLANG:-clang-15}
LIBCLC=${LIBCLC:-/usr/lib/clc/nvptx64--nvidiacl.bc}
PTXAS=${PTXAS:-$(command -v ptxas || echo /usr/local/cuda/bin/ptxas)}
out=${OUT:-build}/ptx
passed=0
failed=0
if ! command -v "$CLANG" >/dev/null || ! command -v "$PTXAS" >/dev/null || [ ! -f "$LIBCLC" ]; then
    echo "skipped  no $CLANG, $LIBCLC or $PTXAS"
    echo "0 passed, 0 failed"
    exit 0
fi
mkdir -p "$out"
$CC -O0 -o "$out/test_cl" tests/test_cl.c -lm -ldl || exit 1

# assembled WAY LAYOUT PRECISION STORAGE: a line of what ptxas tells; an error: what went wrong
assembled() {
    options=$("$out/test_cl" way "$1" "$2" "$3" "$4" "$out/k.cl") || return 2      # does not fit
    # shellcheck disable=SC2086
    "$CLANG" -x cl -target nvptx64-nvidia-nvcl -Xclang -target-cpu -Xclang sm_86 -Xclang -target-feature -Xclang +ptx75 \
        -Xclang -finclude-default-header -Xclang -mlink-builtin-bitcode -Xclang "$LIBCLC" -Dasm=__asm__ -O3 -S \
        $options "$out/k.cl" -o "$out/k.ptx" 2>"$out/log" || return 1
    sed -i 's/^\.version .*/.version 8.0/; s/^\.target sm_86/.target sm_90/' "$out/k.ptx"
    arch=sm_90
    if grep -q '//wgmma:' "$out/k.ptx"; then
        arch=sm_90a
        "$out/test_cl" splice "$out/k.ptx" "$out/k90a.ptx" 2>"$out/log" || return 1
        mv "$out/k90a.ptx" "$out/k.ptx"
    fi
    "$PTXAS" -v -arch=$arch "$out/k.ptx" -o "$out/k.cubin" >"$out/log" 2>&1 || return 1
    if grep -q '(C75[0-9]*)' "$out/log"; then return 1; fi        # waits for wgmma that it adds, or serializes it
    sed -n 's/^ptxas info *: Used \(.*\)/\1/p; s/^ *[0-9]* bytes stack frame, \(.*\)/\1/p' "$out/log" | tr '\n' ' '
}

for way in ${@:-$("$out/test_cl" way)}; do
    for layout in 0 2 3 6 8; do
        for numbers in "1 0" "2 0" "2 1" "2 2"; do
            # shellcheck disable=SC2086
            told=$(assembled "$way" $layout $numbers)
            status=$?
            name="way $way, layout $layout, precision and storage $numbers"
            case $status in
                0) passed=$((passed + 1)); echo "$name: $told" ;;
                1) failed=$((failed + 1)); echo "$name: FAILED"; head -20 "$out/log" ;;
            esac
        done
    done
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]

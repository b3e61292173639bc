#!/bin/sh
# run_cl.sh - convnet_cl.h on the OpenCL implementations that are here: make test-cl. Without any library; on the default
# device; linked with the library (CONVNET_CL_LINK); a smaller set on rusticl (local memory of 32 KiB) and under oclgrind,
# which must find no race and no access out of bounds. What is not installed is skipped. The last line is N passed, N
# failed.
#   CC, CFLAGS   compiler and flags

CC=${CC:-cc}
CFLAGS=${CFLAGS:--O2}
out=${OUT:-build}
passed=0
failed=0
mkdir -p "$out" "$out/pocl"
POCL_CACHE_DIR=$(cd "$out/pocl" && pwd)
export POCL_CACHE_DIR

$CC $CFLAGS -o "$out/test_cl" tests/test_cl.c -lm -ldl || exit 1

# run NAME ARGUMENTS...: one run of the program, its totals added.
run() {
    echo "== $1"
    shift
    "$out/test_cl" "$@" >"$out/test_cl.txt" 2>&1
    cat "$out/test_cl.txt"
    set -- $(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$out/test_cl.txt")
    passed=$((passed + ${1:-0}))
    failed=$((failed + ${2:-1}))
}

CONVNET_CL=0 run "CONVNET_CL=0"
CONVNET_CL_LIB=/nowhere.so run "no OpenCL library"
run "the default device"

if printf '#include <CL/cl.h>\nint main(void) { return clFinish(0) == 0; }\n' |
        $CC -x c - -o "$out/probe_cl" -lOpenCL 2>"$out/probe_cl.txt"; then
    mv "$out/test_cl" "$out/test_cl_opened"
    if $CC $CFLAGS -O0 -DCONVNET_CL_LINK -o "$out/test_cl" tests/test_cl.c -lOpenCL -lm; then     # runs two tests
        for name in by_hand fits_of_sets; do run "CONVNET_CL_LINK: $name" $name; done
    else
        failed=$((failed + 1))
    fi
    mv "$out/test_cl_opened" "$out/test_cl"
else
    echo "skipped: CONVNET_CL_LINK, no OpenCL headers and library (Debian: ocl-icd-opencl-dev)"
fi

if [ -f /etc/OpenCL/vendors/rusticl.icd ]; then
    OCL_ICD_VENDORS=/etc/OpenCL/vendors/rusticl.icd
    RUSTICL_ENABLE=llvmpipe
    export OCL_ICD_VENDORS RUSTICL_ENABLE
    for name in conv2d dense pools batch losses dropout recurrent attention gather; do
        run "rusticl: $name" layers $name
    done
    run "rusticl: sets" sets all
    run "rusticl: fits" fits_of_sets
else
    echo "skipped: no rusticl (Debian: mesa-opencl-icd)"
fi

OCL_ICD_VENDORS=/usr/lib/oclgrind/liboclgrind-rt-icd.so
OCLGRIND_DATA_RACES=1 OCLGRIND_CHECK_API=1      # to standard error: a log in a file begins anew with each context
export OCL_ICD_VENDORS OCLGRIND_DATA_RACES OCLGRIND_CHECK_API
if [ -f $OCL_ICD_VENDORS ] && "$out/test_cl" info | grep -q 'Oclgrind'; then
    for name in conv_transpose2d "batch norm" losses embedding CTC tiles sets norms; do
        case $name in
            sets) run "oclgrind: sets" sets all flip ;;
            tiles) run "oclgrind: a tile, each layout" tiles tiled_32x64x16x2 ;;
            norms) run "oclgrind: images of 16 bits" narrow_layers norms ;;
            *) run "oclgrind: $name" layers_watched "$name" ;;
        esac
        if grep -qE 'Kernel: |runtime error' "$out/test_cl.txt"; then failed=$((failed + 1)); fi   # each report has one
    done
else
    echo "skipped: no oclgrind"
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]

#!/bin/sh
# run.sh - all tests: sh tests/run.sh, or make test. CC and CFLAGS as for make. Only a C compiler is needed; what a missing
# tool would check is skipped with a line that says so. Two steps run side by side. The last line is N passed, N failed.

cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
CFLAGS=${CFLAGS:--O2}
out=build/tests
strict="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror"
cstrict="$strict -Wstrict-prototypes -Wmissing-prototypes"
sanitize="-g1 -fsanitize=address,undefined -fno-sanitize-recover=all"
passed=0 failed=0 skipped=0 started=0 collected=0
OMP_WAIT_POLICY=passive         # tests ask for more threads than there are cores
export OMP_WAIT_POLICY
rm -rf $out
mkdir -p $out

# ---- steps -------------------------------------------------------------------------------------------------------
# step NAME COMMAND...     one check: COMMAND ends with 0. program NAME COMMAND...  a test program, which prints its totals.

start() {
    kind=$1 name=$2
    shift 2
    started=$((started + 1))
    ( "$@" ) >$out/log.$started 2>&1 &
    eval "pid_$started=$! name_$started=\$name kind_$started=$kind"
    [ $((started - collected)) -lt 2 ] || collect
}

step() { start step "$@"; }
program() { start program "$@"; }

collect() {
    collected=$((collected + 1))
    eval "pid=\$pid_$collected name=\$name_$collected kind=\$kind_$collected"
    wait "$pid"
    status=$?
    log=$out/log.$collected
    totals=$(grep '^[0-9]* passed, [0-9]* failed$' $log | tail -1)
    if [ $kind = program ] && [ -n "$totals" ]; then
        p=${totals%% passed*} f=${totals#*passed, }
        f=${f%% failed*}
        passed=$((passed + p)) failed=$((failed + f))
        [ $status -eq 0 ] || [ "$f" -gt 0 ] || failed=$((failed + 1))
        echo "$name"
        grep -v '^[0-9]* passed, [0-9]* failed$' $log
    elif [ $status -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok       $name$(sed -n 's/^note: / /p' $log)"
    else
        failed=$((failed + 1))
        echo "FAILED   $name (status $status)"
        head -40 $log
    fi
}

finish() { while [ $collected -lt $started ]; do collect; done; }

skip() {
    skipped=$((skipped + 1))
    echo "skipped  $1"
}

have() { command -v "$1" >/dev/null 2>&1; }

# Whether compiler $1 links a program under the flags $2.
can() {
    echo 'int main(void) { return 0; }' >$out/probe.c
    $1 $2 -o $out/probe $out/probe.c >/dev/null 2>&1
}

# A header that -fopenmp needs may be missing although the flag is taken.
openmp_of() {
    printf '#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n' >$out/probe.c
    $1 -fopenmp -o $out/probe $out/probe.c >/dev/null 2>&1 && echo -fopenmp
}

# ---- what the steps do -------------------------------------------------------------------------------------------

# Compiles tests/$1.c with the flags $2 and runs it. Tests that look inside define CONVNET_IMPLEMENTATION themselves, the
# others are linked with $out/implementation$3.o.
test_program() {
    object=$out/implementation$3.o
    grep -q '^#define CONVNET_IMPLEMENTATION' "tests/$1.c" && object=
    $CC $2 -o "$out/$1$3" "tests/$1.c" $object -lm && "$out/$1$3"
}

compile() {             # compiler, flags, file, object
    $1 $2 -c -o "${4:-$out/object.$started.o}" "$3"
}

check() {               # the same without code
    $1 $2 -fsyntax-only "$3"
}

check_all() {           # compiler, flags, files
    all_cc=$1 all_flags=$2 all_status=0
    shift 2
    for all_file in "$@"; do $all_cc $all_flags -fsyntax-only "$all_file" || all_status=1; done
    return $all_status
}

two_files() {           # compiler, flags, tag: two translation units, linked and run
    $1 $2 -c -o "$out/a.$3.o" tests/two_tu_a.c && $1 $2 -c -o "$out/b.$3.o" tests/two_tu_b.c &&
        $1 $2 -o "$out/two.$3" "$out/a.$3.o" "$out/b.$3.o" -lm && "$out/two.$3"
}

cpp_program() {         # compiler, flags, tag: the implementation as C++
    $1 $2 -DCONVNET_IMPLEMENTATION -o "$out/cpp.$3" tests/compile_cpp.cc -lm && "$out/cpp.$3"
}

cpp_with_c() {          # C++ compiler: the implementation compiled as C
    $CC -O1 -c -o $out/c_part.o tests/two_tu_a.c &&
        $1 -std=c++11 -O1 -o $out/cpp_with_c tests/compile_cpp.cc $out/c_part.o -lm && $out/cpp_with_c
}

# A file of plain loops: compiling it takes as long as a tenth or so of the implementation, on every machine and however
# busy it is. A version that took 11.0 s on a quiet machine was 8.7 times the reference; 8 s are 6.3 times by that.
reference_source() {
    awk 'BEGIN { for (i = 0; i < 120; i++) {
        printf "void f%d(const float *a, const float *b, float *c, int m, int n, int k)\n{\n", i
        printf "    for (int i = 0; i < m; i++)\n        for (int j = 0; j < n; j++) {\n"
        printf "            float s = c[i * n + j] * %d;\n", i
        printf "            for (int p = 0; p < k; p++) s += a[i * k + p] * b[p * n + j];\n"
        printf "            if (s > %d) s = -s; else s += a[j %% (k + 1)];\n", i
        printf "            c[i * n + j] = s < b[j] ? s * b[i] : s / (1 + a[i] * a[i]);\n        }\n"
        printf "    for (int i = 1; i + 1 < m * n; i++)\n"
        printf "        c[i] = (c[i - 1] + 2 * c[i] + c[i + 1]) * b[i %% n] + (float)((i * %d) >> 3);\n}\n", i + 3
    } }'
}

processor_seconds() {           # command: what it takes, to standard output
    ( "$@" && times ) >$out/times || return 1
    tail -1 $out/times | awk '{ split($1, u, /[ms]/); split($2, s, /[ms]/); print 60 * (u[1] + s[1]) + u[2] + s[2] }'
}

compile_time() {        # limit, flags: of the implementation at -O2, in times of the reference; the least of three each
    reference_source >$out/reference.c
    least= base=
    for try in 1 2 3; do
        own=$(processor_seconds $CC -O2 $2 -c -o $out/timed.o $out/implementation.c) || return 1
        other=$(processor_seconds $CC -O2 -c -o $out/timed.o $out/reference.c) || return 1
        least=$(printf '%s\n' $least $own | sort -n | head -1)
        base=$(printf '%s\n' $base $other | sort -n | head -1)
    done
    awk -v own=$least -v base=$base -v limit=$1 'BEGIN {
        printf "note: (%.1f s, %.1f times the reference)\n", own, own / base; exit !(own < limit * base) }'
}

smaller() {             # what is left when macros cut the rest predicts the same bits
    for macros in "" -DCONVNET_NO_TRAIN "-DCONVNET_NO_TRAIN -DCONVNET_NO_SEQUENCES -DCONVNET_NO_STDIO"; do
        $CC -O1 -DCONVNET_STATIC $macros -o $out/smaller tests/predict_alone.c -lm && $out/smaller || return 1
    done >$out/smaller.txt
    [ "$(sort -u $out/smaller.txt | wc -l)" = 1 ] || { cat $out/smaller.txt; return 1; }
}

valgrind_step() {       # one training step and a prediction, without threads
    $CC -O1 -g -o $out/valgrind.program tests/two_tu_a.c tests/two_tu_b.c -lm &&
        valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all \
            $out/valgrind.program
}

# Splits README.md: each C or C++ snippet becomes $out/readme_N.c or .cc. A snippet with a main is a program; one with
# functions or declarations stands at file scope; any other one is the inside of a function that has the usual names.
readme_snippets() {
    awk -v out="$out" '
        /^```(c|C|cpp|c\+\+)[ \t]*$/ { inside = 1; n++; cpp = $0 !~ /^```[cC][ \t]*$/; text = head = ""; main = scope = 0; next }
        /^```/ && inside {
            inside = 0
            file = out "/readme_" n (cpp ? ".cc" : ".c")
            print "/* snippet " n " of README.md */" > file
            if (!main) {
                print "#include \"convnet.h\"\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>" > file
                if (!scope) {
                    printf "%s", head > file
                    print "void snippet(cvn_net *net, cvn_node x, cvn_data train, cvn_data test, float *image, float *out);" > file
                    print "void snippet(cvn_net *net, cvn_node x, cvn_data train, cvn_data test, float *image, float *out)\n{" > file
                    print "(void)net; (void)x; (void)train; (void)test; (void)image; (void)out;\n{" > file
                    text = text "}\n}\n"
                } else text = head text
            } else text = head text
            printf "%s", text > file
            close(file)
            next
        }
        inside {
            if ($0 ~ /int main\(/) main = 1
            if ($0 ~ /^(static |typedef |struct |void |int |float |cvn_result |cvn_node |cvn_net \*)[^=;]*\)[ ]*\{?$/) scope = 1
            if ($0 ~ /^[ \t]*#/ && !main && text == "") head = head $0 "\n"
            else text = text $0 "\n"
        }' README.md
}

# A program must link, so it needs the implementation; a snippet without one is only checked.
compile_snippet() {
    case $1 in *.cc) snippet_cc="${CXX:-g++} -std=c++20" ;; *) snippet_cc="$CC -std=c99" ;; esac
    if grep -q 'int main(' "$1"; then
        grep -q 'define CONVNET_IMPLEMENTATION' "$1" && snippet_flags= || snippet_flags=-DCONVNET_IMPLEMENTATION
        $snippet_cc -Wall $snippet_flags -I. -o "$1.program" "$1" -lm
    else
        $snippet_cc -Wall -Wno-unused-variable -Wno-unused-but-set-variable -Wno-unused-function -Werror -I. \
            -fsyntax-only "$1"
    fi
}

printf '#define CONVNET_IMPLEMENTATION\n#include "../../convnet.h"\n' >$out/implementation.c
printf '#include "../../convnet.h"\n#include "../../convnet.h"\n' >$out/plain.c
cp $out/implementation.c $out/implementation.cc
(cat $out/implementation.c; printf '#define CONVNET_CL_IMPLEMENTATION\n#include "../../convnet_cl.h"\n') >$out/device.c
cp $out/plain.c $out/plain.cc

# README.md names each function that makes a node, or the function whose _ex it is.
readme_names_all() {
    names_status=0
    for name in $(sed -n 's/^CONVNET_API cvn_node \(cvn_[a-z0-9_]*\)(.*/\1/p' convnet.h | grep -vx 'cvn_find\|cvn_name'); do
        grep -q "\`$name\`\|\`${name%_ex}\`" README.md && continue
        echo "README.md does not name $name"
        names_status=1
    done
    return $names_status
}

# Each kind of layer and each net of the zoo as C source: without a warning, and with the numbers of the library.
exported() {
    exported=$out/exported
    mkdir -p $exported
    $out/test_export_c $exported >$exported/log || { cat $exported/log; return 1; }
    for file in $exported/*.c; do
        $CC -std=c99 -O1 $cstrict -c -o "${file%.c}.o" "$file" || return 1
    done
    $CC -o $exported/all $exported/*.o -lm && $exported/all $exported
}

exported_cpp() {        # the same files as C++, after that
    ls $out/exported/[0-9]*.c | xargs "$1" -x c++ -std=c++11 $strict -fsyntax-only
}

zoo() {                 # the nets of the papers: parameters and multiply-accumulates as published, and they train
    $CC $CFLAGS $openmp -o $out/zoo examples/zoo.c -lm && $out/zoo --check && $out/zoo --train
}

# ---- 1: the test programs ----------------------------------------------------------------------------------------

echo "== test programs: $CC $CFLAGS"
openmp=$(openmp_of "$CC")
[ -n "$openmp" ] || skip "threads by OpenMP: $CC has no -fopenmp"
step "the implementation for tests" compile "$CC" "$CFLAGS $openmp" $out/implementation.c $out/implementation.o
if can "$CC" "$sanitize"; then
    step "the implementation for tests, sanitized" compile "$CC" "-O1 $sanitize $openmp" $out/implementation.c \
        $out/implementation.sanitized.o
fi
finish
for file in tests/test_*.c; do
    name=$(basename "$file" .c)
    program "$name" test_program "$name" "$CFLAGS $openmp" ""
done
finish
program "nets as C source" exported
finish
for cxx in g++ clang++; do
    if have $cxx; then step "$cxx, nets as C source" exported_cpp $cxx; fi
done

# ---- 2: the same under sanitizers, fewer cases -------------------------------------------------------------------

echo "== AddressSanitizer and UndefinedBehaviorSanitizer"
if can "$CC" "$sanitize"; then
    export CONVNET_CL=0     # make test-cl runs OpenCL's drivers
    for file in tests/test_*.c; do
        name=$(basename "$file" .c)
        unset ASAN_OPTIONS
        [ "$name" != test_cl ] || export ASAN_OPTIONS=detect_leaks=0        # drivers leak when they are listed
        case $name in       # what computes much is worth optimising, the others compile faster without
        test_plan) level=-O1 ;;
        *) level=-O0 ;;
        esac
        step "$name, sanitized" test_program "$name" "$level $sanitize -DTEST_QUICK $openmp" .sanitized
    done
    unset CONVNET_CL ASAN_OPTIONS
else
    skip "sanitizers: $CC has none"
fi
if have valgrind; then step "valgrind: one training step" valgrind_step
else skip "valgrind is not here: one training step"; fi
finish

# ---- 3: compilers, standards, macros -----------------------------------------------------------------------------

echo "== compilers, standards, macros"
step "compile time at -O2" compile_time 7
finish
step "CONVNET_NO_MODELS: compile time at -O2" compile_time 6 -DCONVNET_NO_MODELS
finish
step "CONVNET_NO_TRAIN predicts the same bits" smaller
for cc in gcc clang; do
    if ! have $cc; then skip "$cc is not here: C99, C11, C17"; continue; fi
    step "$cc, C99, -O2, warnings are errors" compile $cc "-std=c99 -O2 $cstrict" $out/implementation.c
    for std in c99 c11 c17; do
        step "$cc, $std, with the implementation" check $cc "-std=$std $cstrict" $out/implementation.c
        step "$cc, $std, without" check $cc "-std=$std $cstrict" $out/plain.c
    done
    omp=$(openmp_of $cc)
    if [ -n "$omp" ]; then
        step "$cc, -fopenmp" compile $cc "-std=c99 -O2 $cstrict $omp" $out/implementation.c
        step "$cc, -fopenmp, CONVNET_NO_OPENMP" check $cc "-std=c99 $cstrict $omp -DCONVNET_NO_OPENMP" $out/implementation.c
    else
        skip "$cc has no -fopenmp"
    fi
    for macro in CONVNET_STATIC CONVNET_NO_STDIO CONVNET_NO_SIMD "CONVNET_NO_SIMD -DCONVNET_NO_STDIO -DCONVNET_STATIC" \
        CONVNET_NO_DARKNET CONVNET_NO_EXPORT_C CONVNET_NO_ONNX CONVNET_NO_NPY CONVNET_NO_MODELS CONVNET_NO_TRAIN CONVNET_NO_SEQUENCES CONVNET_NO_AVX512 \
        "CONVNET_NO_TRAIN -DCONVNET_NO_STDIO" \
        "CONVNET_NO_TRAIN -DCONVNET_NO_SEQUENCES -DCONVNET_NO_AVX512 -DCONVNET_STATIC"; do
        step "$cc, -D$macro" check $cc "-std=c99 -O1 $cstrict -D$macro" $out/implementation.c
    done
    for macro in CONVNET_STATIC CONVNET_NO_SEQUENCES CONVNET_NO_ONNX "CONVNET_NO_MODELS -DCONVNET_NO_SEQUENCES"; do
        step "$cc, convnet_cl.h, -D$macro" check $cc "-std=c99 $cstrict -D$macro" $out/device.c
    done
    step "$cc, -DCONVNET_IMPLEMENTATION" check $cc "-std=c99 $cstrict -DCONVNET_IMPLEMENTATION" $out/plain.c
    step "$cc, two translation units" two_files $cc "-std=c99 -O1 $cstrict" $cc
    step "$cc, two translation units, CONVNET_STATIC" two_files $cc "-std=c99 -O1 $cstrict -DTWO_TU_STATIC" $cc.static
    step "$cc, the tests are free of warnings" check_all $cc "-std=c99 $cstrict" tests/*.c
done
for cxx in g++ clang++; do
    if ! have $cxx; then skip "$cxx is not here: C++11, C++20"; continue; fi
    step "$cxx, C++11, -O2, warnings are errors" compile $cxx "-std=c++11 -O2 $strict" $out/implementation.cc
    for std in c++11 c++20; do
        step "$cxx, $std, with the implementation" check $cxx "-std=$std $strict" $out/implementation.cc
        step "$cxx, $std, without" check $cxx "-std=$std $strict" $out/plain.cc
        step "$cxx, $std, a program" cpp_program $cxx "-std=$std -O1 $strict -Wno-missing-field-initializers" $cxx.$std
    done
    for macro in CONVNET_STATIC CONVNET_NO_STDIO CONVNET_NO_SIMD CONVNET_NO_TRAIN CONVNET_NO_SEQUENCES; do
        step "$cxx, -D$macro" check $cxx "-std=c++11 $strict -D$macro" $out/implementation.cc
    done
    step "$cxx with the implementation compiled as C" cpp_with_c $cxx
    step "$cxx, the tests as C++11" check_all $cxx "-x c++ -std=c++11 $strict" tests/test_*.c
done
finish

# ---- 4: examples and README --------------------------------------------------------------------------------------

echo "== examples and README"
for file in examples/*.c; do
    if grep -q 'stb_image' "$file" && ! echo '#include <stb/stb_image.h>' | $CC -E - >/dev/null 2>&1; then
        skip "$file: stb_image is not here"
    else
        step "$file, $CC, warnings are errors" check "$CC" "-std=c99 $openmp $cstrict" "$file"
        if have clang; then step "$file, clang, warnings are errors" check clang "-std=c99 $cstrict" "$file"; fi
    fi
done
step "examples/zoo.c: counts as published, the losses fall" zoo
if [ -f README.md ]; then
    step "README.md names every layer, block and loss" readme_names_all
    readme_snippets
    for file in $out/readme_*.c $out/readme_*.cc; do
        case $file in *'*'*) continue ;; esac
        case $file in *.cc) have "${CXX:-g++}" || { skip "$file: no C++ compiler"; continue; } ;; esac
        step "README.md, snippet $(basename "$file")" compile_snippet "$file"
    done
else
    skip "README.md is not here"
fi
finish

[ $skipped -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]

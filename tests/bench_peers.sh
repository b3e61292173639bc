#!/bin/sh
# bench_peers.sh - this library beside PyTorch, oneDNN and OpenBLAS on the CPU, each row interleaved:
#
#     sh tests/bench_peers.sh [--threads N] [--seconds S] [--rounds R] [--cpu] [NAME...]
#
# NAME as for build/bench (tests/bench.c); without one, all rows. Peers that are not installed are skipped:
#   torch      train, infer, conv: peers_torch.py, by the first of $PYTHON, python3, /usr/bin/python3 that has torch;
#              eager; infer: TorchScript; train, where there is a C++ compiler: torch.compile
#   onnxruntime, openvino, ncnn   infer: bench_peers.py, where the same Python has them (pip install onnxruntime onnx
#              onnxscript; openvino; ncnn pnnx): the nets of peers_torch.py, exported into build/peers/models
#   onednn     conv: peers_onednn.c (C API of version 2); gemm: dnnl_sgemm
#   openblas   gemm: cblas_sgemm
# The peers_ files are looked for in $CONVNET_PEERS, then in ../shared/bench.
#
# Each side gets its best setting: a first round, which does not count, runs every configuration of a side (layouts,
# compiled, scripted, eager, algorithms) under every wait policy of OpenMP in $POLICIES ("default passive"; default: the
# variable is not set, as a user has it), and the fastest of a side goes on. Then ours, peer, ours, peer, ... for R (3)
# rounds, S (2) seconds each. Printed: the median of the rounds of both, and how many times faster ours is (ratio of the
# medians), the memory at its peak where the peer tells it. PyTorch keeps freed memory (glibc's MALLOC_ variables), else
# it faults in each large activation anew; with a BLAS of its own threads set OPENBLAS_NUM_THREADS=1 for small nets.
# Other work on the machine spoils it: a row whose rounds differ by more than a tenth ends with "unsteady". --cpu: one
# thread, and instead of the clock on the wall the time that a process had a processor, on both sides (the peers' files
# are copied with another clock): ratios that hold on a busy machine to about a tenth.

cd "$(dirname "$0")/.." || exit 1
threads=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
seconds=2 rounds=3 cpu=
while [ $# -gt 0 ]; do
    case $1 in
    --threads) threads=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --cpu) cpu=--cpu; shift ;;
    --*) sed -n '2,24s/^# \{0,1\}//p' "tests/bench_peers.sh"; exit 1 ;;
    *) break ;;
    esac
done
POLICIES=${POLICIES:-default passive}
[ -z "$cpu" ] || threads=1 POLICIES=passive
CC=${CC:-cc}
out=build/peers
mkdir -p $out
${MAKE:-make} -s build/bench || exit 1

# ---- what is there -----------------------------------------------------------------------------------------------

peers=
for directory in "$CONVNET_PEERS" ../shared/bench; do
    [ -z "$peers" ] && [ -n "$directory" ] && [ -f "$directory/peers_torch.py" ] && peers=$directory
done
python=
for p in $PYTHON python3 /usr/bin/python3; do
    [ -z "$python" ] && $p -c 'import torch' >/dev/null 2>&1 && python=$p
done

# One product again and again: product M N K SECONDS. The library is chosen by a macro.
cat >$out/product.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifdef USE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#else
#include <cblas.h>
#endif

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static float *filled(size_t n)
{
    float *x = aligned_alloc(64, (n * 4 + 63) / 64 * 64);
    for (size_t i = 0; i < n; i++) x[i] = rand() / (RAND_MAX / 2.0f) - 1;
    return x;
}

int main(int argc, char **argv)
{
    static double t[65536];
    int m = atoi(argv[1]), n = atoi(argv[2]), k = atoi(argv[3]), count = 1, samples = -8;
    double limit = atof(argv[4]), start = 0, begin;
    float *a = filled((size_t)m * k), *b = filled((size_t)k * n), *c = filled((size_t)m * n);
    while (samples < 5 || (samples < 65536 && now() - start < limit)) {
        begin = now();
        for (int i = 0; i < count; i++)
#ifdef USE_ONEDNN
            dnnl_sgemm('N', 'N', m, n, k, 1, a, k, b, n, 0, c, n);
#else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a, k, b, n, 0, c, n);
#endif
        begin = now() - begin;
        if (samples >= 0) t[samples] = begin / count;
        else if (begin < 0.02) count = (int)(count * (begin > 0.002 ? 0.02 / begin : 10)) + 1;
        if (++samples == 0) start = now();
    }
    qsort(t, samples, sizeof *t, compare);
    printf("%.6f -\n", 1e3 * t[samples / 2]);
    return argc < 5;
}
END
build() { $CC -O2 -fopenmp "$@" -lm >/dev/null 2>&1; }
clock=CLOCK_MONOTONIC
[ -z "$cpu" ] || clock=CLOCK_PROCESS_CPUTIME_ID
if [ -n "$peers" ] && [ -n "$cpu" ]; then
    { echo '#include <time.h>'
      echo "static double now(void) { struct timespec t; clock_gettime($clock, &t);"
      echo "    return t.tv_sec + 1e-9 * t.tv_nsec; }"
      sed 's/omp_get_wtime()/now()/g' "$peers/peers_onednn.c"; } >$out/peers_onednn.c
    sed 's/time\.perf_counter/time.process_time/g' "$peers/peers_torch.py" >$out/peers_torch.py
    peers=$out
fi
openblas='' onednn='' onednn_conv=''
build -DCLOCK=$clock -o $out/openblas $out/product.c -lopenblas && openblas=yes
build -DCLOCK=$clock -DUSE_ONEDNN -o $out/onednn $out/product.c -ldnnl && onednn=yes
[ -n "$peers" ] && build -o $out/onednn_conv "$peers/peers_onednn.c" -ldnnl && onednn_conv=yes
[ -n "$peers" ] && [ -n "$python" ] || { echo "# skipped: PyTorch (train, infer, conv)"; python=''; }
[ -n "$onednn_conv" ] || echo "# skipped: oneDNN (conv)"
[ -n "$onednn" ] || echo "# skipped: oneDNN (gemm)"
[ -n "$openblas" ] || echo "# skipped: OpenBLAS (gemm)"
[ -z "$python" ] || echo "# PyTorch $($python -c 'import torch; print(torch.__version__)' 2>/dev/null) by $python"
infer=
for library in onnxruntime openvino ncnn; do
    [ -n "$python" ] || continue
    version=$($python -c "import $library; print($library.__version__)" 2>/dev/null) && infer="$infer $library" &&
        echo "# $library $version" || echo "# skipped: $library (infer)"
done
compile=
[ -n "$python" ] && c++ --version >/dev/null 2>&1 && compile='compile compile+channels_last'

# ---- one measurement: prints "milliseconds megabytes", or nothing ------------------------------------------------

under() {               # policy, command...
    policy=$1
    shift
    if [ "$policy" = default ]; then env -u OMP_WAIT_POLICY OMP_NUM_THREADS="$threads" "$@"
    else env OMP_WAIT_POLICY="$policy" OMP_NUM_THREADS="$threads" "$@"; fi 2>/dev/null
}

# glibc keeps memory that is given back
keep='MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=34359738368 MALLOC_TOP_PAD_=67108864'

measure() {             # library, configuration, policy, row, seconds
    row=$4
    kind=${row%%:*} rest=${row#*:}
    case $1:$2 in
    ours:*) under "$3" build/bench $cpu --threads "$threads" --seconds "$5" "$row" |
        awk -F, -v row="$row" '$1 == row && $4 + 0 > 0 { print $4, $6 }' ;;
    torch:compile* | onnxruntime:* | openvino:* | ncnn:*)
        under "$3" env $keep "$python" tests/bench_peers.py "$peers" $out/models "$1:$2" "$row" "$threads" "$5" |
            awk -F, -v row="$row" '$1 == row && $4 + 0 > 0 { print $4, $6 }' ;;
    torch:*)
        case $kind in conv) name=${row%:*} ;; *) name=$row ;; esac
        under "$3" env $keep "$python" "$peers/peers_torch.py" --threads "$threads" --seconds "$5" --configs "$2" \
            "$name" |
            awk -F, -v row="$row" '$1 == row && $4 + 0 > 0 { print $4, $6 }' ;;
    onednn_conv:*)
        layer=${rest%%:*} batch=${rest#*:}
        under "$3" $out/onednn_conv "$layer" "${batch#*:}" "$2" |
            awk -F, -v layer="$layer" -v batch="${batch%:*}" '
                $1 == layer && $2 == batch && $6 + 0 > 0 { print $6, "-" }' ;;
    *)
        under "$3" env OPENBLAS_NUM_THREADS="$threads" $out/"$1" $(echo "$rest" | tr x ' ') "$5" ;;
    esac
}

configurations() {      # library, row
    case $1:$2 in
    torch:train*) echo nchw channels_last nchw+foreach channels_last+foreach $compile ;;
    torch:infer*) echo ts_frozen_opt ts_frozen ts_frozen_channels_last eager_nchw eager_channels_last eager_mkldnn ;;
    onnxruntime:*) echo run bound ;;
    openvino:*) echo latency ;;
    ncnn:*) echo fp32 ;;
    torch:*) echo nchw channels_last ;;
    onednn_conv:*_3x3_*) echo auto direct winograd ;;
    onednn_conv:*) echo auto direct ;;
    *) echo - ;;
    esac
}

export_model() {        # net: the file that onnxruntime, OpenVINO and ncnn read, once
    [ -z "$infer" ] || [ -f "$out/models/$1.onnx" ] && return
    mkdir -p $out/models
    "$python" tests/bench_peers.py "$peers" $out/models export "infer:$1" >$out/export.log 2>&1 ||
        echo "# $1: no export, see $out/export.log"
}

# The fastest configuration and policy of a library on a row, as "configuration policy"; nothing when it has none.
best() {                # library, row
    for c in $(configurations "$1" "$2"); do
        for p in $POLICIES; do
            measure "$1" "$c" "$p" "$2" 0.5 | sed "s/\$/ $c $p/"
        done
    done | sort -n | awk 'NR == 1 { print $3, $4 }'
}

median() {
    sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

compare() {             # row, library
    row=$1 library=$2
    mine=$(best ours "$row")
    theirs=$(best "$library" "$row")
    [ -n "$mine" ] || { printf '%-36s failed\n' "$row"; return; }
    [ -n "$theirs" ] || return
    : >$out/mine
    : >$out/theirs
    for round in $(seq "$rounds"); do
        measure ours ${mine% *} "${mine#* }" "$1" "$seconds" >>$out/mine
        measure "$library" ${theirs% *} "${theirs#* }" "$1" "$seconds" >>$out/theirs
    done
    [ -s $out/mine ] && [ -s $out/theirs ] || { printf '%-36s failed\n' "$1"; return; }
    spread=$(for f in mine theirs; do
        sort -n $out/$f | awk 'NR == 1 { a = $1 } END { if ($1 > 1.1 * a) print "unsteady" }'
    done | head -1)
    a=$(median $out/mine) b=$(median $out/theirs)
    echo "$1 $a $b ${mine#* } $library ${theirs#* } ${theirs% *} $(awk 'END { print $2 }' $out/mine) \
$(awk 'END { print $2 }' $out/theirs) $spread" | tee -a $out/rows | awk '{
        printf "%-36s %11.4f %11.4f %7.2f  ", $1, $2, $3, $3 / $2
        printf "%-8s %s %s %s  %s %s  %s\n", $4, $5, $7, $6, $8, $9, $10 }'
}

# ---- rows --------------------------------------------------------------------------------------------------------

[ $# -gt 0 ] || set -- all
printf '%-36s %11s %11s %7s  %s\n' row ours_ms peer_ms ratio \
    "ours: policy  peer: library configuration policy  MB: ours peer"
: >$out/rows
for wanted in "$@"; do
    build/bench list | awk -v wanted="$wanted" '
        { kind = $0; sub(/:.*/, "", kind) }
        wanted == "all" || wanted == kind ":all" || $0 == wanted || (kind == "conv" && index($0, wanted) == 1) {
            print
            n++
        }
        END { if (!n && wanted ~ /^gemm:[0-9]+x[0-9]+x[0-9]+$/) print wanted }'
done >$out/names
while read -r row; do
    case $row in
    gemm:*) libraries="${openblas:+openblas} ${onednn:+onednn}" ;;
    conv:*) libraries="${onednn_conv:+onednn_conv} ${python:+torch}" ;;
    infer:*) libraries="${python:+torch} $infer" ;;
    *) libraries=${python:+torch} ;;
    esac
    case $row in infer:*) export_model "${row#*:}" ;; esac
    for library in $libraries; do compare "$row" "$library"; done
done <$out/names
awk -v threads="$threads" '{ n++; if ($3 < $2) behind++ } END {
    printf "# %d comparisons on %d threads, the peer is ahead in %d\n", n, threads, behind }' $out/rows

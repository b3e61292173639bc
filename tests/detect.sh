#!/bin/sh
# detect.sh - build/detect on real photos: sh tests/detect.sh [DATA]. DATA (or CONVNET_DATA) holds models/darknet, models/onnx
# and data/images. Each line wants one box of a class at a place, all corners within 30 pixels. Last line: N passed, N failed.

cd "$(dirname "$0")/.." || exit 1
data=${1:-${CONVNET_DATA:-../shared}}
out=build/detect_test
passed=0 failed=0
mkdir -p $out

# run MODEL IMAGE: detects; the boxes stand in $out/boxes.
run() {
    model=$1 image=$2
    build/detect "$data/models/$model" "$data/data/images/$image" $out/picture.png >$out/boxes 2>$out/errors && [ -s $out/picture.png ] &&
        return
    echo "FAILED   $model on $image: $(cat $out/errors)"
    failed=$((failed + 1))
}

# wants CLASSES LEFT TOP RIGHT BOTTOM: a box of one of the classes, "car|truck", at that place.
wants() {
    if awk -v class="^($1)$" -v x1="$2" -v y1="$3" -v x2="$4" -v y2="$5" '
        function off(a, b) { return a > b ? a - b : b - a }
        $1 ~ class && off($3, x1) < 30 && off($4, y1) < 30 && off($5, x2) < 30 && off($6, y2) < 30 { found = 1 }
        END { exit !found }' $out/boxes; then
        passed=$((passed + 1))
        echo "ok       $model: $1 in $image"
    else
        failed=$((failed + 1))
        echo "FAILED   $model: no $1 at $2 $3 $4 $5 in $image"
        cat $out/boxes
    fi
}

make -s build/detect || exit 1
run darknet/yolo-fastest-1.1.cfg dog.jpg
wants dog 125 230 362 512
wants bicycle 254 189 582 423
wants "car|truck" 453 76 685 182
run darknet/yolo-fastest-1.1.cfg person.jpg
wants person 183 88 270 379
wants dog 74 260 212 353
for net in version-RFB-320_simplified version-slim-320 yunet_s_320_320; do
    run onnx/$net.onnx astronaut.jpg
    wants face 179 62 270 174
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]

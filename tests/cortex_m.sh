#!/bin/sh
# cortex_m.sh - LeNet-5 on a microcontroller: exported as C, compiled for a Cortex-M4 (-Os and -O2), run under qemu on ten
# digits: the answers must be the host's. Flash, RAM and instructions of an answer are printed, of ResNet-20 the sizes.
# Needs gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm. The last line is N passed, N failed.

cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
strict="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wdouble-promotion -Werror"
passed=0 failed=0
for tool in arm-none-eabi-gcc qemu-system-arm; do
    command -v $tool >/dev/null || { echo "skipped  Cortex-M4: $tool is not here"; echo "0 passed, 0 failed"; exit 0; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >$work/board.ld <<'END'
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
ENTRY(reset)
SECTIONS
{
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) . = ALIGN(4); data_from = .; } >FLASH
    .ARM.exidx : { *(.ARM.exidx*) } >FLASH
    .data : { data_begin = .; *(.data*) . = ALIGN(4); data_end = .; } >RAM AT>FLASH
    .bss : { bss_begin = .; *(.bss*) *(COMMON) . = ALIGN(4); bss_end = .; } >RAM
}
END

# Startup, semihosting, a clock that counts instructions (-icount shift=0: a nanosecond each, 40 in a tick of 25 MHz).
cat >$work/board.c <<'END'
#include <stdint.h>
#include "digits_in.h"
void lenet_run(const float *in, float *out);
int main(void);
void reset(void);
extern uint32_t data_from[], data_begin[], data_end[], bss_begin[], bss_end[];

__attribute__((section(".vectors"), used)) static void *const vectors[2] = { (void *)0x20400000, (void *)reset };

static int call(int operation, const void *argument)
{
    register int r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void put(const char *text, uint32_t number)
{
    char line[64], digits[10];
    int n = 0, k = 0;
    while (text[n]) { line[n] = text[n]; n++; }
    do digits[k++] = (char)('0' + number % 10); while (number /= 10);
    while (k) line[n++] = digits[--k];
    line[n++] = '\n';
    line[n] = 0;
    call(4, line);
}

void reset(void)
{
    static const uint32_t done[2] = { 0x20026, 0 };
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20;             /* the FPU */
    __asm volatile("dsb\n isb");
    for (uint32_t *to = data_begin, *from = data_from; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_begin; to < bss_end;) *to++ = 0;
    put("status ", (uint32_t)main());
    call(0x18, (const void *)done[0]);
    for (;;) { }
}

int main(void)
{
    static float x[784];
    float y[10];
    volatile uint32_t *const tick = (volatile uint32_t *)0xE000E010;
    uint32_t right = 0, ticks = 0, worst = 0;
    tick[1] = 0xFFFFFF;
    tick[0] = 5;
    for (int i = 0; i < 10; i++) {
        int best = 0;
        for (int k = 0; k < 784; k++) x[k] = ((float)digits[i].x[k] / 255 - mean) / deviation;
        tick[2] = 0;
        lenet_run(x, y);
        ticks += 0xFFFFFF - tick[2];
        for (int k = 0; k < 10; k++) {
            const float d = y[k] - digits[i].y[k];
            const uint32_t millionths = (uint32_t)((d < 0 ? -d : d) * 1e6f);
            if (y[k] > y[best]) best = k;
            if (millionths > worst) worst = millionths;
        }
        right += best == digits[i].label;
    }
    put("right ", right);
    put("difference in millionths ", worst);
    put("thousand instructions ", ticks / 10 * 40 / 1000);
    return right == 10 && worst < 100 ? 0 : 1;
}
END

$CC -O2 -w -o $work/export tests/export_lenet.c -lm && $work/export $work || { echo "0 passed, 1 failed"; exit 1; }
for level in -Os -O2; do
    cpu="-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -std=c99 $level -ffunction-sections"
    for net in lenet resnet; do
        arm-none-eabi-gcc $cpu $strict -c -o $work/$net.o $work/$net.c || failed=$((failed + 1))
        arm-none-eabi-size $work/$net.o | awk -v net="$net $level" 'NR == 2 { printf "%s: flash %d", net, $1 + $2; ram = $2 + $3 }
            END { printf ", RAM %d bytes", ram }'
        arm-none-eabi-size -A $work/$net.o | awk '/^\.text/ { n += $2 } END { printf "; of the flash %d are code\n", n }'
    done
    arm-none-eabi-gcc $cpu -nostartfiles -Wl,--gc-sections -T $work/board.ld -o $work/board.elf $work/board.c $work/lenet.o \
        -lm -lc -lgcc && timeout 120 qemu-system-arm -M mps2-an386 -nographic -icount shift=0 \
        -semihosting-config enable=on,target=native -kernel $work/board.elf >$work/log 2>&1
    sed 's/^/    /' $work/log
    if grep -qx 'status 0' $work/log; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]

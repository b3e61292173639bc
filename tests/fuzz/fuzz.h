/* fuzz.h - what the targets share: nets with little memory, and a run of what was loaded.
 * A target returns quietly whatever the bytes are; what must not happen ends in abort(). */
#ifndef FUZZ_H
#define FUZZ_H

#include "../../convnet.h"
#include <stdlib.h>
#include <string.h>

enum { FUZZ_MEMORY = 1 << 26 };         /* bytes that a net may have at a time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t fuzz_taken;

/* The size lies before the block. */
static void *fuzz_alloc(void *user, size_t size)
{
    size_t *block;
    (void)user;
    if (size > (size_t)FUZZ_MEMORY || fuzz_taken + size > (size_t)FUZZ_MEMORY) return NULL;
    block = (size_t *)malloc(size + 16);
    if (!block) return NULL;
    fuzz_taken += size;
    block[0] = size;
    return block + 2;
}

static void fuzz_free(void *user, void *pointer)
{
    size_t *block = (size_t *)pointer - 2;
    (void)user;
    fuzz_taken -= block[0];
    free(block);
}

static inline cvn_net *fuzz_net(void)
{
    cvn_desc desc = cvn_desc_defaults();
    if (fuzz_taken) abort();            /* the net before leaks */
    desc.isa = "c";
    desc.threads = 1;
    desc.allocator.alloc = fuzz_alloc;
    desc.allocator.free = fuzz_free;
    return cvn_create(&desc);
}

/* One prediction of zeros, if that is little work. */
static inline void fuzz_run(cvn_net *net)
{
    static float zeros[1 << 16];
    cvn_node node = { 1 };
    if (cvn_memory_needed(net, 1, CVN_INFER) > (size_t)1 << 24 || cvn_macs(net) > 3e7) return;
    if (cvn_build_infer(net, 1) != CVN_OK) return;
    for (; cvn_node_name(net, node)[0]; node.id++) {
        const cvn_shape s = cvn_node_shape(net, node);
        size_t count = 1;
        for (int i = 0; i < s.rank; i++) count *= (size_t)s.dim[i];
        if (count > sizeof zeros / sizeof *zeros) continue;
        cvn_set_input(net, node, zeros, 1);
        cvn_set_labels(net, node, (const int *)(const void *)zeros, 1);
    }
    cvn_forward_eval(net);
}

#endif

/* test_safetensors.c - weights and checkpoints: round trips, what fits and what does not, every
 * dtype, hostile and mutated files, memory that runs out, and a resumed training that equals an
 * uninterrupted one bit for bit. Writes to build/. TEST_QUICK: fewer mutations. */
#include "../convnet.h"
#include "test.h"

#define WEIGHTS "build/test_weights.safetensors"
#define NPZ "build/test_weights.npz"
#define CHECKPOINT "build/test_checkpoint.safetensors"

#ifdef TEST_QUICK
    #define MUTATIONS 500
#else
    #define MUTATIONS 5000
#endif

/* ---- nets, their parameters, files ---- */

/* [N, 2, 6, 6] -> conv1, bn1, relu, dropout, fc1 -> [N, classes]; 8 parameters. */
static cvn_net *make_net(const cvn_desc *desc, int classes, const cvn_optimizer *optimizer)
{
    cvn_net *net = cvn_create(desc);
    cvn_node x = cvn_input(net, 2, 6, 6);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 3, 3, 1, 0)));
    x = cvn_dropout(net, x, 0.25f);
    cvn_softmax_loss(net, cvn_dense(net, x, classes));
    if (optimizer) cvn_set_optimizer(net, optimizer);
    CHECKF(cvn_build(net, 16) == CVN_OK, "%s", cvn_error(net));
    return net;
}

static cvn_net *make_seeded(uint64_t seed, int classes)
{
    cvn_desc desc = cvn_desc_defaults();
    desc.seed = seed;
    return make_net(&desc, classes, NULL);
}

/* A net of one parameter, fc1.weight [3, 2]. */
static cvn_net *make_small(void)
{
    cvn_dense_desc dense = cvn_dense_defaults();
    cvn_net *net = cvn_create(NULL);
    dense.units = 3;
    dense.no_bias = 1;
    cvn_dense_ex(net, cvn_input_vector(net, 2), &dense);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    return net;
}

/* A copy of all parameters and running statistics; the caller frees it. */
static float *copy_parameters(cvn_net *net, size_t *count)
{
    const float *now = cvn_flat_parameters(net, count);
    float *copy = (float *)malloc(*count * sizeof(float));
    if (copy) memcpy(copy, now, *count * sizeof(float));
    return copy;
}

static int same_parameters(cvn_net *net, const float *copy)
{
    size_t count;
    const float *now = cvn_flat_parameters(net, &count);
    return !memcmp(now, copy, count * sizeof(float));
}

static int same_nets(cvn_net *a, cvn_net *b)
{
    return same_parameters(a, cvn_flat_parameters(b, NULL));
}

static int exists(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file) fclose(file);
    return file != NULL;
}

/* The bytes of a file; the caller frees them. */
static unsigned char *read_file(const char *path, size_t *size)
{
    unsigned char *bytes = (unsigned char *)malloc(1 << 20);
    FILE *file = fopen(path, "rb");
    *size = file && bytes ? fread(bytes, 1, 1 << 20, file) : 0;
    if (file) fclose(file);
    return bytes;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    if (!file) return;
    CHECK(fwrite(bytes, 1, size, file) == size);
    CHECK(fclose(file) == 0);
}

/* A file in memory: header text and data (NULL: zeros), not padded; readers do not ask for it.
 * Static. */
static const unsigned char *make_file(const char *header, const void *data, size_t data_size,
                                      size_t *size)
{
    static unsigned char bytes[65536];
    const size_t n = strlen(header);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)n >> (8 * i));
    memcpy(bytes + 8, header, n);
    if (data) memcpy(bytes + 8 + n, data, data_size);
    else memset(bytes + 8 + n, 0, data_size);
    *size = 8 + n + data_size;
    return bytes;
}

static int same_files(const char *a, const char *b)
{
    size_t a_size, b_size;
    unsigned char *a_bytes = read_file(a, &a_size), *b_bytes = read_file(b, &b_size);
    const int same = a_size > 0 && a_size == b_size && !memcmp(a_bytes, b_bytes, a_size);
    free(a_bytes);
    free(b_bytes);
    return same;
}

static int says(const cvn_net *net, const char *words)
{
    return strstr(cvn_error(net), words) != NULL;
}

/* Independent of the library's generator: xorshift64, G. Marsaglia, JSS 8(14), 2003. */
static uint64_t random_state = 88172645463325252u;

static unsigned random_below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 16) % n;
}

/* ---- round trips ---- */

static void round_trip(void)
{
    cvn_net *a = make_seeded(1, 4), *b = make_seeded(2, 4), *c = make_seeded(3, 4);
    unsigned char *bytes, *memory = (unsigned char *)malloc(cvn_save_size(a));
    size_t size;
    CHECK(!same_nets(a, b));
    CHECKF(cvn_save(a, WEIGHTS) == CVN_OK, "%s", cvn_error(a));
    CHECK(exists(WEIGHTS));
    CHECK(!exists(WEIGHTS ".tmp"));
    CHECKF(cvn_load(b, WEIGHTS) == CVN_OK, "%s", cvn_error(b));
    CHECK(same_nets(a, b));
    bytes = read_file(WEIGHTS, &size);
    CHECK(size == cvn_save_size(a));
    CHECK(cvn_save_memory(a, memory, size) == CVN_OK);
    CHECK(!memcmp(bytes, memory, size));
    CHECK(cvn_load_memory(c, memory, size) == CVN_OK);
    CHECK(same_nets(a, c));
    CHECK(cvn_save(b, WEIGHTS) == CVN_OK);                      /* over the old file */
    CHECK(!exists(WEIGHTS ".tmp"));
    CHECK(bytes[0] % 8 == 0 && bytes[8] == '{');                /* data aligned to 8 bytes */
    CHECK(cvn_save_memory(a, memory, size - 1) == CVN_ERROR_MEMORY);
    free(bytes);
    free(memory);
    cvn_destroy(a);
    cvn_destroy(b);
    cvn_destroy(c);
}

/* The header to the letter: other programs read it. */
static void header_text(void)
{
    static const char expected[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"fc1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]}}";
    static const unsigned char one_and_a_half[4] = { 0, 0, 0xC0, 0x3F };
    const size_t length = (sizeof expected - 1 + 7) / 8 * 8;
    cvn_net *net = make_small();
    unsigned char bytes[256];
    memset(cvn_flat_parameters(net, NULL), 0, 6 * sizeof(float));
    cvn_flat_parameters(net, NULL)[1] = 1.5f;
    CHECK(cvn_save_size(net) == 8 + length + 24);
    CHECK(cvn_save_memory(net, bytes, sizeof bytes) == CVN_OK);
    CHECK(bytes[0] == length && bytes[1] == 0 && bytes[7] == 0);
    CHECK(!memcmp(bytes + 8, expected, sizeof expected - 1));
    for (size_t i = sizeof expected - 1; i < length; i++) CHECK(bytes[8 + i] == ' ');
    CHECK(!memcmp(bytes + 8 + length + 4, one_and_a_half, 4));
    cvn_destroy(net);
}

/* A name with everything that JSON escapes comes back. */
static void escaped_name(void)
{
    cvn_net *net = cvn_create(NULL);
    unsigned char bytes[512];
    cvn_name(net, cvn_dense(net, cvn_input_vector(net, 2), 1), "a\"b\\c\nd\x01\xC3\xA9");
    CHECK(cvn_build(net, 1) == CVN_OK);
    CHECK(cvn_save_memory(net, bytes, cvn_save_size(net)) == CVN_OK);
    bytes[sizeof bytes - 1] = 0;
    CHECK(strstr((const char *)bytes + 8, "\"a\\\"b\\\\c\\u000ad\\u0001\xC3\xA9.weight\"") != NULL);
    CHECKF(cvn_load_memory(net, bytes, cvn_save_size(net)) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* ---- what fits and what does not ---- */

static void partial(void)
{
    cvn_net *a = make_seeded(1, 4), *b = make_seeded(2, 5);
    const cvn_param before = cvn_param_find(b, "fc1.weight");
    float *head = (float *)malloc(before.count * sizeof(float));
    int loaded = -1;
    memcpy(head, before.value, before.count * sizeof(float));
    CHECK(cvn_save(a, WEIGHTS) == CVN_OK);
    CHECK(cvn_load_partial(b, WEIGHTS, &loaded) == CVN_OK);
    CHECKF(loaded == 6, "%d", loaded);
    CHECK(!memcmp(head, cvn_param_find(b, "fc1.weight").value, before.count * sizeof(float)));
    for (int i = 0; i < cvn_param_count(a); i++) {
        const cvn_param p = cvn_param_at(a, i), q = cvn_param_find(b, p.name);
        if (strncmp(p.name, "fc1", 3))
            CHECKF(!memcmp(p.value, q.value, p.count * sizeof(float)), "%s", p.name);
    }
    CHECK(cvn_load_partial(b, WEIGHTS, NULL) == CVN_OK);
    CHECK(cvn_load_partial(b, "build/no_such_file", &loaded) == CVN_ERROR_FILE);
    CHECK(loaded == 0);
    free(head);
    cvn_destroy(a);
    cvn_destroy(b);
}

static void misfits(void)
{
    cvn_net *a = make_seeded(1, 4), *b = make_seeded(2, 5), *small = make_small();
    size_t count;
    float *before = copy_parameters(b, &count);
    CHECK(cvn_save(a, WEIGHTS) == CVN_OK);
    CHECK(cvn_load(b, WEIGHTS) == CVN_ERROR_SHAPE);
    CHECKF(says(b, "fc1.weight is F32 [4, 48], needs [5, 48]"), "%s", cvn_error(b));
    CHECKF(says(b, "fc1.bias is F32 [4], needs [5]"), "%s", cvn_error(b));
    CHECKF(says(b, WEIGHTS) && !says(b, "conv1") && !says(b, "more"), "%s", cvn_error(b));
    CHECK(same_parameters(b, before));
    CHECK(cvn_load(small, WEIGHTS) == CVN_ERROR_SHAPE);
    CHECKF(says(small, "left over bn1.running_var") && says(small, "left over conv1.bias"), "%s",
           cvn_error(small));
    CHECK(cvn_save(small, WEIGHTS) == CVN_OK);
    CHECK(cvn_load(b, WEIGHTS) == CVN_ERROR_SHAPE);
    CHECKF(says(b, "missing conv1.weight") && says(b, "missing bn1.running_mean"), "%s",
           cvn_error(b));
    CHECK(same_parameters(b, before));
    free(before);
    cvn_destroy(a);
    cvn_destroy(b);
    cvn_destroy(small);
}

/* More names than the message has room for are counted. */
static void many_misfits(void)
{
    cvn_net *net = cvn_create(NULL), *small = make_small();
    cvn_node x = cvn_input_vector(net, 2);
    int listed = 0, more = 0;
    for (int i = 0; i < 160; i++) x = cvn_dense(net, x, 2);
    CHECK(cvn_build(net, 1) == CVN_OK);
    CHECK(cvn_save(small, WEIGHTS) == CVN_OK);
    CHECK(cvn_load(net, WEIGHTS) == CVN_ERROR_SHAPE);
    for (const char *at = cvn_error(net); (at = strstr(at, "fc")) != NULL; at++) listed++;
    CHECKF(says(net, "; and "), "%s", cvn_error(net));
    if (says(net, "; and ")) more = atoi(strstr(cvn_error(net), "; and ") + 6);
    /* fc1.weight has another shape */
    CHECKF(listed + more == 320, "%d listed, %d more", listed, more);
    CHECK(strlen(cvn_error(net)) < 2048);
    cvn_destroy(net);
    cvn_destroy(small);
}

/* ---- other names ---- */

/* A net like make_net's whose layers have these names. */
static cvn_net *make_named(const char *conv, const char *norm, const char *dense)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_name(net, cvn_conv2d(net, cvn_input(net, 2, 6, 6), 3, 3, 1, 0), conv);
    x = cvn_relu(net, cvn_name(net, cvn_batchnorm(net, x), norm));
    cvn_name(net, cvn_dense(net, x, 4), dense);
    CHECKF(cvn_build(net, 16) == CVN_OK, "%s", cvn_error(net));
    return net;
}

/* Loads WEIGHTS, as make_net saved them, into b by rules. */
static cvn_result load_renamed(cvn_net *b, const cvn_rename *names, cvn_load_report *report)
{
    cvn_load_options options = cvn_load_defaults();
    options.names = names;
    options.report = report;
    return cvn_load_safetensors(b, WEIGHTS, &options);
}

static void renamed(void)
{
    static const cvn_rename prefix[] = { { "*", "module.*" }, { NULL, NULL } };
    static const cvn_rename exact[] = {
        { "conv1.weight", "c.weight" }, { "conv1.bias", "c.bias" }, { "bn1.*", "n.*" },
        { "fc1.*", "d.*" },             { NULL, NULL }
    };
    static const cvn_rename chain[] = {         /* each sees what the ones before left */
        { "*", "module.*" }, { "module.conv1.*", "a.*" }, { "module.fc1.*", "none" },
        { "a.*", "b.c.*" },  { "none*", NULL },        { "module.*", "*" }, { NULL, NULL }
    };
    cvn_net *a = make_seeded(2, 4), *b = make_named("module.conv1", "module.bn1", "module.fc1");
    cvn_net *c = make_named("c", "n", "d"), *d = make_named("b.c", "bn1", "z");
    cvn_load_report report;
    CHECK(cvn_save(a, WEIGHTS) == CVN_OK);
    CHECKF(load_renamed(b, prefix, &report) == CVN_OK, "%s", cvn_error(b));
    CHECK(same_nets(a, b));
    CHECK(report.loaded == 8 && !report.missing && !report.left_over && !report.misfits);
    CHECK(!report.text[0]);
    CHECKF(load_renamed(c, exact, NULL) == CVN_OK, "%s", cvn_error(c));
    CHECK(same_nets(a, c));
    CHECK(load_renamed(d, chain, &report) == CVN_ERROR_SHAPE);
    CHECKF(says(d, "safetensors: missing z.weight; missing z.bias"), "%s", cvn_error(d));
    CHECK(report.missing == 2 && !report.left_over);
    cvn_destroy(a);
    cvn_destroy(b);
    cvn_destroy(c);
    cvn_destroy(d);
}

/* Rules that leave tensors out, the report of what is missing then, and the same by "partial". */
static void left_out(void)
{
    static const cvn_rename rules[] = {
        { "conv1.*", "a.*" }, { "a.*", "module.conv1.*" }, { "bn1.running*", NULL },
        { "fc1.bias", NULL }, { "*t", "*t" },              { NULL, NULL }
    };
    cvn_net *a = make_seeded(2, 4), *b = make_named("module.conv1", "bn1", "fc1"), *net;
    cvn_load_options options = cvn_load_defaults();
    cvn_load_report report;
    size_t count;
    float *before = copy_parameters(b, &count);
    CHECK(cvn_save(a, WEIGHTS) == CVN_OK);
    CHECK(load_renamed(b, rules, &report) == CVN_ERROR_SHAPE);
    CHECK(same_parameters(b, before));
    CHECK(!report.loaded && report.missing == 3 && !report.left_over && !report.misfits);
    CHECKF(!strcmp(report.text, "missing bn1.running_mean [3]\nmissing bn1.running_var [3]\n"
                                "missing fc1.bias [4]\n"), "%s", report.text);
    options.names = rules;
    options.partial = 1;
    options.report = &report;
    CHECK(cvn_load_safetensors(b, WEIGHTS, &options) == CVN_OK);
    CHECK(report.loaded == 5 && report.missing == 3);
    CHECK(!same_parameters(b, before));
    CHECK(!memcmp(cvn_param_find(b, "module.conv1.weight").value,
                  cvn_param_find(a, "conv1.weight").value, 54 * sizeof(float)));
    net = make_named("x", "bn1", "fc1");
    options.names = NULL;
    CHECK(cvn_load_safetensors(net, WEIGHTS, &options) == CVN_OK);
    CHECK(report.loaded == 6 && report.missing == 2 && report.left_over == 2);
    CHECKF(!strcmp(report.text, "missing x.weight [3, 2, 3, 3]\nmissing x.bias [3]\n"
                                "left over conv1.bias F32 [3]\n"
                                "left over conv1.weight F32 [3, 2, 3, 3]\n"), "%s", report.text);
    CHECK(cvn_load_safetensors(net, "build/no_such_file", &options) == CVN_ERROR_FILE);
    CHECK(!report.loaded && !report.missing && !report.text[0]);
    free(before);
    cvn_destroy(a);
    cvn_destroy(b);
    cvn_destroy(net);
}

static void wrong_rules(void)
{
    static const cvn_rename rules[][3] = {
        { { "a*b*", "c" }, { NULL, NULL }, { NULL, NULL } },
        { { "conv1.weight", "*" }, { NULL, NULL }, { NULL, NULL } },
        { { "x", "y" }, { "*", "**" }, { NULL, NULL } },
        { { "*", "same" }, { NULL, NULL }, { NULL, NULL } }
    };
    cvn_net *a = make_seeded(1, 4);
    size_t count;
    float *before = copy_parameters(a, &count);
    CHECK(cvn_save(a, WEIGHTS) == CVN_OK);
    for (int i = 0; i < 4; i++) {
        test_case("rules %d", i);
        CHECK(load_renamed(a, rules[i], NULL) == CVN_ERROR_ARGUMENT);
        CHECKF(says(a, i < 3 ? "one '*'" : "same stands there twice"), "%s", cvn_error(a));
        CHECK(same_parameters(a, before));
    }
    free(before);
    cvn_destroy(a);
}

/* Twelve layers "0" to "11" by order into ones of other names: a wrong order (alphabetical would
 * be 0 1 10 11 2 ...) would be seen, for the values differ. */
static void by_order(void)
{
    cvn_net *a = cvn_create(NULL), *b = cvn_create(NULL), *small = make_small();
    cvn_node x = cvn_input_vector(a, 3), y = cvn_input_vector(b, 3);
    cvn_load_options options = cvn_load_defaults();
    cvn_load_report report;
    char name[8];
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "%d", i);
        x = cvn_name(a, cvn_dense(a, x, i == 5 ? 4 : 3), name);
        y = cvn_dense(b, y, i == 5 ? 4 : 3);
    }
    CHECK(cvn_build(a, 1) == CVN_OK && cvn_build(b, 1) == CVN_OK);
    for (int i = 0; i < cvn_param_count(a); i++) cvn_param_at(a, i).value[1] = (float)i;
    CHECK(cvn_save(a, WEIGHTS) == CVN_OK);
    options.by_order = 1;
    options.report = &report;
    CHECK(cvn_load(b, WEIGHTS) == CVN_ERROR_SHAPE);
    CHECKF(cvn_load_safetensors(b, WEIGHTS, &options) == CVN_OK, "%s", cvn_error(b));
    CHECK(report.loaded == 24 && same_nets(a, b));
    CHECK(cvn_load_safetensors(small, WEIGHTS, &options) == CVN_ERROR_SHAPE);
    CHECKF(report.missing == 1 && report.left_over == 24, "%s", report.text);
    CHECKF(says(small, "missing fc1.weight; left over 0.bias; left over 0.weight; left over 1.b"),
           "%s", cvn_error(small));
    cvn_destroy(a);
    cvn_destroy(b);
    cvn_destroy(small);
}

/* Weights of a .npz: big-endian, in Fortran's order, half floats. */
static void from_npz(void)
{
    static const unsigned char big[24] = { 0x3F, 0x80, 0, 0, 0x40, 0,    0, 0, 0x40, 0x40, 0, 0,
                                           0x40, 0x80, 0, 0, 0x40, 0xA0, 0, 0, 0x40, 0xC0, 0, 0 };
    static const unsigned char half[12] = { 0, 0x3C, 0, 0x40, 0, 0x42, 0, 0x44, 0, 0x45, 0, 0x46 };
    static const int dim[] = { 3, 2 };
    const float by_rows[6] = { 1, 2, 3, 4, 5, 6 }, by_columns[6] = { 1, 4, 2, 5, 3, 6 };
    const uint8_t ignored = 0;
    cvn_net *net = make_small();
    for (int i = 0; i < 4; i++) {
        cvn_array array[2];
        unsigned char bytes[1024];
        size_t size;
        cvn_result r;
        test_case("array %d", i);
        array[0] = cvn_array_make("bn1.num_batches_tracked", "u1", &ignored, 0, NULL);
        array[1] = cvn_array_make("fc1.weight", i == 2 ? "f2" : "f4", i == 2 ? half : big, 2, dim);
        memcpy(array[1].type, i == 2 ? "<f2" : ">f4", 4);
        array[1].fortran_order = i == 1;
        if (i == 3) array[1].name = "fc2.weight";
        size = cvn_save_npz_memory(bytes, sizeof bytes, array, 2);
        CHECK(size > 0 && size <= sizeof bytes);
        memset(cvn_flat_parameters(net, NULL), 0, sizeof by_rows);
        r = cvn_load_memory(net, bytes, size);
        if (i == 3) {
            CHECK(r == CVN_ERROR_SHAPE);
            CHECKF(says(net, "missing fc1.weight; left over fc2.weight"), "%s", cvn_error(net));
            continue;
        }
        CHECKF(r == CVN_OK, "%s", cvn_error(net));
        CHECK(!memcmp(cvn_flat_parameters(net, NULL),
                      i == 1 ? by_columns : by_rows, sizeof by_rows));
        bytes[size - 23] ^= 1;          /* the directory's last byte */
        CHECK(cvn_load_memory(net, bytes, size) == CVN_ERROR_SHAPE);
        CHECK(cvn_load_memory(net, bytes, size - 1) == CVN_ERROR_FORMAT);
    }
    cvn_destroy(net);
}

/* ---- every dtype ---- */

static void load_six(const char *dtype, const unsigned char *data, size_t element,
                     const float *expected)
{
    char header[256];
    size_t size;
    cvn_net *net = make_small();
    const float *now = cvn_flat_parameters(net, NULL);
    const unsigned char *bytes;
    test_case("six values of %s", dtype);
    snprintf(header, sizeof header,
             "{\"fc1.weight\":{\"dtype\":\"%s\",\"shape\":[3,2],\"data_offsets\":[0,%d]}}", dtype,
             (int)(6 * element));
    bytes = make_file(header, data, 6 * element, &size);
    CHECKF(cvn_load_memory(net, bytes, size) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < 6; i++) {
        const int same = isnan(expected[i]) ? isnan(now[i])
                                            : !memcmp(&now[i], &expected[i], sizeof now[i]);
        CHECKF(same, "[%d] is %.9g, not %.9g", i, (double)now[i], (double)expected[i]);
    }
    cvn_destroy(net);
}

static void dtypes(void)
{
    static const unsigned char f32[24] = { 0, 0, 0xC0, 0x3F, 0, 0, 0,    0x80, 0, 0, 0x80, 0x7F,
                                           0, 0, 0x80, 0xFF, 0, 0, 0xC0, 0x7F, 1, 0, 0,    0 };
    static const unsigned char f64[48] = {
        0, 0, 0, 0, 0, 0, 0xF8, 0x3F, 0,    0,    0,    0,    0,    0,    0,    0x80,
        0, 0, 0, 0, 0, 0, 0xF0, 0x7F, 0,    0,    0,    0,    0,    0,    0xF0, 0xFF,
        0, 0, 0, 0, 0, 0, 0xF8, 0x7F, 0x9A, 0x99, 0x99, 0x99, 0x99, 0x99, 0xB9, 0x3F
    };
    static const unsigned char f16[12] = { 0, 0x3E, 0, 0x80, 0, 0x7C, 0, 0xFC, 0, 0x7E, 1, 0 };
    static const unsigned char f16_edges[12] = { 0xFF, 0x03, 0,    4,    0xFF, 0x7B,
                                                 0xFF, 0xFB, 0xFF, 0x83, 0x66, 0x2E };
    static const unsigned char bf16[12] = { 0xC0, 0x3F, 0,    0x80, 0x80, 0x7F,
                                            0x80, 0xFF, 0xC0, 0x7F, 1,    0 };
    float expected[6] = { 1.5f, -0.0f, INFINITY, -INFINITY, NAN, 0 };
    const float edges[6] = { 1023.0f / 16777216.0f,  1.0f / 16384.0f, 65504.0f, -65504.0f,
                             -1023.0f / 16777216.0f, 0.0999755859375f };
    expected[5] = 1.401298464324817e-45f;       /* 2^-149 */
    load_six("F32", f32, 4, expected);
    expected[5] = 0.1f;
    load_six("F64", f64, 8, expected);
    expected[5] = 1.0f / 16777216.0f;           /* 2^-24 */
    load_six("F16", f16, 2, expected);
    load_six("F16", f16_edges, 2, edges);       /* largest subnormal, least normal, largest, 0.1 */
    expected[5] = 9.183549615799121e-41f;       /* 2^-133 */
    load_six("BF16", bf16, 2, expected);
}

/* ---- hand-made headers, good and bad ---- */

#define FC1(dtype, shape, offsets) \
    "\"fc1.weight\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define GOOD FC1("F32", "[3,2]", "[0,24]")
#define EMPTY(name) "\"" name "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[24,24]}"

typedef struct header_case {
    const char *header;
    size_t data_size;
    cvn_result result;
    const char *words;          /* in the message */
} header_case;

static const header_case header_cases[] = {
    { "{" GOOD "}", 24, CVN_OK, "" },
    { "{" GOOD "} \n\t\r ", 24, CVN_OK, "" },
    { "{ \"fc1.weight\" : { \"shape\" : [ 3 , 2 ] ,\n\"data_offsets\" : [ 0 , 24 ] , \"dtype\" : "
      "\"F32\" } }",
      24, CVN_OK, "" },
    { "{\"fc1\\u002Eweight\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]}}", 24,
      CVN_OK, "" },
    { "{\"__metadata__\":{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"}," GOOD "}", 24,
      CVN_OK, "" },
    { "{\"fc1.weight\":{\"x\":[1,-2.5e+3,{\"y\":null,\"z\":[]}],\"dtype\":\"F32\",\"v\":true,"
      "\"shape\":[3,2],"
      "\"w\":\"\",\"data_offsets\":[0,24],\"u\":{}}}",
      24, CVN_OK, "" },
    { "{" GOOD
      ",\"bn1.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[24,32]}}",
      32, CVN_OK, "" },
    { "{" GOOD ",\"mask\":{\"dtype\":\"BOOL\",\"shape\":[5],\"data_offsets\":[24,29]}}", 29, CVN_OK,
      "" },
    { "{" GOOD "," EMPTY("cvn.best") "}", 24, CVN_OK, "" },
    { "{" GOOD "," EMPTY("x") "}", 24, CVN_ERROR_SHAPE, "left over x" },
    { "{" GOOD "," EMPTY("\\u001b[31m") "}", 24, CVN_ERROR_SHAPE, "left over ?[31m" },
    { "{" GOOD ",\"q\":{\"dtype\":\"F8_E4M3\",\"shape\":[5],\"data_offsets\":[24,29]}}", 29,
      CVN_ERROR_SHAPE, "left over q" },
    { "{}", 0, CVN_ERROR_SHAPE, "missing fc1.weight" },
    { "{" FC1("I32", "[3,2]", "[0,24]") "}", 24, CVN_ERROR_SHAPE,
      "fc1.weight is I32 [3, 2], needs [3, 2]" },
    { "{" FC1("F32", "[2,3]", "[0,24]") "}", 24, CVN_ERROR_SHAPE,
      "fc1.weight is F32 [2, 3], needs [3, 2]" },
    { "{" FC1("F32", "[6]", "[0,24]") "}", 24, CVN_ERROR_SHAPE, "[6], needs" },
    { "{" FC1("F32", "[3,2,1,1,1,1,1,1]", "[0,24]") "}", 24, CVN_ERROR_SHAPE,
      "[3, 2, 1, 1, 1, 1, ...], needs" },
    { "", 24, CVN_ERROR_FORMAT, "does not begin with '{'" },
    { " {" GOOD "}", 24, CVN_ERROR_FORMAT, "does not begin with '{'" },
    { "[" GOOD "]", 24, CVN_ERROR_FORMAT, "does not begin with '{'" },
    { "{" GOOD, 24, CVN_ERROR_FORMAT, "closing bracket" },
    { "{" GOOD "}}", 24, CVN_ERROR_FORMAT, "behind the header" },
    { "{" GOOD ",}", 24, CVN_ERROR_FORMAT, "a text in quotes expected" },
    { "{" GOOD " " EMPTY("x") "}", 24, CVN_ERROR_FORMAT, "','" },
    { "{" GOOD "," GOOD "}", 24, CVN_ERROR_FORMAT, "overlaps" },
    { "{" GOOD "," EMPTY("fc1.weight") "}", 24, CVN_ERROR_FORMAT, "twice" },
    { "{\"__metadata__\":{},\"__metadata__\":{}," GOOD "}", 24, CVN_ERROR_FORMAT,
      "__metadata__ stands there twice" },
    { "{\"__metadata__\":{\"cvn.tick\":\"1\",\"cvn.tick\":\"2\"}," GOOD "}", 24, CVN_ERROR_FORMAT,
      "twice" },
    { "{\"__metadata__\":{\"a\":1}," GOOD "}", 24, CVN_ERROR_FORMAT, "a text in quotes expected" },
    { "{\"__metadata__\":[]," GOOD "}", 24, CVN_ERROR_FORMAT, "'{' expected" },
    { "{\"fc1.weight\":3}", 24, CVN_ERROR_FORMAT, "byte 22" },
    { "{\"fc1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2]}}", 24, CVN_ERROR_FORMAT,
      "without dtype, shape or data_offsets" },
    { "{\"fc1.weight\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 24, CVN_ERROR_FORMAT, "twice" },
    { "{\"fc1\\u0000\":{}}", 0, CVN_ERROR_FORMAT, "a 0 in a text" },
    { "{\"\\uD83D\":{}}", 0, CVN_ERROR_FORMAT, "surrogate" },
    { "{\"\\uDE00\":{}}", 0, CVN_ERROR_FORMAT, "surrogate" },
    { "{\"\\uD83D\\u0041\":{}}", 0, CVN_ERROR_FORMAT, "surrogate" },
    { "{\"\\u00g0\":{}}", 0, CVN_ERROR_FORMAT, "hex digits" },
    { "{\"\\u00", 0, CVN_ERROR_FORMAT, "unfinished" },
    { "{\"\\x\":{}}", 0, CVN_ERROR_FORMAT, "unknown escape" },
    { "{\"a\nb\":{}}", 0, CVN_ERROR_FORMAT, "control character" },
    { "{\"a", 0, CVN_ERROR_FORMAT, "closing quote" },
    { "{" FC1("F31", "[3,2]", "[0,24]") "}", 24, CVN_ERROR_FORMAT, "unknown dtype" },
    { "{" FC1("F32", "[-3,-2]", "[0,24]") "}", 24, CVN_ERROR_FORMAT, "non-negative" },
    { "{" FC1("F32", "[3.0,2]", "[0,24]") "}", 24, CVN_ERROR_FORMAT, "','" },
    { "{" FC1("F32", "[3e0,2]", "[0,24]") "}", 24, CVN_ERROR_FORMAT, "','" },
    { "{" FC1("F32", "[03,2]", "[0,24]") "}", 24, CVN_ERROR_FORMAT, "begins with 0" },
    { "{" FC1("F32", "[\"3\",2]", "[0,24]") "}", 24, CVN_ERROR_FORMAT, "number expected" },
    { "{" FC1("F32", "[3,2", "[0,24]") "}", 24, CVN_ERROR_FORMAT, "" },
    { "{" FC1("F32", "[18446744073709551616,2]", "[0,24]") "}", 24, CVN_ERROR_FORMAT, "too large" },
    { "{" FC1("F32", "[4294967296,4294967296]", "[0,24]") "}", 24, CVN_ERROR_FORMAT, "too large" },
    { "{" FC1("F32", "[9223372036854775808,2,3]", "[0,24]") "}", 24, CVN_ERROR_FORMAT,
      "too large" },
    { "{" FC1("F32", "[4611686018427387904]", "[0,0]") "}", 0, CVN_ERROR_FORMAT, "" },
    { "{" FC1("F32", "[3,2]", "[0,20]") "}", 20, CVN_ERROR_FORMAT, "tensor fc1.weight" },
    { "{" FC1("F32", "[3,2]", "[24,0]") "}", 24, CVN_ERROR_FORMAT, "ends before it begins" },
    { "{" FC1("F32", "[3,2]", "[0,24,24]") "}", 24, CVN_ERROR_FORMAT, "']' expected" },
    { "{" FC1("F32", "[3,2]", "[0]") "}", 24, CVN_ERROR_FORMAT, "',' expected" },
    { "{" FC1("F32", "[3,2]", "[18446744073709551592,18446744073709551615]") "}", 24,
      CVN_ERROR_FORMAT, "" },
    { "{" GOOD "}", 23, CVN_ERROR_FORMAT, "behind the file's end" },
    { "{" GOOD "}", 25, CVN_ERROR_FORMAT, "1 bytes behind the last tensor" },
    { "{" FC1("F32", "[3,2]", "[4,28]") "}", 28, CVN_ERROR_FORMAT, "hole" },
    { "{" GOOD ",\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[20,24]}}", 24,
      CVN_ERROR_FORMAT, "overlaps" },
    { "{" GOOD ",\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[28,32]}}", 32,
      CVN_ERROR_FORMAT, "hole" },
    { "{" GOOD ",\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[24,28],\"y\":[1,]}}", 28,
      CVN_ERROR_FORMAT, "a value expected" },
    { "{" GOOD ",\"x\":{\"y\":tru}}", 24, CVN_ERROR_FORMAT, "a value expected" }
};

static void hand_made_headers(void)
{
    cvn_net *net = make_small();
    for (size_t i = 0; i < sizeof header_cases / sizeof *header_cases; i++) {
        const header_case *c = &header_cases[i];
        size_t size;
        const unsigned char *file = make_file(c->header, NULL, c->data_size, &size);
        /* an exact block: overruns are seen */
        unsigned char *bytes = (unsigned char *)malloc(size);
        cvn_result r;
        test_case("header %s with %d bytes", c->header, (int)c->data_size);
        memcpy(bytes, file, size);
        cvn_flat_parameters(net, NULL)[5] = 7;                      /* all data are zeros */
        r = cvn_load_memory(net, bytes, size);
        CHECKF(r == c->result, "%s: %s", cvn_result_name(r), cvn_error(net));
        if (r != CVN_OK)
            CHECKF(says(net, c->words), "\"%s\" without \"%s\"", cvn_error(net), c->words);
        CHECK(cvn_flat_parameters(net, NULL)[5] == (r == CVN_OK ? 0.0f : 7.0f));
        free(bytes);
    }
    cvn_destroy(net);
}

/* Brackets by the thousand neither overrun the stack nor pass. */
static void deep_nesting(void)
{
    static char header[60000];
    cvn_net *net = make_small();
    size_t size;
    const unsigned char *bytes;
    strcpy(header, "{\"x\":{\"y\":");
    memset(header + strlen(header), '[', sizeof header - 1 - strlen(header));
    bytes = make_file(header, NULL, 0, &size);
    CHECK(cvn_load_memory(net, bytes, size) == CVN_ERROR_FORMAT);
    CHECKF(says(net, "nested too deeply"), "%s", cvn_error(net));
    cvn_destroy(net);
}

static void absurd_lengths(void)
{
    static const uint64_t lengths[] = { 1,
                                        7,
                                        17,
                                        255,
                                        99999999,
                                        100000000,
                                        100000001,
                                        0x7FFFFFFF,
                                        0xFFFFFFFF,
                                        UINT64_MAX / 2,
                                        UINT64_MAX - 8,
                                        UINT64_MAX - 7,
                                        UINT64_MAX };
    cvn_net *net = make_small();
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char bytes[24] = { 0 };
        for (int b = 0; b < 8; b++) bytes[b] = (unsigned char)(lengths[i] >> (8 * b));
        bytes[8] = '{';
        CHECKF(cvn_load_memory(net, bytes, sizeof bytes) == CVN_ERROR_FORMAT, "%.0f",
               (double)lengths[i]);
    }
    cvn_destroy(net);
}

static void truncated(void)
{
    cvn_net *net = make_seeded(1, 4);
    const size_t size = cvn_save_size(net);
    unsigned char *whole = (unsigned char *)malloc(size);
    size_t count;
    float *before = copy_parameters(net, &count);
    CHECK(cvn_save_memory(net, whole, size) == CVN_OK);
    for (size_t n = 0; n < size; n++) {
        unsigned char *bytes = (unsigned char *)malloc(n + !n);
        memcpy(bytes, whole, n);
        CHECKF(cvn_load_memory(net, bytes, n) == CVN_ERROR_FORMAT, "the first %d bytes", (int)n);
        free(bytes);
    }
    CHECK(same_parameters(net, before));
    CHECK(cvn_load_memory(net, whole, size) == CVN_OK);
    free(before);
    free(whole);
    cvn_destroy(net);
}

/* One to four bytes of the header change, half of them to letters that mean something there. */
static void mutate(unsigned char *bytes, size_t header)
{
    static const char letters[] = "{}[]\",:0123456789-.\\uF tn";
    for (unsigned i = 1 + random_below(4); i > 0; i--) {
        const size_t at = random_below((unsigned)header);
        bytes[at] = (unsigned char)(random_below(2) ? random_below(256)
                                                    : (unsigned char)letters[random_below(24)]);
    }
}

static void mutated_weights(void)
{
    cvn_net *net = make_seeded(1, 4), *other = make_seeded(2, 4);
    const size_t size = cvn_save_size(net);
    unsigned char *whole = (unsigned char *)malloc(size), *bytes = (unsigned char *)malloc(size);
    size_t count;
    float *before = copy_parameters(other, &count);
    CHECK(cvn_save_memory(net, whole, size) == CVN_OK);
    for (int i = 0; i < MUTATIONS; i++) {
        cvn_result r;
        memcpy(bytes, whole, size);
        mutate(bytes, size - count * sizeof(float));
        r = cvn_load_memory(other, bytes, size);
        CHECKF(r == CVN_OK || r == CVN_ERROR_FORMAT || r == CVN_ERROR_SHAPE, "%s",
               cvn_result_name(r));
        if (r != CVN_OK) CHECK(same_parameters(other, before));
        else memcpy(cvn_flat_parameters(other, NULL), before, count * sizeof(float));
    }
    free(before);
    free(bytes);
    free(whole);
    cvn_destroy(net);
    cvn_destroy(other);
}

static void mutated_checkpoints(void)
{
    cvn_net *net = make_seeded(1, 4);
    size_t count, size;
    float *before = copy_parameters(net, &count);
    unsigned char *whole, *bytes;
    CHECK(cvn_save_checkpoint(net, CHECKPOINT) == CVN_OK);
    whole = read_file(CHECKPOINT, &size);
    bytes = (unsigned char *)malloc(size);
    for (int i = 0; i < MUTATIONS / 5; i++) {
        cvn_result r;
        memcpy(bytes, whole, size);
        mutate(bytes, 8 + 256 * (size_t)whole[1] + whole[0]);
        write_file(CHECKPOINT, bytes, size);
        r = cvn_load_checkpoint(net, CHECKPOINT);
        CHECKF(r == CVN_OK || r == CVN_ERROR_FORMAT || r == CVN_ERROR_SHAPE, "%s",
               cvn_result_name(r));
        CHECK(same_parameters(net, before));            /* of those it takes only the header
                                                         * differs */
    }
    free(before);
    free(bytes);
    free(whole);
    cvn_destroy(net);
}

/* ---- wrong calls, files that are not there, memory that runs out ---- */

static void wrong_calls(void)
{
    cvn_net *net = cvn_create(NULL), *built = make_small(), *shared = cvn_share(built);
    char byte = 0;
    cvn_dense(net, cvn_input_vector(net, 2), 1);
    CHECK(cvn_save(net, WEIGHTS) == CVN_ERROR_STATE);
    CHECK(cvn_load(net, WEIGHTS) == CVN_ERROR_STATE);
    CHECK(cvn_load_memory(net, &byte, 1) == CVN_ERROR_STATE);
    CHECK(cvn_save_size(net) == 0);
    CHECK(cvn_save_checkpoint(net, CHECKPOINT) == CVN_ERROR_STATE);
    CHECK(cvn_save(NULL, WEIGHTS) < 0 && cvn_load(NULL, WEIGHTS) < 0 &&
          cvn_load_memory(NULL, &byte, 1) < 0);
    CHECK(cvn_load_partial(NULL, WEIGHTS, NULL) < 0 && cvn_save_memory(NULL, &byte, 1) < 0);
    CHECK(cvn_save_size(NULL) == 0);
    CHECK(cvn_save_checkpoint(NULL, CHECKPOINT) < 0 && cvn_load_checkpoint(NULL, CHECKPOINT) < 0);
    CHECK(cvn_save(built, NULL) == CVN_ERROR_ARGUMENT &&
          cvn_load(built, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_save_memory(built, NULL, 0) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_load(built, "build/no_such_file") == CVN_ERROR_FILE);
    CHECKF(says(built, "build/no_such_file"), "%s", cvn_error(built));
    CHECK(cvn_save(built, "build/no/such/folder/file") == CVN_ERROR_FILE);
    CHECK(cvn_save_memory(built, &byte, 1) == CVN_ERROR_MEMORY && byte == 0);
    CHECK(cvn_build(shared, 1) == CVN_OK);
    CHECK(cvn_save(shared, WEIGHTS) == CVN_OK);
    CHECK(cvn_load(built, WEIGHTS) == CVN_OK);
    CHECK(cvn_load(shared, WEIGHTS) == CVN_ERROR_STATE);
    CHECK(cvn_load_checkpoint(shared, WEIGHTS) == CVN_ERROR_STATE);
    cvn_destroy(shared);
    cvn_destroy(built);
    cvn_destroy(net);
}

static void failing_allocator(void)
{
    static const cvn_rename rules[] = { { "*", "x.*" }, { "x.*", "*" }, { NULL, NULL } };
    const float zero = 0;
    const cvn_array array = cvn_array_make("x", "f4", &zero, 0, NULL);
    counting c = { -1, 0 };
    cvn_load_options options = cvn_load_defaults();
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    size_t count;
    float *before;
    desc.allocator.alloc = count_alloc;
    desc.allocator.free = count_free;
    desc.allocator.user = &c;
    net = make_net(&desc, 4, NULL);
    before = copy_parameters(net, &count);
    CHECK(cvn_save_checkpoint(net, CHECKPOINT) == CVN_OK);
    memset(cvn_flat_parameters(net, NULL), 0, count * sizeof(float));
    options.names = rules;
    CHECK(cvn_save_npz(NPZ, &array, 1) == CVN_OK);
    for (int step = 0; step < 5; step++) {
        cvn_result r = CVN_ERROR_MEMORY;
        for (int n = 0; r != CVN_OK && n < 100; n++) {
            c.left = n;
            if (step == 0) r = cvn_save(net, WEIGHTS);
            else if (step == 1) r = cvn_load_checkpoint(net, CHECKPOINT);
            else r = cvn_load_safetensors(net, step == 4 ? NPZ : CHECKPOINT, &options);
            CHECKF(r == CVN_OK || r == CVN_ERROR_MEMORY, "call %d: %s", n, cvn_error(net));
            if (step == 1) CHECK((r == CVN_OK) == same_parameters(net, before));
        }
        CHECK(r == CVN_OK);
        options.partial = step == 3;
    }
    c.left = -1;
    free(before);
    cvn_destroy(net);
}

/* ---- checkpoints ---- */

static void checkpoint_refusals(void)
{
    const cvn_optimizer plain = cvn_sgd(0.1f, 0), momentum = cvn_sgd(0.1f, 0.9f);
    cvn_net *adam = make_seeded(1, 4), *sgd = make_net(NULL, 4, &plain),
            *heavy = make_net(NULL, 4, &momentum);
    cvn_net *other = make_seeded(1, 5);
    size_t count;
    float *before = copy_parameters(sgd, &count);
    CHECK(cvn_save(adam, WEIGHTS) == CVN_OK);
    CHECK(cvn_load_checkpoint(sgd, WEIGHTS) == CVN_ERROR_FORMAT);
    CHECKF(says(sgd, "no checkpoint"), "%s", cvn_error(sgd));
    CHECK(cvn_save_checkpoint(adam, CHECKPOINT) == CVN_OK);
    CHECK(!exists(CHECKPOINT ".tmp"));
    CHECK(cvn_load_checkpoint(sgd, CHECKPOINT) == CVN_ERROR_FORMAT);
    CHECKF(says(sgd, "adam") && says(sgd, "sgd"), "%s", cvn_error(sgd));
    CHECK(cvn_load_checkpoint(other, CHECKPOINT) == CVN_ERROR_SHAPE);
    CHECKF(says(other, "fc1.weight is F32 [4, 48], needs [5, 48]"), "%s", cvn_error(other));
    CHECK(cvn_save_checkpoint(heavy, CHECKPOINT) == CVN_OK);
    CHECK(cvn_load_checkpoint(sgd, CHECKPOINT) == CVN_ERROR_FORMAT);
    CHECKF(says(sgd, "1 arrays") && says(sgd, "has 0"), "%s", cvn_error(sgd));
    CHECK(same_parameters(sgd, before));
    /* weights out of a checkpoint */
    CHECKF(cvn_load(sgd, CHECKPOINT) == CVN_OK, "%s", cvn_error(sgd));
    CHECK(same_nets(sgd, heavy));
    CHECK(cvn_build_infer(heavy, 1) == CVN_OK);
    CHECK(cvn_save_checkpoint(heavy, CHECKPOINT) == CVN_ERROR_STATE);
    CHECK(cvn_load_checkpoint(heavy, CHECKPOINT) == CVN_ERROR_STATE);
    free(before);
    cvn_destroy(adam);
    cvn_destroy(sgd);
    cvn_destroy(heavy);
    cvn_destroy(other);
}

enum { SAMPLES = 50, VALUES = 2 * 6 * 6 };
static float sample_images[SAMPLES * VALUES];
static int sample_labels[SAMPLES];

static cvn_data make_data(void)
{
    cvn_data data;
    memset(&data, 0, sizeof data);
    for (int i = 0; i < SAMPLES * VALUES; i++)
        sample_images[i] = (float)random_below(2001) / 1000.0f - 1.0f;
    for (int i = 0; i < SAMPLES; i++) sample_labels[i] = (int)random_below(4);
    data.count = SAMPLES;
    data.images = sample_images;
    data.labels = sample_labels;
    data.classes = 4;
    return data;
}

/* The same for training by hand: batches, a checkpoint in a net of another seed, more batches. */
static void resume_by_hand(void)
{
    cvn_net *a = make_seeded(1, 4), *b = make_seeded(2, 4);
    const cvn_data data = make_data();
    for (int batch = 0; batch < 6; batch++) {
        const float *x = data.images + (batch % 3) * 16 * VALUES;
        const int *labels = data.labels + (batch % 3) * 16;
        if (batch == 3) CHECK(cvn_save_checkpoint(a, CHECKPOINT) == CVN_OK);
        if (batch == 3) CHECK(cvn_load_checkpoint(b, CHECKPOINT) == CVN_OK);
        CHECKF(cvn_train_batch(a, x, labels, 16, NULL) == CVN_OK, "%s", cvn_error(a));
        if (batch >= 3)
            CHECKF(cvn_train_batch(b, x, labels, 16, NULL) == CVN_OK, "%s", cvn_error(b));
    }
    CHECK(same_nets(a, b));
    CHECK(cvn_save_checkpoint(a, WEIGHTS) == CVN_OK &&
          cvn_save_checkpoint(b, CHECKPOINT) == CVN_OK);
    CHECK(same_files(WEIGHTS, CHECKPOINT));
    cvn_destroy(a);
    cvn_destroy(b);
}

/* Stops behind batch 2 of epoch 2; one epoch has 4 batches, the last of 2 samples. */
static int stop_in_the_middle(void *user, const cvn_progress *p)
{
    (void)user;
    return p->event == CVN_EVENT_BATCH && p->epoch == 2 && p->batch == 2;
}

/* Three epochs at once, and the same stopped, saved, loaded into a net of another seed and finished
 * there. */
static void resume(const cvn_optimizer *optimizer, int keep_best)
{
    cvn_fit_options options = cvn_fit_defaults();
    cvn_data train = make_data();
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *whole, *first, *second;
    desc.seed = 7;
    whole = make_net(&desc, 4, optimizer);
    first = make_net(&desc, 4, optimizer);
    desc.seed = 8;
    second = make_net(&desc, 4, optimizer);
    options.epochs = 3;
    options.keep_best = keep_best;
    options.schedule.kind = CVN_SCHEDULE_COSINE;
    CHECKF(cvn_fit(whole, &train, keep_best ? &train : NULL, &options) == CVN_OK, "%s",
           cvn_error(whole));
    options.callback = stop_in_the_middle;
    options.checkpoint = keep_best ? CHECKPOINT : NULL;
    remove(CHECKPOINT);
    CHECKF(cvn_fit(first, &train, keep_best ? &train : NULL, &options) == CVN_STOPPED, "%s",
           cvn_error(first));
    if (!keep_best) CHECK(cvn_save_checkpoint(first, CHECKPOINT) == CVN_OK);
    CHECK(!same_nets(whole, first));
    options.callback = NULL;
    options.checkpoint = NULL;
    options.resume = 1;
    CHECKF(cvn_load_checkpoint(second, CHECKPOINT) == CVN_OK, "%s", cvn_error(second));
    CHECK(cvn_history_count(second) == 1);
    CHECKF(cvn_fit(second, &train, keep_best ? &train : NULL, &options) == CVN_OK, "%s",
           cvn_error(second));
    CHECK(same_nets(whole, second));
    CHECK(cvn_history_count(second) == 3);
    for (int i = 0; i < 3; i++) {
        const cvn_history a = cvn_history_at(whole, i), b = cvn_history_at(second, i);
        CHECKF(!memcmp(&a.loss, &b.loss, sizeof a.loss), "%.9g and %.9g", (double)a.loss,
               (double)b.loss);
        CHECK(!memcmp(&a.lr, &b.lr, sizeof a.lr));
    }
    cvn_destroy(whole);
    cvn_destroy(first);
    cvn_destroy(second);
}

static void resume_adam(void)
{
    const cvn_optimizer adam = cvn_adam(1e-2f);
    resume(&adam, 0);
}

static void resume_sgd_with_best(void)
{
    const cvn_optimizer sgd = cvn_sgd(0.05f, 0.9f);
    resume(&sgd, 1);
}

int main(void)
{
    FILE *file = fopen(WEIGHTS, "wb");
    if (!file) {
        printf("test_safetensors: cannot write " WEIGHTS "; is there a folder build/?\n");
        return 1;
    }
    fclose(file);
    RUN(round_trip);
    RUN(header_text);
    RUN(escaped_name);
    RUN(partial);
    RUN(misfits);
    RUN(many_misfits);
    RUN(renamed);
    RUN(left_out);
    RUN(wrong_rules);
    RUN(by_order);
    RUN(from_npz);
    RUN(dtypes);
    RUN(hand_made_headers);
    RUN(deep_nesting);
    RUN(absurd_lengths);
    RUN(truncated);
    RUN(mutated_weights);
    RUN(mutated_checkpoints);
    RUN(wrong_calls);
    RUN(failing_allocator);
    RUN(checkpoint_refusals);
    RUN(resume_by_hand);
    RUN(resume_adam);
    RUN(resume_sgd_with_best);
    remove(WEIGHTS);
    remove(CHECKPOINT);
    return test_done();
}

/* test_npy.c - .npy and .npz: files given as bytes, every type and order, what is refused, hostile,
 * truncated and mutated files, memory that runs out. Writes to build/. TEST_QUICK: fewer mutations.
 * numpy itself: tests/npy.py. */
#include <stddef.h>

static void *failing_malloc(size_t size);
static void plain_free(void *pointer);
#define CONVNET_MALLOC(size) failing_malloc(size)
#define CONVNET_FREE(pointer) plain_free(pointer)
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"

#define NPY "build/test.npy"
#define NPZ "build/test.npz"

#ifdef TEST_QUICK
    #define MUTATIONS 2000
#else
    #define MUTATIONS 50000
#endif

static int left = -1, taken;            /* allocations until they fail, < 0: never; now taken */

static void *failing_malloc(size_t size)
{
    if (left == 0) return NULL;
    if (left > 0) left--;
    taken++;
    return malloc(size);
}

static void plain_free(void *pointer)
{
    taken -= pointer != NULL;
    free(pointer);
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

/* A .npy in a block of its exact size (overruns are seen); the caller frees it. */
static unsigned char *make_npy(const char *header, const void *data, size_t data_size, size_t *size)
{
    const size_t n = strlen(header);
    unsigned char *bytes = (unsigned char *)malloc(10 + n + data_size);
    memcpy(bytes, "\x93NUMPY\1\0", 8);
    bytes[8] = (unsigned char)(n & 255);
    bytes[9] = (unsigned char)(n >> 8);
    memcpy(bytes + 10, header, n);
    if (data) memcpy(bytes + 10 + n, data, data_size);
    else memset(bytes + 10 + n, 0, data_size);
    *size = 10 + n + data_size;
    return bytes;
}

/* The array of a .npy made so; the bytes stay in *bytes. */
static cvn_result load(cvn_arrays *a, const char *header, const void *data, size_t data_size,
                       unsigned char **bytes)
{
    size_t size;
    *bytes = make_npy(header, data, data_size, &size);
    return cvn_load_npy_memory(a, *bytes, size);
}

/* ---- bytes to the letter ---- */

/* As numpy 2.4 writes numpy.arange(6, dtype='<f4').reshape(2, 3), and an int64 and a scalar. */
static void letters(void)
{
    static const char header[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    static const int dim[] = { 2, 3 };
    const float values[6] = { 0, 1, 2, 3, 4, 5 };
    unsigned char bytes[192];
    float back[6] = { 0 };
    cvn_arrays a;
    cvn_array array = cvn_array_make("", "f4", values, 2, dim);
    CHECK(cvn_save_npy_memory(NULL, 0, &array) == 128 + 24);
    CHECK(cvn_save_npy_memory(bytes, 151, &array) == 152 &&
          cvn_save_npy_memory(bytes, 192, &array) == 152);
    CHECK(!memcmp(bytes, "\x93NUMPY\1\0\x76\0", 10));
    if (array.type[0] == '<') {
        CHECK(!memcmp(bytes + 10, header, sizeof header - 1));
        CHECK(!memcmp(bytes + 128, "\0\0\0\0\0\0\x80?\0\0\0@", 12));
    }
    for (int i = 10 + (int)sizeof header - 1; i < 127; i++) CHECK(bytes[i] == ' ');
    CHECK(bytes[127] == '\n');
    CHECKF(cvn_load_npy_memory(&a, bytes, 152) == CVN_OK, "%s", a.error);
    CHECK(a.count == 1 && a.array[0].rank == 2 && a.array[0].dim[0] == 2 && a.array[0].dim[1] == 3);
    CHECK(a.array[0].count == 6 && !a.array[0].name[0] && !a.array[0].fortran_order);
    CHECK(a.array[0].data == bytes + 128);
    CHECK(cvn_array_floats(&a.array[0], back) == CVN_OK && !memcmp(back, values, sizeof values));
    CHECK(cvn_arrays_find(&a, "") == a.array && !cvn_arrays_find(&a, "x"));
    cvn_arrays_free(&a);
    cvn_arrays_free(&a);
    array = cvn_array_make("", "f4", values, 0, NULL);
    CHECK(cvn_save_npy_memory(bytes, sizeof bytes, &array) == 132);
    CHECK(strstr((const char *)bytes + 10, "'shape': (), }") != NULL);
    array = cvn_array_make("", "f4", values, 1, dim);
    CHECK(cvn_save_npy_memory(bytes, sizeof bytes, &array) == 136);
    CHECK(strstr((const char *)bytes + 10, "'shape': (2,), }") != NULL);
}

/* A zip to the letter: x.npy holding uint8 7. CRC-32 by Python's zlib. */
static void zip_letters(void)
{
    static const unsigned char local[] = { 'P', 'K', 3, 4, 20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0 };
    static const unsigned char end[] = { 'P', 'K', 5, 6, 0, 0, 0, 0, 1, 0, 1, 0, 51, 0, 0, 0,
                                         164, 0, 0, 0, 0, 0 };
    const unsigned char seven = 7;
    unsigned char bytes[256];
    const cvn_array array = cvn_array_make("x", "u1", &seven, 0, NULL);
    const size_t size = cvn_save_npz_memory(bytes, sizeof bytes, &array, 1);
    cvn_arrays a;
    int value = 0;
    CHECKF(size == 35 + 129 + 51 + 22, "%d", (int)size);
    CHECK(!memcmp(bytes, local, sizeof local));
    CHECK(!memcmp(bytes + 14, "\x76\x0E\x13\x89", 4));
    CHECK(!memcmp(bytes + 18, "\x81\0\0\0\x81\0\0\0\5\0\0\0x.npy\x93NUMPY", 23));
    CHECK(!memcmp(bytes + size - 22, end, 22));
    CHECK(!memcmp(bytes + 164, "PK\1\2\x14\0", 6) && !memcmp(bytes + 164 + 6, bytes + 4, 24));
    CHECKF(cvn_load_npy_memory(&a, bytes, size) == CVN_OK, "%s", a.error);
    CHECK(a.count == 1 && !strcmp(a.array[0].name, "x") && a.array[0].count == 1);
    CHECK(cvn_array_ints(&a.array[0], &value) == CVN_OK && value == 7);
    cvn_arrays_free(&a);
}

/* CRC-32 of "123456789" is 0xCBF43926 in every catalogue of them; and in pieces. */
static void crc(void)
{
    const unsigned char digits[] = "123456789";
    cvni_crc c;
    cvni_crc_begin(&c);
    CHECK(cvni_crc_add(&c, 0, digits, 9) == 0xCBF43926u);
    CHECK(cvni_crc_add(&c, 0, digits, 0) == 0);
    for (size_t i = 0; i <= 9; i++)
        CHECK(cvni_crc_add(&c, cvni_crc_add(&c, 0, digits, i), digits + i, 9 - i) == 0xCBF43926u);
}

/* ---- types and orders ---- */

typedef struct type_case {
    const char *type;
    int bytes;
    const char *data;           /* three elements: 1, -2 (unsigned: 2), 100 */
} type_case;

static const type_case type_cases[] = {
    { "<f2", 2, "\x00\x3c\x00\xc0\x40\x56" },
    { ">f2", 2, "\x3c\x00\xc0\x00\x56\x40" },
    { "<f4", 4, "\x00\x00\x80\x3f\x00\x00\x00\xc0\x00\x00\xc8\x42" },
    { ">f4", 4, "\x3f\x80\x00\x00\xc0\x00\x00\x00\x42\xc8\x00\x00" },
    { "<f8", 8, "\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\xc0\0\0\0\0\0\0\x59\x40" },
    { ">f8", 8, "\x3f\xf0\0\0\0\0\0\0\xc0\0\0\0\0\0\0\0\x40\x59\0\0\0\0\0\0" },
    { "|i1", 1, "\1\xfe\x64" },
    { "<i1", 1, "\1\xfe\x64" },
    { "<i2", 2, "\1\0\xfe\xff\x64\0" },
    { ">i2", 2, "\0\1\xff\xfe\0\x64" },
    { "<i4", 4, "\1\0\0\0\xfe\xff\xff\xff\x64\0\0\0" },
    { ">i4", 4, "\0\0\0\1\xff\xff\xff\xfe\0\0\0\x64" },
    { "<i8", 8, "\1\0\0\0\0\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff\x64\0\0\0\0\0\0\0" },
    { ">i8", 8, "\0\0\0\0\0\0\0\1\xff\xff\xff\xff\xff\xff\xff\xfe\0\0\0\0\0\0\0\x64" },
    { "|u1", 1, "\1\2\x64" },
    { "<u2", 2, "\1\0\2\0\x64\0" },
    { ">u2", 2, "\0\1\0\2\0\x64" },
    { "<u4", 4, "\1\0\0\0\2\0\0\0\x64\0\0\0" },
    { ">u8", 8, "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\x64" }
};

static void types(void)
{
    for (size_t i = 0; i < sizeof type_cases / sizeof *type_cases; i++) {
        const type_case *c = &type_cases[i];
        const int second = c->type[1] == 'u' ? 2 : -2;
        char header[80];
        unsigned char *bytes;
        cvn_arrays a;
        float floats[3];
        int ints[3];
        test_case("%s", c->type);
        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (3,), }",
                 c->type);
        CHECKF(load(&a, header, c->data, 3 * (size_t)c->bytes, &bytes) == CVN_OK, "%s", a.error);
        CHECK(a.count == 1 && !strcmp(a.array[0].type, c->type));
        CHECK(cvn_array_floats(a.array, floats) == CVN_OK);
        CHECKF(floats[0] == 1 && floats[1] == (float)second && floats[2] == 100, "%g %g %g",
               (double)floats[0], (double)floats[1], (double)floats[2]);
        CHECK(cvn_array_ints(a.array, ints) == CVN_OK);
        CHECKF(ints[0] == 1 && ints[1] == second && ints[2] == 100, "%d %d %d", ints[0], ints[1],
               ints[2]);
        cvn_arrays_free(&a);
        free(bytes);
    }
}

/* The ends of the integer types, and what is no int. */
static void extremes(void)
{
    static const unsigned char minimum[8] = { 0x80, 0, 0, 0, 0, 0, 0, 0 };
    static const unsigned char all[8] = { 255, 255, 255, 255, 255, 255, 255, 255 };
    cvn_array a = cvn_array_make("", "i8", minimum, 0, NULL);
    const float half = 0.5f, nan = (float)NAN;
    const int largest[2] = { INT_MAX, INT_MIN };
    const int dim = 2;
    float value;
    int ints[2] = { 0, 0 };
    memcpy(a.type, ">i8", 4);
    CHECK(cvn_array_floats(&a, &value) == CVN_OK && value == -9223372036854775808.0f);
    CHECK(cvn_array_ints(&a, ints) == CVN_ERROR_NUMBER);
    a.data = all;
    CHECK(cvn_array_floats(&a, &value) == CVN_OK && value == -1);
    memcpy(a.type, "<u8", 4);
    CHECK(cvn_array_floats(&a, &value) == CVN_OK && value == 18446744073709551616.0f);
    CHECK(cvn_array_ints(&a, ints) == CVN_ERROR_NUMBER);
    a = cvn_array_make("", "f4", &half, 0, NULL);
    CHECK(cvn_array_ints(&a, ints) == CVN_ERROR_NUMBER);
    a.data = &nan;
    CHECK(cvn_array_ints(&a, ints) == CVN_ERROR_NUMBER);
    a = cvn_array_make("", "i4", largest, 1, &dim);
    CHECK(cvn_array_ints(&a, ints) == CVN_OK && ints[0] == INT_MAX && ints[1] == INT_MIN);
}

/* Fortran's order against the formula: element (i, j, k) of [2, 3, 4] is number i + 2*(j + 3*k). */
static void fortran_order(void)
{
    unsigned char data[24], *bytes;
    float floats[24];
    cvn_arrays a;
    for (int i = 0; i < 24; i++) data[i] = (unsigned char)(i * 5);
    CHECK(load(&a, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4)}", data, 24,
               &bytes) == CVN_OK);
    CHECK(a.array[0].fortran_order);
    CHECK(cvn_array_floats(a.array, floats) == CVN_OK);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 4; k++)
                CHECK(floats[(i * 3 + j) * 4 + k] == (float)(5 * (i + 2 * (j + 3 * k))));
    cvn_arrays_free(&a);
    free(bytes);
    memset(data, 0, sizeof data);       /* big-endian, last axis fastest: element by element, too */
    for (int i = 0; i < 12; i++) data[2 * i + 1] = (unsigned char)i;
    CHECK(load(&a, "{'descr': '>u2', 'fortran_order': False, 'shape': (2, 3, 2)}", data, 24,
               &bytes) == CVN_OK);
    CHECK(cvn_array_floats(a.array, floats) == CVN_OK);
    for (int i = 0; i < 12; i++) CHECK(floats[i] == (float)i);
    cvn_arrays_free(&a);
    free(bytes);
}

/* ---- headers, good and bad ---- */

typedef struct header_case {
    const char *header;
    size_t data_size;
    cvn_result result;
    const char *words;          /* in the message */
} header_case;

#define REST ", 'fortran_order': False, 'shape': (2, 3), }"

static const header_case header_cases[] = {
    { "{'descr': '<f4'" REST, 24, CVN_OK, "" },
    { "{'descr': '<f4'" REST "   \n", 24, CVN_OK, "" },
    { "{\"descr\":\"<f4\",\"shape\":(2,3),\"fortran_order\":True}\n", 24, CVN_OK, "" },
    { "{ 'shape' : ( 2L , 3L , ) , 'descr' : '<f4' , 'fortran_order' : False }", 24, CVN_OK, "" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4, CVN_OK, "" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5)}", 0, CVN_OK, "" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1)}", 4, CVN_OK, "" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4, CVN_ERROR_FORMAT,
      "axes" },
    { "{'descr': '<f4'" REST, 20, CVN_ERROR_FORMAT, "truncated" },
    { "{'descr': '<f4'" REST, 25, CVN_ERROR_FORMAT, "size" },
    { "{'descr': '<f4'" REST "x", 24, CVN_ERROR_FORMAT, "behind the dict" },
    { "", 24, CVN_ERROR_FORMAT, "no dict" },
    { "[]", 24, CVN_ERROR_FORMAT, "no dict" },
    { "{", 24, CVN_ERROR_FORMAT, "" },
    { "{}", 24, CVN_ERROR_FORMAT, "lacks" },
    { "{'descr': '<f4', 'shape': (2, 3)}", 24, CVN_ERROR_FORMAT, "lacks" },
    { "{'descr': '<f4', 'descr': '<f4'" REST, 24, CVN_ERROR_FORMAT, "twice" },
    { "{'description': '<f4'" REST, 24, CVN_ERROR_FORMAT, "unknown" },
    { "{'a key much longer than any': '<f4'" REST, 24, CVN_ERROR_FORMAT, "too long" },
    { "{'descr: '<f4'" REST, 24, CVN_ERROR_FORMAT, "" },
    { "{'descr' '<f4'" REST, 24, CVN_ERROR_FORMAT, "':'" },
    { "{'descr': [('x', '<f4')]" REST, 24, CVN_ERROR_FORMAT, "structures" },
    { "{'descr': '<f4" REST, 24, CVN_ERROR_FORMAT, "" },
    { "{'descr': 4" REST, 24, CVN_ERROR_FORMAT, "quotes" },
    { "{'descr': ''" REST, 24, CVN_ERROR_UNSUPPORTED, "type" },
    { "{'descr': '<'" REST, 24, CVN_ERROR_UNSUPPORTED, "type" },
    { "{'descr': 'f4'" REST, 24, CVN_ERROR_UNSUPPORTED, "type" },
    { "{'descr': '|f4'" REST, 24, CVN_ERROR_UNSUPPORTED, "type" },
    { "{'descr': '=f4'" REST, 24, CVN_ERROR_UNSUPPORTED, "type" },
    { "{'descr': '<f44'" REST, 24, CVN_ERROR_UNSUPPORTED, "type" },
    { "{'descr': '<f3'" REST, 24, CVN_ERROR_UNSUPPORTED, "type" },
    { "{'descr': '<c8'" REST, 24, CVN_ERROR_UNSUPPORTED, "type" },
    { "{'descr': '|O'" REST, 24, CVN_ERROR_UNSUPPORTED, "type" },
    { "{'descr': '<U4'" REST, 24, CVN_ERROR_UNSUPPORTED, "type" },
    { "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }", 24, CVN_ERROR_FORMAT,
      "True or False" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': 6}", 24, CVN_ERROR_FORMAT, "'('" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", 24, CVN_ERROR_FORMAT, "','" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,,3)}", 24, CVN_ERROR_FORMAT, "number" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,-3)}", 24, CVN_ERROR_FORMAT,
      "number" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,3)}", 24, CVN_ERROR_FORMAT, "','" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,3", 24, CVN_ERROR_FORMAT, "" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483648,)}", 24, CVN_ERROR_FORMAT,
      "too long" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 24,
      CVN_ERROR_FORMAT, "" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483647,2147483647,2147483647)}", 24,
      CVN_ERROR_FORMAT, "size" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1073741824, 1073741824, 16, 1)}", 0,
      CVN_ERROR_FORMAT, "size" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483647,2147483647,2147483647, 0)}", 0,
      CVN_OK, "" }
};

static void headers(void)
{
    for (size_t i = 0; i < sizeof header_cases / sizeof *header_cases; i++) {
        const header_case *c = &header_cases[i];
        unsigned char *bytes;
        cvn_arrays a;
        cvn_result r;
        test_case("%s with %d bytes", c->header, (int)c->data_size);
        r = load(&a, c->header, NULL, c->data_size, &bytes);
        CHECKF(r == c->result, "%s: %s", cvn_result_name(r), a.error);
        CHECK((r == CVN_OK) == (a.count == 1) && (r == CVN_OK) == !a.error[0]);
        CHECKF(strstr(a.error, c->words) != NULL, "\"%s\" without \"%s\"", a.error, c->words);
        cvn_arrays_free(&a);
        free(bytes);
    }
    CHECK(taken == 0);
}

/* Versions 2 and 3 have a length of 4 bytes; others are refused, and lengths that lie. */
static void versions(void)
{
    static const char header[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}";
    const size_t n = sizeof header - 1;
    unsigned char bytes[100];
    cvn_arrays a;
    for (int major = 0; major < 6; major++) {
        const size_t begin = major == 1 ? 10 : 12;
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, "\x93NUMPY", 6);
        bytes[6] = (unsigned char)major;
        bytes[8] = (unsigned char)n;
        memcpy(bytes + begin, header, n);
        bytes[begin + n] = 9;
        CHECKF((cvn_load_npy_memory(&a, bytes, begin + n + 1) == CVN_OK) ==
                   (major >= 1 && major <= 3),
               "%s", a.error);
        cvn_arrays_free(&a);
        bytes[9] = 255;
        if (major > 1) bytes[11] = 255;
        CHECK(cvn_load_npy_memory(&a, bytes, begin + n + 1) == CVN_ERROR_FORMAT);
    }
}

/* ---- .npz ---- */

enum { MEMBERS = 3 };
static const float member_floats[6] = { 1, 2, 3, 4, 5, 6 };
static const int member_ints[2] = { 7, -8 };
static const int dim_2_3[] = { 2, 3 }, dim_2[] = { 2 }, dim_0[] = { 0 };

static void make_members(cvn_array *array)
{
    array[0] = cvn_array_make("conv1.weight", "f4", member_floats, 2, dim_2_3);
    array[1] = cvn_array_make("labels", "i4", member_ints, 1, dim_2);
    array[2] = cvn_array_make("", "f4", NULL, 1, dim_0);
}

/* The bytes of a .npz; the caller frees them. */
static unsigned char *make_npz(size_t *size)
{
    cvn_array array[MEMBERS];
    unsigned char *bytes;
    make_members(array);
    *size = cvn_save_npz_memory(NULL, 0, array, MEMBERS);
    bytes = (unsigned char *)malloc(*size);
    CHECK(cvn_save_npz_memory(bytes, *size, array, MEMBERS) == *size);
    return bytes;
}

static void several(void)
{
    size_t size;
    unsigned char *bytes = make_npz(&size);
    cvn_array array[MEMBERS];
    cvn_arrays a;
    float floats[6];
    int ints[2];
    make_members(array);
    CHECKF(cvn_load_npy_memory(&a, bytes, size) == CVN_OK, "%s", a.error);
    CHECK(a.count == MEMBERS);
    for (int i = 0; i < a.count; i++) {
        CHECK(!strcmp(a.array[i].name, array[i].name) && !strcmp(a.array[i].type, array[i].type));
        CHECK(a.array[i].rank == array[i].rank && a.array[i].count == array[i].count);
        CHECK(!memcmp(a.array[i].dim, array[i].dim, sizeof array[i].dim));
    }
    CHECK(cvn_arrays_find(&a, "labels") == a.array + 1 && !cvn_arrays_find(&a, "label"));
    CHECK(cvn_array_floats(&a.array[0], floats) == CVN_OK &&
          !memcmp(floats, member_floats, sizeof floats));
    CHECK(cvn_array_ints(&a.array[1], ints) == CVN_OK && ints[0] == 7 && ints[1] == -8);
    CHECK(cvn_array_floats(&a.array[2], NULL) == CVN_OK);
    cvn_arrays_free(&a);
    free(bytes);
}

/* One byte of a file with one member "x" [uint8 7] changed. */
typedef struct patch {
    int part;                   /* at counts from: 0 the file's beginning, 1 the member's entry in
                                 * the directory, 2 the record at the end */
    int at, value;
    cvn_result result;
    const char *words;
} patch;


static const patch patches[] = {
    { 1, 10, 8, CVN_ERROR_UNSUPPORTED, "member x.npy: packed" },
    { 1, 8, 1, CVN_ERROR_UNSUPPORTED, "encrypted" },
    { 1, 0, 'Q', CVN_ERROR_FORMAT, "directory" },
    { 1, 16, 0, CVN_ERROR_FORMAT, "CRC-32" },
    { 0, 163, 8, CVN_ERROR_FORMAT, "CRC-32" },
    { 1, 20, 0, CVN_ERROR_FORMAT, "" },
    { 1, 24, 0x80, CVN_ERROR_FORMAT, "" },
    { 1, 26, 1, CVN_ERROR_FORMAT, "" },
    { 1, 28, 6, CVN_ERROR_FORMAT, "" },
    { 1, 28, 255, CVN_ERROR_FORMAT, "directory" },
    { 1, 31, 255, CVN_ERROR_FORMAT, "directory" },
    { 1, 42, 1, CVN_ERROR_FORMAT, "not where" },
    { 1, 45, 255, CVN_ERROR_FORMAT, "not where" },
    { 1, 50, 'z', CVN_ERROR_FORMAT, "without a .npy" },
    { 0, 0, 'Q', CVN_ERROR_FORMAT, "no .npy" },
    { 0, 26, 6, CVN_ERROR_FORMAT, "" },
    { 0, 29, 255, CVN_ERROR_FORMAT, "behind the file's end" },
    { 0, 35, 'x', CVN_ERROR_FORMAT, "member x.npy: no .npy" },
    { 2, 0, 'Q', CVN_ERROR_FORMAT, "no directory" },
    { 2, 4, 1, CVN_ERROR_FORMAT, "elsewhere" },
    { 2, 8, 2, CVN_ERROR_FORMAT, "elsewhere" },
    { 2, 12, 52, CVN_ERROR_FORMAT, "elsewhere" },
    { 2, 12, 40, CVN_ERROR_FORMAT, "too early" },
    { 2, 15, 255, CVN_ERROR_FORMAT, "elsewhere" },
    { 2, 16, 165, CVN_ERROR_FORMAT, "" },
    { 2, 19, 255, CVN_ERROR_FORMAT, "elsewhere" },
    { 2, 20, 1, CVN_ERROR_FORMAT, "no directory" },
    { 0, 4, 99, CVN_OK, "" },           /* the version needed */
    { 0, 14, 1, CVN_OK, "" },           /* CRC-32 and sizes of a local header are not believed */
    { 0, 18, 1, CVN_OK, "" }
};

static void patched_zips(void)
{
    const unsigned char seven = 7;
    unsigned char good[256];
    const cvn_array array = cvn_array_make("x", "u1", &seven, 0, NULL);
    const size_t size = cvn_save_npz_memory(good, sizeof good, &array, 1);
    for (size_t i = 0; i < sizeof patches / sizeof *patches; i++) {
        const patch *p = &patches[i];
        const int base = p->part == 2 ? (int)size - 22 : p->part == 1 ? (int)size - 73 : 0;
        unsigned char *bytes = (unsigned char *)malloc(size);
        cvn_arrays a;
        cvn_result r;
        test_case("byte %d of part %d becomes %d", p->at, p->part, p->value);
        memcpy(bytes, good, size);
        CHECK(bytes[base + p->at] != p->value);
        bytes[base + p->at] = (unsigned char)p->value;
        r = cvn_load_npy_memory(&a, bytes, size);
        CHECKF(r == p->result && strstr(a.error, p->words), "%s: %s", cvn_result_name(r), a.error);
        cvn_arrays_free(&a);
        free(bytes);
    }
}

/* A directory that names one member again and again would take forever to sum up: refused. */
static void overlapping_members(void)
{
    enum { ENTRIES = 300, ENTRY = 46 + 16 };        /* "conv1.weight.npy" */
    size_t size;
    unsigned char *npz = make_npz(&size), *end;
    const size_t begin = (size_t)cvni_le_word(npz + size - 6, 4);
    unsigned char *bytes = (unsigned char *)calloc(1, begin + ENTRIES * ENTRY + 22);
    cvn_arrays a;
    memcpy(bytes, npz, begin);
    end = bytes + begin;
    for (int i = 0; i < ENTRIES; i++, end += ENTRY) memcpy(end, npz + begin, ENTRY);
    memcpy(end, npz + size - 22, 22);
    for (int i = 0; i < 2; i++) end[8 + i] = end[10 + i] = (unsigned char)(ENTRIES >> (8 * i));
    for (int i = 0; i < 4; i++) end[12 + i] = (unsigned char)((ENTRIES * ENTRY) >> (8 * i));
    CHECK(cvn_load_npy_memory(&a, bytes, (size_t)(end + 22 - bytes)) == CVN_ERROR_FORMAT);
    CHECKF(strstr(a.error, "overlap") != NULL, "%s", a.error);
    free(bytes);
    free(npz);
}

static void truncated(void)
{
    size_t size;
    unsigned char *whole = make_npz(&size);
    cvn_arrays a;
    for (size_t n = 0; n < size; n++) {
        unsigned char *bytes = (unsigned char *)malloc(n + !n);
        memcpy(bytes, whole, n);
        CHECKF(cvn_load_npy_memory(&a, bytes, n) == CVN_ERROR_FORMAT, "the first %d bytes", (int)n);
        free(bytes);
    }
    CHECK(taken == 0);
    free(whole);
}

/* Files with one to four bytes changed: no crash, and what is taken can be read. */
static void mutated(void)
{
    static const char letters_[] = "{}()',:0123456789LTrueFalse<>|f4u8PK\1\2\3\4\5\6";
    size_t size;
    unsigned char *whole = make_npz(&size), *bytes = (unsigned char *)malloc(size);
    float *floats = (float *)malloc(size * sizeof(float));
    for (int i = 0; i < MUTATIONS; i++) {
        cvn_arrays a;
        cvn_result r;
        const unsigned part = i & 1 ? 174 : (unsigned)size;     /* the first .npy alone, or all */
        memcpy(bytes, whole, size);
        for (unsigned n = 1 + random_below(4); n > 0; n--)
            bytes[random_below(part)] =
                (unsigned char)(random_below(2)
                                    ? random_below(256)
                                    : (unsigned char)letters_[random_below(sizeof letters_ - 1)]);
        r = i & 1 ? cvn_load_npy_memory(&a, bytes + 46, 128 + 24)
                  : cvn_load_npy_memory(&a, bytes, size);
        CHECKF(r == CVN_OK || r == CVN_ERROR_FORMAT || r == CVN_ERROR_UNSUPPORTED, "%s",
               cvn_result_name(r));
        for (int k = 0; k < a.count; k++) CHECK(cvn_array_floats(&a.array[k], floats) == CVN_OK);
        cvn_arrays_free(&a);
    }
    CHECK(taken == 0);
    free(floats);
    free(bytes);
    free(whole);
}

/* ---- files, wrong calls, memory that runs out ---- */

static void files(void)
{
    cvn_array array[MEMBERS];
    cvn_arrays a;
    make_members(array);
    CHECK(cvn_save_npz(NPZ, array, MEMBERS) == CVN_OK);
    CHECKF(cvn_load_npy(&a, NPZ) == CVN_OK, "%s", a.error);
    CHECK(a.count == MEMBERS);
    CHECK(cvn_save_npy(NPY, &a.array[1]) == CVN_OK);
    cvn_arrays_free(&a);
    CHECKF(cvn_load_npy(&a, NPY) == CVN_OK, "%s", a.error);
    CHECK(a.count == 1 && a.array[0].count == 2 &&
          !memcmp(a.array[0].data, member_ints, sizeof member_ints));
    cvn_arrays_free(&a);
    CHECK(cvn_load_npy(&a, "build/no_such_file") == CVN_ERROR_FILE &&
          strstr(a.error, "build/no_such_file"));
    CHECK(cvn_save_npy("build/no/such/folder/file", &array[0]) == CVN_ERROR_FILE);
    CHECK(taken == 0);
}

static void wrong_calls(void)
{
    static const int negative[] = { -1 }, huge[] = { INT_MAX, INT_MAX, INT_MAX };
    cvn_array array[MEMBERS], bad;
    cvn_arrays a;
    float out[6];
    make_members(array);
    CHECK(cvn_load_npy(NULL, NPY) == CVN_ERROR_ARGUMENT &&
          cvn_load_npy_memory(NULL, "", 0) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_load_npy(&a, NULL) == CVN_ERROR_ARGUMENT && a.error[0]);
    CHECK(cvn_load_npy_memory(&a, NULL, 0) == CVN_ERROR_ARGUMENT && a.error[0]);
    CHECK(cvn_save_npy(NULL, array) == CVN_ERROR_ARGUMENT &&
          cvn_save_npy(NPY, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_save_npz(NPZ, array, 0) == CVN_ERROR_ARGUMENT &&
          cvn_save_npz(NPZ, array, 65535) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_array_floats(NULL, out) == CVN_ERROR_ARGUMENT &&
          cvn_array_floats(array, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_array_ints(NULL, NULL) == CVN_ERROR_ARGUMENT && !cvn_arrays_find(NULL, "") &&
          !cvn_arrays_find(&a, NULL));
    for (int i = 0; i < 9; i++) {
        bad = array[0];
        if (i == 0) bad.count = 5;
        if (i == 1) bad.rank = -1;
        if (i == 2) bad.rank = 9;
        if (i == 3) bad.data = NULL;
        if (i == 4) memset(bad.type, 'f', sizeof bad.type);
        if (i == 5) bad.type[0] = 0;
        if (i == 6) bad = cvn_array_make("", "f4", out, 1, negative);
        if (i == 7) bad = cvn_array_make("", "f4", out, 3, huge);
        if (i == 8) bad = cvn_array_make("", "float", out, 1, dim_2);
        CHECKF(cvn_array_floats(&bad, out) == CVN_ERROR_ARGUMENT, "case %d", i);
        CHECKF(cvn_save_npy(NPY, &bad) == CVN_ERROR_ARGUMENT, "case %d", i);
        CHECKF(cvn_save_npz_memory(NULL, 0, &bad, 1) == 0, "case %d", i);
    }
    bad = array[0];
    bad.name = NULL;
    CHECK(cvn_save_npz(NPZ, &bad, 1) == CVN_ERROR_ARGUMENT && cvn_save_npy(NPY, &bad) == CVN_OK);
    cvn_arrays_free(NULL);
}

static void failing_allocator(void)
{
    cvn_array array[MEMBERS];
    make_members(array);
    for (int call = 0; call < 4; call++) {
        cvn_result r = CVN_ERROR_MEMORY;
        for (int n = 0; r != CVN_OK && n < 10; n++) {
            cvn_arrays a;
            memset(&a, 0, sizeof a);
            left = n;
            if (call == 0) r = cvn_save_npz(NPZ, array, MEMBERS);
            else if (call == 1) r = cvn_load_npy(&a, NPZ);
            else if (call == 2) r = cvn_save_npy(NPY, array);
            else r = cvn_load_npy(&a, NPY);
            left = -1;
            CHECK(r == CVN_OK ||
                  (r == CVN_ERROR_MEMORY && (call % 2 == 0 || strstr(a.error, "memory"))));
            CHECK(r == CVN_OK || taken == 0);
            cvn_arrays_free(&a);
        }
        CHECK(r == CVN_OK && taken == 0);
    }
}

int main(void)
{
    RUN(letters);
    RUN(zip_letters);
    RUN(crc);
    RUN(types);
    RUN(extremes);
    RUN(fortran_order);
    RUN(headers);
    RUN(versions);
    RUN(several);
    RUN(patched_zips);
    RUN(overlapping_members);
    RUN(truncated);
    RUN(mutated);
    RUN(files);
    RUN(wrong_calls);
    RUN(failing_allocator);
    return test_done();
}

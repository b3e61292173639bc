/* onnx_bytes.h - ONNX models written byte by byte, for tests of the reader. */
#ifndef CONVNET_TEST_ONNX_BYTES_H
#define CONVNET_TEST_ONNX_BYTES_H

/* ---- a protobuf writer, as small as it goes ---- */

typedef struct bytes { unsigned char *p; size_t n, room; } bytes;

static inline void put(bytes *b, const void *data, size_t n)
{
    if (b->n + n > b->room) {
        b->room = 2 * (b->n + n) + 64;
        b->p = (unsigned char *)realloc(b->p, b->room);
    }
    if (n) memcpy(b->p + b->n, data, n);
    b->n += n;
}

static inline void put_varint(bytes *b, unsigned long long v)
{
    unsigned char c;
    do {
        c = (unsigned char)((v & 0x7F) | (v > 0x7F ? 0x80 : 0));
        put(b, &c, 1);
    } while ((v >>= 7) != 0);
}

static inline void put_int(bytes *b, int field, long long v)
{
    put_varint(b, (unsigned)field << 3);
    put_varint(b, (unsigned long long)v);
}

static inline void put_data(bytes *b, int field, const void *data, size_t n)
{
    put_varint(b, (unsigned)field << 3 | 2);
    put_varint(b, n);
    put(b, data, n);
}

static inline void put_text(bytes *b, int field, const char *text)
{
    put_data(b, field, text, strlen(text));
}

static inline void put_float(bytes *b, int field, float v)
{
    unsigned char le[4];
    unsigned u;
    memcpy(&u, &v, 4);
    for (int i = 0; i < 4; i++) le[i] = (unsigned char)(u >> (8 * i));
    put_varint(b, (unsigned)field << 3 | 5);
    put(b, le, 4);
}

/* Closes a message that was written into `part`. */
static inline void put_message(bytes *b, int field, bytes *part)
{
    put_data(b, field, part->p, part->n);
    free(part->p);
    memset(part, 0, sizeof *part);
}

/* ---- ONNX in its terms ---- */

typedef struct onnx { bytes graph; int opset; } onnx;

static inline bytes tensor(const char *name, int type, int rank, const int *dim)
{
    bytes t = { NULL, 0, 0 };
    for (int i = 0; i < rank; i++) put_int(&t, 1, dim[i]);
    put_int(&t, 2, type);
    put_text(&t, 8, name);
    return t;
}

static inline int product(int rank, const int *dim)
{
    int n = 1;
    for (int i = 0; i < rank; i++) n *= dim[i];
    return n;
}

/* raw: as raw_data, little-endian; else as float_data, not packed. */
static inline void add_floats(onnx *m, const char *name, int rank, const int *dim,
                              const float *values, int raw)
{
    bytes t = tensor(name, CVN_ONNX_FLOAT, rank, dim);
    bytes data = { NULL, 0, 0 };
    const int n = product(rank, dim);
    for (int i = 0; i < n; i++) {
        bytes one = { NULL, 0, 0 };
        put_float(&one, 1, values[i]);
        put(&data, one.p + 1, 4);
        if (!raw) put_float(&t, 4, values[i]);
        free(one.p);
    }
    if (raw) put_data(&t, 9, data.p, data.n);
    free(data.p);
    put_message(&m->graph, 5, &t);
}

static inline void add_ints(onnx *m, const char *name, int n, const long long *values)
{
    bytes t = tensor(name, CVN_ONNX_INT64, 1, &n);
    bytes data = { NULL, 0, 0 };
    for (int i = 0; i < n; i++) put_varint(&data, (unsigned long long)values[i]);
    put_message(&t, 7, &data);
    put_message(&m->graph, 5, &t);
}

/* dims: 0 is an open one. */
static inline void add_port(onnx *m, int field, const char *name, int type, int rank,
                            const int *dim)
{
    bytes info = { NULL, 0, 0 }, kind = { NULL, 0, 0 }, t = { NULL, 0, 0 }, shape = { NULL, 0, 0 };
    for (int i = 0; i < rank; i++) {
        bytes d = { NULL, 0, 0 };
        if (dim[i]) put_int(&d, 1, dim[i]);
        else put_text(&d, 2, "N");
        put_message(&shape, 1, &d);
    }
    put_int(&t, 1, type);
    put_message(&t, 2, &shape);
    put_message(&kind, 1, &t);
    put_text(&info, 1, name);
    put_message(&info, 2, &kind);
    put_message(&m->graph, field, &info);
}

static inline void add_input(onnx *m, const char *name, int rank, const int *dim)
{
    add_port(m, 11, name, CVN_ONNX_FLOAT, rank, dim);
}

static inline void add_output(onnx *m, const char *name)
{
    add_port(m, 12, name, CVN_ONNX_FLOAT, 0, NULL);
}

/* in and out: names with blanks between them. */
static inline bytes node(const char *type, const char *in, const char *out)
{
    bytes n = { NULL, 0, 0 };
    for (int field = 1; field < 3; field++)
        for (const char *p = field == 1 ? in : out; *p;) {
            const size_t length = strcspn(p, " ");
            put_data(&n, field, p, p[0] == '-' && length == 1 ? 0 : length);
            p += length + (p[length] != 0);
        }
    put_text(&n, 3, out);
    put_text(&n, 4, type);
    return n;
}

static inline void attribute_ints(bytes *n, const char *name, int count, const long long *values)
{
    bytes a = { NULL, 0, 0 };
    put_text(&a, 1, name);
    for (int i = 0; i < count; i++) put_int(&a, 8, values[i]);
    put_int(&a, 20, 7);
    put_message(n, 5, &a);
}

static inline void attribute_int(bytes *n, const char *name, long long value)
{
    bytes a = { NULL, 0, 0 };
    put_text(&a, 1, name);
    put_int(&a, 3, value);
    put_int(&a, 20, 2);
    put_message(n, 5, &a);
}

static inline void add_node(onnx *m, bytes n) { put_message(&m->graph, 1, &n); }

static inline void add(onnx *m, const char *type, const char *in, const char *out)
{
    add_node(m, node(type, in, out));
}

static inline bytes finish(onnx *m)
{
    bytes b = { NULL, 0, 0 }, opset = { NULL, 0, 0 };
    put_int(&b, 1, 8);
    put_text(&m->graph, 2, "graph");
    put_message(&b, 7, &m->graph);
    put_int(&opset, 2, m->opset ? m->opset : 17);
    put_message(&b, 8, &opset);
    return b;
}

static inline int says(const cvn_net *net, const char *text)
{
    return strstr(cvn_error(net), text) != NULL;
}

static inline cvn_result load(cvn_net *net, const bytes *b, cvn_onnx_model *info)
{
    return cvn_load_onnx_memory(net, b->p, b->n, NULL, info);
}

#endif

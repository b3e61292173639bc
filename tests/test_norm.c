/* test_norm.c - layer, instance, group, L2 and local response normalisation: against the double
 * reference, PyTorch's values, and what else their documentation promises. TEST_QUICK: fewer
 * cases. */
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/norm.h"

#ifdef TEST_QUICK
    #define RANDOM_CASES 10
#else
    #define RANDOM_CASES 40
#endif

static void start_case(layer_case *c, cvn_shape x,
                       cvn_node (*build)(cvn_net *, const cvn_node *, const layer_case *),
                       ref_forward forward)
{
    memset(c, 0, sizeof *c);
    c->n = x.dim[0];
    c->inputs = 1;
    c->x[0] = c->y = x;
    c->build = build;
    c->forward = forward;
}

static const char *shape_text(cvn_shape s, char *text)      /* text: 64 bytes */
{
    int at = 0;
    for (int i = 0; i < s.rank; i++)
        at += snprintf(text + at, 64 - (size_t)at, i ? ", %d" : "[%d", s.dim[i]);
    snprintf(text + at, 64 - (size_t)at, "]");
    return text;
}

/* ================================================================================================
 * layer, instance, group: c->kind; c->axis normalised axes or groups; c->norm.eps, no_affine;
 * c->a: 1 without bias
 * ============================================================================================== */

enum { LAYER, INSTANCE, GROUP };

static cvn_node build_norm(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    if (c->kind == LAYER) {
        cvn_layernorm_desc d = cvn_layernorm_defaults();
        d.axes = c->axis;
        d.eps = c->norm.eps;
        d.no_affine = c->norm.no_affine;
        d.no_bias = c->a > 0;
        return cvn_layernorm_ex(net, x[0], &d);
    }
    if (c->kind == INSTANCE) {
        cvn_instancenorm_desc d = cvn_instancenorm_defaults();
        d.eps = c->norm.eps;
        d.affine = !c->norm.no_affine;
        return cvn_instancenorm_ex(net, x[0], &d);
    } else {
        cvn_groupnorm_desc d = cvn_groupnorm_defaults();
        d.groups = c->axis;
        d.eps = c->norm.eps;
        d.no_affine = c->norm.no_affine;
        return cvn_groupnorm_ex(net, x[0], &d);
    }
}

static cvn_node build_short(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    if (c->kind == LAYER) return cvn_layernorm(net, x[0]);
    if (c->kind == INSTANCE) return cvn_instancenorm(net, x[0]);
    return cvn_groupnorm(net, x[0], c->axis);
}

/* The group of element i of the input, and the weight that it is multiplied by. */
static int group_of(const layer_case *c, int i, int *weight)
{
    const cvn_shape s = c->x[0];
    int inner = 1;
    int sample, channel;
    if (c->kind == LAYER) {
        for (int k = s.rank - c->axis; k < s.rank; k++) inner *= s.dim[k];
        *weight = i % inner;
        return i / inner;
    }
    for (int k = 2; k < s.rank; k++) inner *= s.dim[k];
    sample = i / inner / s.dim[1];
    channel = i / inner % s.dim[1];
    *weight = channel;
    if (c->kind == INSTANCE) return sample * s.dim[1] + channel;
    return sample * c->axis + channel / (s.dim[1] / c->axis);
}

static void ref_groups(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    const int count = ref_count(c->x[0]);
    const double eps = c->norm.eps > 0 ? (double)c->norm.eps : 1e-5;
    double *mean = (double *)ref_alloc((size_t)count, sizeof *mean);
    double *var = (double *)ref_alloc((size_t)count, sizeof *var);
    int *members = (int *)ref_alloc((size_t)count, sizeof *members);
    int w;
    (void)training;
    for (int i = 0; i < count; i++) {
        mean[group_of(c, i, &w)] += x[0][i];
        members[group_of(c, i, &w)]++;
    }
    for (int g = 0; g < count; g++) if (members[g]) mean[g] /= members[g];
    for (int i = 0; i < count; i++) {
        const int g = group_of(c, i, &w);
        var[g] += (x[0][i] - mean[g]) * (x[0][i] - mean[g]) / members[g];
    }
    for (int i = 0; i < count; i++) {
        const int g = group_of(c, i, &w);
        y[i] = (x[0][i] - mean[g]) / sqrt(var[g] + eps);
        if (!c->norm.no_affine) y[i] *= p[0][w];
        if (!c->norm.no_affine && !(c->a > 0)) y[i] += p[1][w];
    }
    free(mean);
    free(var);
    free(members);
}

static void check_norm(cvn_shape x, int kind, int number, int no_affine, int no_bias, int big)
{
    static const char *const names[] = { "layer norm", "instance norm", "group norm" };
    layer_case c;
    char text[64];
    start_case(&c, x, build_norm, ref_groups);
    c.kind = kind;
    c.axis = number;
    c.norm.no_affine = no_affine;
    c.norm.eps = no_affine ? 0 : 0.01f;
    c.a = no_bias ? 1.0f : 0.0f;
    c.big = big;
    snprintf(c.text, sizeof c.text, "%s %s, %d%s%s", names[kind], shape_text(x, text), number,
             no_affine ? ", no affine" : "", no_bias ? ", no bias" : "");
    layer_check(&c);
}

static void layer_norm(void)
{
    check_norm(ref_shape(2, 3, 5, 0, 0), LAYER, 1, 0, 0, 0);
    check_norm(ref_shape(3, 2, 4, 9, 0), LAYER, 1, 0, 0, 0);
    check_norm(ref_shape(3, 3, 3, 16, 0), LAYER, 1, 1, 0, 0);
    check_norm(ref_shape(3, 2, 3, 33, 0), LAYER, 1, 0, 1, 0);
    check_norm(ref_shape(3, 2, 3, 5, 0), LAYER, 2, 0, 0, 0);
    check_norm(ref_shape(4, 2, 3, 4, 5), LAYER, 3, 0, 0, 0);
    check_norm(ref_shape(4, 2, 3, 2, 7), LAYER, 2, 0, 0, 0);
    check_norm(ref_shape(4, 3, 2, 3, 4), LAYER, 1, 1, 0, 0);
    /* more than a block of weights; enough rows for several threads */
    check_norm(ref_shape(3, 4, 50, 130, 0), LAYER, 1, 0, 0, 1);
    check_norm(ref_shape(4, 2, 20, 25, 20), LAYER, 3, 0, 0, 1);
}

static void instance_norm(void)
{
    check_norm(ref_shape(4, 2, 3, 4, 5), INSTANCE, 0, 1, 0, 0);
    check_norm(ref_shape(4, 3, 2, 3, 3), INSTANCE, 0, 0, 0, 0);
    check_norm(ref_shape(4, 1, 1, 1, 2), INSTANCE, 0, 0, 0, 0);
    check_norm(ref_shape(3, 2, 4, 9, 0), INSTANCE, 0, 0, 0, 0);
    check_norm(ref_shape(4, 3, 16, 31, 33), INSTANCE, 0, 0, 0, 1);
    check_norm(ref_shape(4, 2, 3, 70, 71), INSTANCE, 0, 1, 0, 1);
}

static void group_norm(void)
{
    check_norm(ref_shape(4, 2, 6, 3, 4), GROUP, 2, 0, 0, 0);
    check_norm(ref_shape(4, 3, 4, 2, 5), GROUP, 1, 0, 0, 0);
    check_norm(ref_shape(4, 2, 4, 3, 3), GROUP, 4, 1, 0, 0);
    check_norm(ref_shape(3, 2, 6, 7, 0), GROUP, 3, 0, 0, 0);
    check_norm(ref_shape(2, 3, 8, 0, 0), GROUP, 2, 0, 0, 0);
    check_norm(ref_shape(2, 5, 150, 0, 0), GROUP, 3, 0, 0, 0);
    check_norm(ref_shape(4, 2, 3, 1, 1), GROUP, 1, 0, 0, 0);
    check_norm(ref_shape(4, 3, 32, 20, 21), GROUP, 8, 0, 0, 1);
}

static void norms_random(void)
{
    unsigned state = 5;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const int kind = ref_below(&state, 3);
        const int groups = 1 + ref_below(&state, 3);
        cvn_shape x = ref_shape(2 + ref_below(&state, 3), 1 + ref_below(&state, 3),
                                groups * (2 + ref_below(&state, 3)), 2 + ref_below(&state, 6),
                                1 + ref_below(&state, 9));
        if (kind == INSTANCE && x.rank < 3) x.rank = 3;
        for (int k = x.rank; k < 4; k++) x.dim[k] = 0;
        check_norm(x, kind, kind == LAYER ? 1 + ref_below(&state, x.rank - 1) : groups,
                   ref_below(&state, 3) == 0, kind == LAYER && ref_below(&state, 3) == 0, 0);
    }
}

static void norms_usual(void)
{
    layer_case c;
    for (int kind = 0; kind < 3; kind++) {
        start_case(&c, ref_shape(4, 2, 4, 3, 5), build_short, ref_groups);
        c.kind = kind;
        c.axis = kind == GROUP ? 2 : 1;
        c.norm.no_affine = kind == INSTANCE;        /* as PyTorch's default */
        snprintf(c.text, sizeof c.text, "short call %d", kind);
        layer_check(&c);
        library_check(&c);
    }
}

/* Names, first values and number of parameters; a large mean loses no digits. */
static void norms_parameters(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 6, 4, 4);
    const cvn_node a = cvn_layernorm(net, x);
    const cvn_node b = cvn_instancenorm(net, a);
    const cvn_node y = cvn_groupnorm(net, b, 3);
    float in[96];
    double worst = 0;
    cvn_keep(net, a);
    cvn_output(net, y);
    for (int i = 0; i < 96; i++) in[i] = 10000.0f + (float)(i % 4);
    if (CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net))) {
        CHECK(cvn_param_count(net) == 4);
        CHECK(strcmp(cvn_param_at(net, 0).name, "ln1.weight") == 0);
        CHECK(strcmp(cvn_param_at(net, 1).name, "ln1.bias") == 0);
        CHECK(strcmp(cvn_param_at(net, 2).name, "gn1.weight") == 0);
        CHECK(cvn_param_at(net, 0).count == 4 && cvn_param_at(net, 2).count == 6);
        for (int i = 0; i < 4; i++)
            CHECK_NEAR(cvn_param_at(net, i).value[0], i % 2 ? 0 : 1, 0);
        CHECK(cvn_set_input(net, x, in, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
        for (int i = 0; i < 96; i++) {
            const double want = ((double)(i % 4) - 1.5) / sqrt(1.25 + 1e-5);
            const double e = fabs((double)cvn_value(net, a)[i] - want);
            worst = e > worst ? e : worst;
        }
        CHECKF(worst < 1e-5, "off by %g", worst);
    }
    cvn_destroy(net);
}

/* ================================================================================================
 * L2 and local response
 * ============================================================================================== */

static cvn_node build_l2norm(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_l2norm(net, x[0], c->axis);
}

static void ref_l2norm(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    const int count = ref_count(c->x[0]);
    const int length = c->x[0].dim[c->axis];
    int inner = 1;
    (void)training;
    (void)p;
    for (int i = c->axis + 1; i < c->x[0].rank; i++) inner *= c->x[0].dim[i];
    for (int i = 0; i < count; i++) {
        const int first = i / inner / length * length * inner + i % inner;
        double square = 0;
        for (int k = 0; k < length; k++)
            square += x[0][first + k * inner] * x[0][first + k * inner];
        y[i] = x[0][i] / (sqrt(square) > 1e-12 ? sqrt(square) : 1e-12);
    }
}

static void l2_norm(void)
{
    static const int shapes[][6] = { /* rank, shape, axis */
                                     { 2, 3, 7, 0, 0, 1 },  { 3, 2, 5, 4, 0, 1 },
                                     { 3, 2, 5, 4, 0, 2 },  { 4, 2, 3, 4, 5, 1 },
                                     { 4, 2, 3, 4, 5, 2 },  { 4, 2, 3, 4, 5, 3 },
                                     { 4, 1, 4, 9, 11, 1 }, { 4, 3, 33, 30, 31, 1 }
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int *const s = shapes[i];
        layer_case c;
        char text[64];
        start_case(&c, ref_shape(s[0], s[1], s[2], s[3], s[4]), build_l2norm, ref_l2norm);
        c.axis = s[5];
        c.big = ref_count(c.x[0]) > 2000;
        snprintf(c.text, sizeof c.text, "l2norm %s, axis %d", shape_text(c.x[0], text), c.axis);
        layer_check(&c);
    }
}

/* A vector shorter than eps is divided by eps, and so is its gradient. */
static void l2_norm_tiny(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 2);
    const cvn_node y = cvn_l2norm(net, x, 1);
    const float in[4] = { 0, 0, 3e-13f, 4e-13f };
    const float g[4] = { 1, 2, 3, 4 };
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    if (CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net)) &&
        CHECK(cvn_set_input(net, x, in, 2) == CVN_OK && cvn_forward(net) == CVN_OK)) {
        const float *const v = cvn_value(net, y);
        CHECK_NEAR(v[0], 0, 0);
        CHECK_NEAR(v[2], 0.3, 1e-6);
        CHECK_NEAR(v[3], 0.4, 1e-6);
        CHECKF(cvn_backward_from(net, y, g) == CVN_OK, "%s", cvn_error(net));
        for (int i = 0; i < 4; i++)
            CHECK_NEAR((double)cvn_gradient(net, x)[i] * 1e-12, i + 1, 1e-5);
    }
    cvn_destroy(net);
}

/* c->axis: size; conv.groups: 0 the defaults, else the strong values below */
static const float strong[][3] = { /* alpha, beta, k */
                                   { 0, 0, 0 }, { 2, 0.75f, 2 }, { 3, 0.5f, 1 }, { 1, 1.3f, 0.5f }
};

static cvn_node build_lrn(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    cvn_lrn_desc d = cvn_lrn_defaults();
    if (!c->conv.groups) return cvn_lrn(net, x[0], c->axis);
    d.size = c->axis;
    d.alpha = strong[c->conv.groups][0];
    d.beta = strong[c->conv.groups][1];
    d.k = strong[c->conv.groups][2];
    return cvn_lrn_ex(net, x[0], &d);
}

static void ref_lrn(const layer_case *c, int training, double *const *x, double *const *p,
                    double *y)
{
    const int count = ref_count(c->x[0]);
    const int channels = c->x[0].dim[1];
    const int inner = count / (c->n * channels);
    const int set = c->conv.groups;
    const double alpha = set ? (double)strong[set][0] : 1e-4;
    const double beta = set ? (double)strong[set][1] : 0.75;
    const double k = set ? (double)strong[set][2] : 1;
    (void)training;
    (void)p;
    for (int i = 0; i < count; i++) {
        const int channel = i / inner % channels;
        double square = 0;
        for (int o = -(c->axis / 2); o <= (c->axis - 1) / 2; o++)
            if (channel + o >= 0 && channel + o < channels)
                square += x[0][i + o * inner] * x[0][i + o * inner];
        y[i] = x[0][i] * pow(k + alpha * square / c->axis, -beta);
    }
}

static void local_response_norm(void)
{
    static const int cases[][6] = { /* shape, size, set */
                                    { 2, 8, 3, 4, 5, 0 },  { 2, 8, 3, 4, 5, 1 },
                                    { 2, 7, 2, 3, 4, 1 },  { 1, 5, 3, 3, 2, 2 },
                                    { 2, 3, 2, 2, 9, 3 },  { 3, 4, 1, 5, 1, 3 },
                                    { 2, 6, 9, 11, 3, 1 }, { 3, 20, 30, 31, 5, 1 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int *const s = cases[i];
        layer_case c;
        char text[64];
        start_case(&c, ref_shape(4, s[0], s[1], s[2], s[3]), build_lrn, ref_lrn);
        c.axis = s[4];
        c.conv.groups = s[5];
        c.big = ref_count(c.x[0]) > 2000;
        snprintf(c.text, sizeof c.text, "lrn %s, size %d, set %d", shape_text(c.x[0], text),
                 c.axis, s[5]);
        layer_check(&c);
    }
}

/* ================================================================================================
 * PyTorch's values, refusals
 * ============================================================================================== */

static cvn_node build_golden(cvn_net *net, const char *name, cvn_node x)
{
    cvn_layernorm_desc layer = cvn_layernorm_defaults();
    cvn_instancenorm_desc instance = cvn_instancenorm_defaults();
    cvn_lrn_desc lrn = cvn_lrn_defaults();
    const cvn_node none = { 0 };
    instance.affine = 1;
    if (strcmp(name, "layernorm") == 0) return cvn_layernorm(net, x);
    if (strcmp(name, "layernorm_image") == 0) {
        layer.axes = 3;
        return cvn_layernorm_ex(net, x, &layer);
    }
    if (strcmp(name, "layernorm_no_bias") == 0) {
        layer.no_bias = 1;
        return cvn_layernorm_ex(net, x, &layer);
    }
    if (strcmp(name, "instancenorm") == 0) return cvn_instancenorm(net, x);
    if (strcmp(name, "instancenorm_affine") == 0) return cvn_instancenorm_ex(net, x, &instance);
    if (strcmp(name, "groupnorm") == 0) return cvn_groupnorm(net, x, 3);
    if (strcmp(name, "groupnorm_vector") == 0) return cvn_groupnorm(net, x, 2);
    if (strcmp(name, "l2norm") == 0) return cvn_l2norm(net, x, 1);
    if (strcmp(name, "l2norm_last") == 0) return cvn_l2norm(net, x, 2);
    if (strcmp(name, "lrn") == 0) return cvn_lrn(net, x, 5);
    if (strcmp(name, "lrn_strong") == 0) {
        lrn.size = 3;
        lrn.alpha = 2;
        return cvn_lrn_ex(net, x, &lrn);
    }
    if (strcmp(name, "lrn_even") != 0) return none;
    lrn.size = 4;
    lrn.alpha = 0.5f;
    lrn.beta = 0.6f;
    lrn.k = 2;
    return cvn_lrn_ex(net, x, &lrn);
}

static void check_floats(const char *what, const float *got, const float *want, int count)
{
    double worst = 0;
    int at = 0;
    if (!want || !CHECKF(got != NULL, "%s cannot be read", what)) return;
    for (int i = 0; i < count; i++) {
        const double e = fabs((double)got[i] - (double)want[i]) / (1 + fabs((double)want[i]));
        if (e <= worst) continue;
        worst = e < HUGE_VAL ? e : HUGE_VAL;
        at = i;
    }
    CHECKF(worst <= 2e-5, "%s[%d] is %.9g, PyTorch has %.9g", what, at, (double)got[at],
           (double)want[at]);
}

static void check_golden(const norm_golden *g)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, g->x_dim + 1, g->rank - 1);
    const cvn_node y = build_golden(net, g->name, x);
    int count = 1;
    for (int i = 0; i < g->rank; i++) count *= g->x_dim[i];
    cvn_name(net, y, "layer");
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    if (CHECKF(cvn_build(net, g->x_dim[0]) == CVN_OK, "%s", cvn_error(net))) {
        const cvn_param w = cvn_param_find(net, "layer.weight");
        const cvn_param b = cvn_param_find(net, "layer.bias");
        CHECK(!!w.value == !!g->weight && !!b.value == !!g->bias);
        if (w.value) memcpy(w.value, g->weight, w.count * sizeof(float));
        if (b.value) memcpy(b.value, g->bias, b.count * sizeof(float));
        CHECK(cvn_set_input(net, x, g->x, g->x_dim[0]) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
        check_floats("y", cvn_value(net, y), g->y, count);
        CHECKF(cvn_backward_from(net, y, g->g) == CVN_OK, "%s", cvn_error(net));
        check_floats("dx", cvn_gradient(net, x), g->dx, count);
        check_floats("dweight", w.gradient, g->dweight, (int)w.count);
        check_floats("dbias", b.gradient, g->dbias, (int)b.count);
    }
    cvn_destroy(net);
}

static void pytorch(void)
{
    for (size_t i = 0; i < sizeof norm_goldens / sizeof norm_goldens[0]; i++) {
        test_case("PyTorch's %s", norm_goldens[i].name);
        check_golden(&norm_goldens[i]);
    }
}

enum { REFUSALS = 10 };

static cvn_node refused(cvn_net *net, int i, cvn_node image, cvn_node vector)
{
    cvn_layernorm_desc layer = cvn_layernorm_defaults();
    cvn_lrn_desc lrn = cvn_lrn_defaults();
    lrn.size = 5;
    switch (i) {
    case 0: layer.axes = 4; return cvn_layernorm_ex(net, image, &layer);
    case 1: layer.eps = -1; return cvn_layernorm_ex(net, image, &layer);
    case 2: return cvn_instancenorm(net, vector);
    case 3: return cvn_instancenorm(net, cvn_global_avgpool(net, image));
    case 4: return cvn_groupnorm(net, image, 3);
    case 5: return cvn_groupnorm(net, image, 0);
    case 6: return cvn_l2norm(net, image, 4);
    case 7: return cvn_l2norm(net, image, 0);
    case 8: return cvn_lrn(net, image, 0);
    default: lrn.k = -1; return cvn_lrn_ex(net, image, &lrn);
    }
}

static void refusals(void)
{
    for (int i = 0; i < REFUSALS; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node image = cvn_input(net, 4, 6, 6);
        const cvn_node vector = cvn_input_vector(net, 5);
        test_case("refusal %d", i);
        CHECK(refused(net, i, image, vector).id == 0);
        CHECKF(strlen(cvn_error(net)) > 15, "'%s'", cvn_error(net));
        CHECK(cvn_build(net, 1) < 0);
        cvn_destroy(net);
    }
}

int main(void)
{
    RUN(layer_norm);
    RUN(instance_norm);
    RUN(group_norm);
    RUN(norms_random);
    RUN(norms_usual);
    RUN(norms_parameters);
    RUN(l2_norm);
    RUN(l2_norm_tiny);
    RUN(local_response_norm);
    RUN(pytorch);
    RUN(refusals);
    return test_done();
}

/* test_history.c - room >>history: entries, CSV that gives every float back, well-formed SVG for
 * any values, the lines of cvn_print_progress. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"

#define SAMPLES 8
#define MOST 300

static char text[200000];

/* A regression net; its history has `epochs` entries, with validation or without. */
static cvn_net *trained(int epochs, int validate)
{
    static float x[SAMPLES * 2], y[SAMPLES];
    cvn_net *net = cvn_create(NULL);
    cvn_fit_options o = cvn_fit_defaults();
    cvn_node out;
    cvn_data d;
    memset(&d, 0, sizeof d);
    for (int i = 0; i < SAMPLES; i++) {
        x[2 * i] = (float)i / (float)SAMPLES;
        x[2 * i + 1] = (float)(i % 2);
        y[i] = x[2 * i] - x[2 * i + 1];
    }
    d.count = SAMPLES;
    d.images = x;
    d.targets = y;
    out = cvn_dense(net, cvn_input_vector(net, 2), 1);
    cvn_mse_loss(net, out, cvn_target(net, out));
    CHECKF(cvn_build(net, SAMPLES) == CVN_OK, "%s", cvn_error(net));
    o.epochs = epochs;
    CHECKF(cvn_fit(net, &d, validate ? &d : NULL, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_history_count(net) == epochs);
    return net;
}

/* Reads a whole file into `text`; returns its length. */
static size_t read_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t n = 0;
    if (CHECKF(f != NULL, "cannot open %s", path)) {
        n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
    }
    text[n] = 0;
    return n;
}

static int same_float(float a, float b) { return a == b || (a != a && b != b); }

static void check_entry(const cvn_history *a, const cvn_history *b)
{
    CHECK(same_float(a->loss, b->loss) && same_float(a->accuracy, b->accuracy));
    CHECK(same_float(a->valid_loss, b->valid_loss) &&
          same_float(a->valid_accuracy, b->valid_accuracy));
    CHECK(same_float(a->lr, b->lr) && same_float(a->seconds, b->seconds));
}

/* Saves the CSV, reads it back by its definition and compares with every entry. */
static void check_csv(cvn_net *net)
{
    const char *p = text;
    CHECKF(cvn_history_save_csv(net, "build/test_history.csv") == CVN_OK, "%s", cvn_error(net));
    read_text("build/test_history.csv");
    CHECK(strncmp(p, "epoch,loss,accuracy,valid_loss,valid_accuracy,lr,seconds\n", 57) == 0);
    p = strchr(p, '\n');
    for (int i = 0; p && i < cvn_history_count(net); i++) {
        const cvn_history expected = cvn_history_at(net, i);
        cvn_history got;
        float cell[6];
        char *end;
        CHECK(strtol(p + 1, &end, 10) == i + 1);
        for (int k = 0; k < 6; k++) {
            CHECK(*end == ',');
            p = end + 1;
            cell[k] = *p == ',' || *p == '\n' ? (float)NAN : (float)strtod(p, &end);
            if (*p == ',' || *p == '\n') end = text + (p - text);
        }
        CHECK(*end == '\n');
        p = end;
        got.loss = cell[0];
        got.accuracy = cell[1];
        got.valid_loss = cell[2];
        got.valid_accuracy = cell[3];
        got.lr = cell[4];
        got.seconds = cell[5];
        check_entry(&got, &expected);
    }
    CHECK(p && p[0] == '\n' && p[1] == 0);
}

/* Occurrences of a part in `text`. */
static int occurrences(const char *part)
{
    int n = 0;
    for (const char *p = strstr(text, part); p; p = strstr(p + 1, part)) n++;
    return n;
}

/* Tags are closed in order, attributes are quoted, no number is anything but digits. */
static void check_well_formed(void)
{
    int depth = 0, deepest = 0;
    for (const char *p = strchr(text, '<'); p; p = strchr(p + 1, '<')) {
        const char *end = strchr(p, '>');
        int quotes = 0;
        if (!CHECK(end != NULL)) return;
        for (const char *q = p + 1; q < end; q++) {
            quotes += *q == '"';
            CHECK(*q != '<' && *q != '&');
        }
        CHECK(quotes % 2 == 0);
        if (p[1] == '/') depth--;
        else if (end[-1] != '/') depth++;
        CHECK(depth >= 0);
        if (depth > deepest) deepest = depth;
    }
    CHECK(depth == 0 && deepest == 2);
    CHECK(!strstr(text, "nan") && !strstr(text, "inf") && !strstr(text, "script") &&
          !strstr(text, "href"));
}

/* Saves the SVG and checks what holds for each: `panels` of them, dots inside the picture. */
static void check_svg(cvn_net *net, int panels)
{
    int width = 0, height = 0;
    size_t n;
    CHECKF(cvn_history_save_svg(net, "build/test_history.svg") == CVN_OK, "%s", cvn_error(net));
    n = read_text("build/test_history.svg");
    CHECK(strncmp(text, "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 40) == 0);
    CHECK(n > 7 && strcmp(text + n - 7, "</svg>\n") == 0);
    CHECK(n < sizeof text - 1);
    check_well_formed();
    CHECK(occurrences("<path ") == 2 * panels);
    CHECK(occurrences(">Loss<") == 1 && occurrences(">Accuracy, %<") == panels - 1);
    CHECK(occurrences(">epoch<") == panels);
    CHECK(sscanf(strstr(text, "viewBox"), "viewBox=\"0 0 %d %d\"", &width, &height) == 2);
    for (const char *p = strstr(text, "<circle"); p; p = strstr(p + 1, "<circle")) {
        int x, y;
        CHECK(sscanf(p, "<circle cx=\"%d\" cy=\"%d\"", &x, &y) == 2);
        CHECK(x >= 0 && x <= width && y >= 0 && y <= height);
    }
}

static void entries(void)
{
    cvn_net *net = trained(3, 1);
    for (int i = 0; i < 3; i++) {
        const cvn_history h = cvn_history_at(net, i);
        CHECK(h.loss >= 0 && h.valid_loss >= 0 && h.lr > 0 && h.seconds >= 0);
        CHECK(h.accuracy != h.accuracy && h.valid_accuracy != h.valid_accuracy);
    }
    CHECK(cvn_history_at(net, 3).loss != cvn_history_at(net, 3).loss);
    CHECK(cvn_history_at(net, -1).seconds != cvn_history_at(net, -1).seconds);
    CHECK(cvn_history_at(NULL, 0).loss != cvn_history_at(NULL, 0).loss);
    CHECK(cvn_history_count(NULL) == 0);
    check_csv(net);
    check_svg(net, 1);
    CHECK(strstr(text, ">validation ") != NULL);
    cvn_destroy(net);
    net = trained(2, 0);
    check_csv(net);
    CHECK(strstr(text, ",,,,") != NULL);
    check_svg(net, 1);
    CHECK(strstr(text, ">training ") != NULL && strstr(text, ">validation ") == NULL);
    cvn_destroy(net);
}

/* Values that no training of two seconds makes, put into the entries of the net. */
static void any_values(void)
{
    static const float odd[] = { 0.0f,        1.0f,    0.1f,    1e-3f,  1.0f / 3,
                                 16777217.0f, FLT_MAX, FLT_MIN, 1e-45f, -2.5f };
    static const int counts[] = { 1, 2, 11, 30, 31, MOST };
    cvn_net *net = trained(MOST, 0);
    for (int round = 0; round < 6 * 8; round++) {
        const int n = counts[round % 6];
        net->history_count = n;
        for (int i = 0; i < n; i++) {
            cvn_history *h = &net->history[i];
            h->loss = 3.0f / (float)(i + 1);
            h->valid_loss = h->loss + 0.1f;
            h->accuracy = 1.0f - 1.0f / (float)(i + 2);
            h->valid_accuracy = round / 6 == 1 ? (float)NAN : h->accuracy * 0.9f;
            if (round / 6 == 2) h->loss = odd[i % 10];
            if (round / 6 == 3) h->loss = h->valid_loss = 0.5f;
            if (round / 6 == 4)
                h->loss = i % 3 ? (float)NAN : i % 2 ? (float)INFINITY : -(float)INFINITY;
            if (round / 6 == 5) h->loss = h->valid_loss = (float)NAN;
            if (round / 6 == 6) h->loss = h->valid_loss = 0;
            if (round / 6 == 7) h->accuracy = h->valid_accuracy = 1;
        }
        check_csv(net);
        check_svg(net, 2);
    }
    net->history_count = 2;
    net->history[0].loss = net->history[1].loss = (float)NAN;
    net->history[0].valid_loss = net->history[1].valid_loss = (float)NAN;
    net->history[0].accuracy = net->history[1].accuracy = (float)NAN;
    net->history[0].valid_accuracy = net->history[1].valid_accuracy = (float)NAN;
    check_svg(net, 1);                                      /* nothing but the axes */
    CHECK(!strstr(text, "<circle"));
    net->history_count = MOST;
    cvn_destroy(net);
}

/* The picture of a range test: one curve, a mark, a tick a decade. */
static void range_picture(void)
{
    static cvn_lr_range_result r;
    static const char *const path = "build/test_history.svg";
    cvn_net *net = cvn_create(NULL);
    for (int round = 0; round < 4; round++) {
        int x = 0;
        memset(&r, 0, sizeof r);
        r.count = round == 1 ? 2 : 81;
        for (int i = 0; i < r.count; i++) {
            r.lr[i] = (float)pow(10.0, -7 + 0.1 * i);
            r.loss[i] = round == 2 ? 0 : 2.0f - 0.01f * (float)i;
        }
        r.suggested = round == 3 ? 0 : r.lr[r.count / 2];
        CHECKF(cvn_lr_range_save_svg(net, &r, path) == CVN_OK, "%s", cvn_error(net));
        read_text(path);
        check_well_formed();
        CHECK(occurrences("<path ") == 2 && occurrences(">learning rate<") == 1);
        CHECK(occurrences(">1e") == (round == 1 ? 1 : 9) && occurrences(">1e-7<") == 1);
        CHECK(occurrences(">suggested ") == (round != 3));
        if (round == 0 && CHECK(strstr(text, " M") != NULL))
            CHECK(sscanf(strstr(text, "M"), "M%d", &x) == 1 && x == CVNI_PANEL_X);
    }
    CHECK(cvn_lr_range_save_svg(net, NULL, path) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_lr_range_save_svg(net, &r, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_lr_range_save_svg(NULL, &r, path) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_lr_range_save_svg(net, &r, "build/no-such-folder/a.svg") == CVN_ERROR_FILE);
    r.lr[0] = 0;
    CHECK(cvn_lr_range_save_svg(net, &r, path) == CVN_ERROR_ARGUMENT);
    r.count = 1;
    CHECK(cvn_lr_range_save_svg(net, &r, path) == CVN_ERROR_STATE);
    cvn_destroy(net);
}

static void errors(void)
{
    cvn_net *net = cvn_create(NULL);
    FILE *full;
    CHECK(cvn_history_save_csv(net, "build/test_history.csv") == CVN_ERROR_STATE);
    CHECK(strstr(cvn_error(net), "history") != NULL);
    CHECK(cvn_history_save_svg(net, "build/test_history.svg") == CVN_ERROR_STATE);
    CHECK(cvn_history_save_csv(NULL, "build/test_history.csv") == CVN_ERROR_ARGUMENT);
    CHECK(cvn_history_save_svg(NULL, "build/test_history.svg") == CVN_ERROR_ARGUMENT);
    cvn_destroy(net);
    net = trained(1, 0);
    CHECK(cvn_history_save_csv(net, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_history_save_svg(net, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_history_save_csv(net, "build/no-such-folder/a.csv") == CVN_ERROR_FILE);
    CHECK(strstr(cvn_error(net), "build/no-such-folder/a.csv") != NULL);
    CHECK(cvn_history_save_svg(net, "build/no-such-folder/a.svg") == CVN_ERROR_FILE);
    full = fopen("/dev/full", "wb");                        /* Linux: every write fails */
    if (full) {
        fclose(full);
        CHECK(cvn_history_save_csv(net, "/dev/full") == CVN_ERROR_FILE);
        CHECK(cvn_history_save_svg(net, "/dev/full") == CVN_ERROR_FILE);
    }
    cvn_destroy(net);
}

/* Locales with a decimal comma, or a point of two bytes (U+066B). */
static void decimal_points(void)
{
    char buffer[32];
    strcpy(buffer, "-3,25e-07");
    cvni_to_point(buffer);
    CHECK(strcmp(buffer, "-3.25e-07") == 0);
    strcpy(buffer, "3\xd9\xab" "5");
    cvni_to_point(buffer);
    CHECK(strcmp(buffer, "3.5") == 0);
    CHECK(strcmp(cvni_float_text(0.001f, buffer), "0.001") == 0);
    CHECK(strcmp(cvni_float_text((float)NAN, buffer), "") == 0);
    CHECK(strcmp(cvni_float_text(-(float)INFINITY, buffer), "-inf") == 0);
}

static cvn_progress some_progress(void)
{
    cvn_progress p;
    memset(&p, 0, sizeof p);
    p.epoch = 3;
    p.epochs = 10;
    p.batch = 312;
    p.batches = 938;
    p.loss = 0.23451;
    p.accuracy = 0.9231;
    p.valid_loss = 0.20014;
    p.valid_accuracy = 0.93874;
    p.best_epoch = 3;
    p.samples_per_second = 5321.4;
    p.seconds = 42.4;
    p.seconds_left = 3723;
    return p;
}

static void progress_lines(void)
{
    char line[256];
    cvni_text t = { line, sizeof line, 0 };
    cvn_progress p = some_progress();
    cvni_print_bar(&t, &p);
    CHECKF(
        strcmp(
            line,
            " 3/10 [======>             ] 312/938  loss 0.2345   92.31 %  5321/s  ETA 1:02:03") ==
            0,
        "\"%s\"", line);
    t.length = 0;
    cvni_print_epoch(&t, &p);
    CHECKF(strcmp(line, "epoch  3/10  loss 0.2345   92.31 %  validation 0.2001   93.87 %  5321/s  "
                        "0:42  best") == 0,
           "\"%s\"", line);
    p.batch = 938;
    p.best_epoch = 2;
    p.loss = 1e-5;
    p.accuracy = p.valid_loss = p.valid_accuracy = (double)NAN;
    t.length = 0;
    cvni_print_bar(&t, &p);
    CHECKF(strcmp(line,
                  " 3/10 [====================] 938/938  loss 1.000e-05  5321/s  ETA 1:02:03") == 0,
           "\"%s\"", line);
    t.length = 0;
    cvni_print_epoch(&t, &p);
    CHECKF(strcmp(line, "epoch  3/10  loss 1.000e-05  5321/s  0:42") == 0, "\"%s\"", line);
    CHECK(cvn_print_progress(NULL, NULL) == 0);
}

/* A bar ends with a new line at the latest when the run does, whatever the run is. */
static void progress_events(void)
{
    char out[300];
    cvni_text t = { out, sizeof out, 0 };
    cvn_progress p = some_progress();
    p.batch = p.batches;
    cvni_print_event(&t, &p, 0);
    CHECK(t.length == 0);
    cvni_print_event(&t, &p, 1);
    CHECKF(strncmp(out, "\r 3/10 [=", 9) == 0 && t.length >= 79, "\"%s\"", out);
    for (int terminal = 0; terminal < 2; terminal++) {
        p = some_progress();
        p.event = CVN_EVENT_EPOCH;
        t.length = 0;
        cvni_print_event(&t, &p, terminal);
        CHECKF(strstr(out, "epoch  3/10") == out + terminal && out[t.length - 1] == '\n',
               "\"%s\"", out);
        p.event = CVN_EVENT_END;
        t.length = 0;
        cvni_print_event(&t, &p, terminal);
        CHECK(t.length == 0);
        p.result = CVN_STOPPED;
        cvni_print_event(&t, &p, terminal);
        CHECKF(strstr(out, "stopped in epoch 3, best epoch 3") && out[t.length - 1] == '\n',
               "\"%s\"", out);
        p.result = CVN_OK;              /* of a range test */
        p.best_epoch = 0;
        p.epoch = p.epochs = 1;
        t.length = 0;
        cvni_print_event(&t, &p, terminal);
        CHECKF(t.length > 0 && strstr(out, "epoch 1/1  loss 0.2345") && out[t.length - 1] == '\n',
               "\"%s\"", out);
    }
}

/* Ten redraws a second, whatever a batch takes; the last batch of an epoch always. */
static void redraws(void)
{
    static const double seconds[] = { 0.0001, 0.003, 0.07, 0.5 };
    for (int k = 0; k < 4; k++) {
        cvn_progress p = some_progress();
        int drawn = 0;
        p.epoch = 1;
        p.batches = 20000;
        for (p.batch = 1; p.batch < p.batches; p.batch++) {
            p.seconds = seconds[k] * p.batch;
            drawn += cvni_redraw(&p);
        }
        CHECK_NEAR(drawn, fmin(10 * p.seconds, p.batches - 1), 0.02 * drawn + 2);
        CHECK(cvni_redraw(&p));
    }
}

int main(void)
{
    RUN(entries);
    RUN(any_values);
    RUN(range_picture);
    RUN(errors);
    RUN(decimal_points);
    RUN(progress_lines);
    RUN(progress_events);
    RUN(redraws);
    return test_done();
}

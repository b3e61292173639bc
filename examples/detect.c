/* A detector from a file on a photo: Darknet's YOLO or an ONNX model, boxes drawn; a second.
 *     cc -O2 -fopenmp -o build/detect examples/detect.c -lstb -lm
 *     build/detect MODEL IMAGE OUT.png [WEIGHTS]
 * MODEL is a Darknet .cfg, its weights beside it under the same name with .weights, or an .onnx.
 * How an ONNX file tells its boxes is seen from its outputs: "scores" and "boxes" (SSD; faces),
 * cls_8, obj_8, bbox_8, ... (YuNet; faces), or one table [1, boxes, 5 + classes] (YOLOv5 to v7) or
 * [1, 4 + classes, boxes] (YOLOv8 and later). Names of the classes: MODEL with .names, or else
 * coco.names beside it. Prints a line a box: class, score, left, top, right, bottom. stb reads and
 * writes the pictures (Debian: libstb-dev). */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include <stb/stb_easy_font.h>
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 2000                   /* boxes before suppression */
#define CLASSES 1000

typedef struct image { unsigned char *pixels; int width, height; } image;    /* RGB */

typedef struct detector detector;
struct detector {
    cvn_net *net;
    cvn_onnx_model model;
    int height, width;              /* of the input */
    int letterbox, bgr;
    float mean, std;                /* of pixels 0..1 */
    float threshold;
    int (*find)(const detector *d, cvn_box *boxes);    /* in pixels of the input */
    int faces;
    char names[CLASSES][32];
};

/* ---- what the net says, as boxes ---- */

static int find_heads(const detector *d, cvn_box *boxes)
{
    return cvn_yolo_boxes(d->net, 0, d->threshold, boxes, MOST);
}

static const cvn_onnx_port *output(const detector *d, const char *name)
{
    for (int i = 0; i < d->model.output_count; i++)
        if (!strcmp(d->model.outputs[i].name, name)) return &d->model.outputs[i];
    return NULL;
}

static const float *value(const detector *d, const cvn_onnx_port *port)
{
    return cvn_value(d->net, port->node);
}

/* Offsets t[count] from the boxes that the face detectors of Linzaer's Ultra-Light-Fast-Generic
 * begin with: in each cell of four grids squares of two or three sizes. Replaced by centre and
 * sides as shares of the image; 0: not that many. */
static int add_priors(const detector *d, float (*t)[4], int count)
{
    static const float sides[4][3] = { { 10, 16, 24 }, { 32, 48, 0 }, { 64, 96, 0 },
                                       { 128, 192, 256 } };
    const float W = (float)d->width, H = (float)d->height;
    int n = 0;
    for (int level = 0; level < 4; level++) {
        const int cell = 8 << level, columns = (d->width + cell - 1) / cell;
        const int rows = (d->height + cell - 1) / cell, kinds = sides[level][2] > 0 ? 3 : 2;
        for (int i = 0; i < columns * rows * kinds && n < count; i++, n++) {
            const float w = fminf(sides[level][i % kinds] / W, 1);
            const float h = fminf(sides[level][i % kinds] / H, 1);
            const int column = i / kinds % columns, row = i / kinds / columns;
            t[n][0] = 0.1f * t[n][0] * w + ((float)column + 0.5f) * (float)cell / W;
            t[n][1] = 0.1f * t[n][1] * h + ((float)row + 0.5f) * (float)cell / H;
            t[n][2] = expf(0.2f * t[n][2]) * w;
            t[n][3] = expf(0.2f * t[n][3]) * h;
        }
    }
    return n == count;
}

/* Class 0 is the background. Corners from 0 to 1, or offsets: then some have right before left. */
static int find_ssd(const detector *d, cvn_box *boxes)
{
    const cvn_onnx_port *scores = output(d, "scores");
    float (*t)[4] = (float (*)[4])cvn_value(d->net, output(d, "boxes")->node);
    cvn_box_table table = { 0 };
    int count;
    table.boxes = scores->dim[1];
    table.classes = scores->dim[2] - 1;
    table.box = t[0];
    table.score = value(d, scores) + 1;
    table.score_row = scores->dim[2];
    table.corners = 1;
    for (int i = 0; i < table.boxes; i++) if (t[i][2] < t[i][0]) table.corners = 0;
    if (!table.corners && !add_priors(d, t, table.boxes)) return CVN_ERROR_UNSUPPORTED;
    count = cvn_table_boxes(&table, d->threshold, boxes, MOST);
    for (int i = 0; i < count; i++) {
        boxes[i].x1 *= (float)d->width;
        boxes[i].x2 *= (float)d->width;
        boxes[i].y1 *= (float)d->height;
        boxes[i].y2 *= (float)d->height;
    }
    return count;
}

/* Three grids with cells of 8, 16 and 32 pixels; a box is told from the corner of its cell. */
static int find_yunet(const detector *d, cvn_box *boxes)
{
    int count = 0;
    for (int cell = 8; cell <= 32; cell *= 2) {
        const char *const parts[3] = { "cls", "obj", "bbox" };
        const float *v[3];
        const int columns = d->width / cell;
        for (int k = 0; k < 3; k++) {
            char name[16];
            snprintf(name, sizeof name, "%s_%d", parts[k], cell);
            if (!output(d, name)) return CVN_ERROR_UNSUPPORTED;
            v[k] = value(d, output(d, name));
        }
        for (int i = 0; i < columns * (d->height / cell) && count < MOST; i++) {
            const float *t = v[2] + 4 * i;
            const float x = ((float)(i % columns) + t[0]) * (float)cell;
            const float y = ((float)(i / columns) + t[1]) * (float)cell;
            const float w = expf(t[2]) * (float)cell / 2, h = expf(t[3]) * (float)cell / 2;
            const cvn_box box = { x - w, y - h, x + w, y + h, sqrtf(v[0][i] * v[1][i]), 0 };
            if (box.score >= d->threshold) boxes[count++] = box;
        }
    }
    return count;
}

static int find_table(const detector *d, cvn_box *boxes)
{
    const cvn_onnx_port *port = &d->model.outputs[0];
    const int lines = port->dim[1] > port->dim[2];      /* a box a line, else a box a column */
    const float *v = value(d, port);
    cvn_box_table table = { 0 };
    table.boxes = lines ? port->dim[1] : port->dim[2];
    table.classes = lines ? port->dim[2] - 5 : port->dim[1] - 4;
    table.box = v;
    table.score = lines ? v + 5 : v + 4 * table.boxes;
    table.objectness = lines ? v + 4 : NULL;
    table.box_row = table.score_row = lines ? port->dim[2] : 1;
    table.box_column = table.score_column = lines ? 1 : table.boxes;
    return cvn_table_boxes(&table, d->threshold, boxes, MOST);
}

/* ---- load ---- */

/* MODEL's name with another ending, or a file beside it. */
static void beside(const char *model, const char *ending, const char *file, char *path, size_t size)
{
    const char *dot = strrchr(model, '.'), *slash = strrchr(model, '/');
    const int folder = slash ? (int)(slash - model) + 1 : 0;
    const int stem = dot && dot >= model + folder ? (int)(dot - model) : (int)strlen(model);
    snprintf(path, size, "%.*s%s", file ? folder : stem, model, file ? file : ending);
}

static void read_names(detector *d, const char *model)
{
    char path[1024];
    FILE *file;
    for (int i = 0; i < CLASSES; i++) snprintf(d->names[i], sizeof d->names[i], "class %d", i);
    if (d->faces) strcpy(d->names[0], "face");
    beside(model, ".names", NULL, path, sizeof path);
    file = fopen(path, "r");
    beside(model, NULL, "coco.names", path, sizeof path);
    if (!file && !d->faces) file = fopen(path, "r");
    for (int i = 0; file && i < CLASSES; i++) {
        char line[32];
        if (fscanf(file, " %31[^\r\n]%*[^\n]", line) != 1) break;
        memcpy(d->names[i], line, sizeof line);
    }
    if (file) fclose(file);
}

static cvn_result load_darknet(detector *d, const char *model, const char *weights)
{
    char path[1024];
    beside(model, ".weights", NULL, path, sizeof path);
    d->find = find_heads;
    return cvn_load_darknet(d->net, model, weights ? weights : path);
}

static cvn_result load_onnx(detector *d, const char *model)
{
    cvn_onnx_options options = cvn_onnx_defaults();
    cvn_onnx_input input = { NULL, 4, { 1, 3, 640, 640 }, NULL };
    cvn_result result = cvn_load_onnx_ex(d->net, model, &options, &d->model);
    options.inputs = &input;                            /* for files that leave the size open */
    options.input_count = 1;
    if (result == CVN_ERROR_ARGUMENT)
        result = cvn_load_onnx_ex(d->net, model, &options, &d->model);
    if (result != CVN_OK) return result;
    d->faces = output(d, "bbox_8") || output(d, "scores");
    if (d->faces) d->threshold = 0.6f;
    if (output(d, "bbox_8")) {
        d->find = find_yunet;
        d->bgr = 1;
        d->std = 1.0f / 255;                            /* pixels from 0 to 255 */
    } else if (output(d, "scores") && output(d, "boxes")) {
        d->find = find_ssd;
        d->mean = 127.0f / 255;
        d->std = 128.0f / 255;
    } else if (d->model.output_count == 1 && d->model.outputs[0].rank == 3) {
        d->find = find_table;
        d->letterbox = 1;
    }
    return CVN_OK;
}

/* The size of the input from the net itself. */
static cvn_result load(detector *d, const char *model, const char *weights)
{
    const char *ending = strrchr(model, '.');
    cvn_result result;
    cvn_shape input;
    d->net = cvn_create(NULL);
    d->std = 1;
    d->threshold = 0.3f;
    result = ending && !strcmp(ending, ".onnx") ? load_onnx(d, model)
                                                : load_darknet(d, model, weights);
    if (result != CVN_OK) return result;
    input = cvn_node_shape(d->net, d->model.input_count ? d->model.inputs[0].node
                                                        : cvn_find(d->net, "input1"));
    if (input.rank != 4 || input.dim[1] != 3 || !d->find) return CVN_ERROR_UNSUPPORTED;
    d->height = input.dim[2];
    d->width = input.dim[3];
    read_names(d, model);
    return cvn_build_infer(d->net, 1);
}

/* ---- detect ---- */

/* Boxes in pixels of the picture, the best one first; below 0 for an error. */
static int detect(const detector *d, const image *in, cvn_box *boxes)
{
    const size_t pixels = (size_t)d->height * (size_t)d->width;
    const float mean[3] = { d->mean, d->mean, d->mean }, std[3] = { d->std, d->std, d->std };
    unsigned char *small = (unsigned char *)malloc(3 * pixels);
    float *x = (float *)malloc(3 * pixels * sizeof(float));
    const cvn_node input = d->model.input_count ? d->model.inputs[0].node
                                                : cvn_find(d->net, "input1");
    int count = CVN_ERROR_MEMORY;
    if (small && x) {
        count = cvn_image_resize(in->pixels, in->height, in->width, 3, d->letterbox, small,
                                 d->height, d->width);
        if (count == CVN_OK)
            count = cvn_image_to_tensor(small, d->height, d->width, 3, mean, std, d->bgr, x);
        if (count == CVN_OK) count = cvn_set_input(d->net, input, x, 1);
        if (count == CVN_OK) count = cvn_forward_eval(d->net);
        if (count == CVN_OK) count = d->find(d, boxes);
        count = count > 0 ? cvn_nms(boxes, count, 0.45f, 1) : count;
        cvn_boxes_to_image(boxes, count, d->height, d->width, in->height, in->width, d->letterbox);
    }
    free(small);
    free(x);
    return count;
}

/* ---- draw ---- */

static void fill(image *p, int x1, int y1, int x2, int y2, const unsigned char color[3])
{
    for (int y = y1 < 0 ? 0 : y1; y < y2 && y < p->height; y++)
        for (int x = x1 < 0 ? 0 : x1; x < x2 && x < p->width; x++)
            memcpy(p->pixels + 3 * ((size_t)y * (size_t)p->width + (size_t)x), color, 3);
}

/* Letters are rectangles of stb_easy_font, four corners (x, y, z, color) each. */
static void write_text(image *p, int left, int top, int scale, char *text)
{
    static const unsigned char black[3] = { 0, 0, 0 };
    static struct { float x, y, z; unsigned char color[4]; } corners[4 * 1000];
    const int quads = stb_easy_font_print(0, 0, text, NULL, corners, sizeof corners);
    for (int i = 0; i < quads; i++)
        fill(p, left + scale * (int)corners[4 * i].x, top + scale * (int)corners[4 * i].y,
             left + scale * (int)corners[4 * i + 2].x, top + scale * (int)corners[4 * i + 2].y,
             black);
}

static void draw_box(image *p, const cvn_box *box, const char *name)
{
    static const unsigned char colors[6][3] = {
        { 255, 200, 0 },  { 0, 220, 120 },   { 90, 170, 255 },
        { 255, 110, 90 }, { 220, 130, 255 }, { 0, 220, 220 }
    };
    const unsigned char *color = colors[box->label % 6];
    const int thick = 1 + p->width / 250, scale = 1 + p->width / 600;
    const int x1 = (int)box->x1, y1 = (int)box->y1, x2 = (int)box->x2, y2 = (int)box->y2;
    char text[64];
    int top, left, width;
    fill(p, x1, y1, x2, y1 + thick, color);
    fill(p, x1, y2 - thick, x2, y2, color);
    fill(p, x1, y1, x1 + thick, y2, color);
    fill(p, x2 - thick, y1, x2, y2, color);
    snprintf(text, sizeof text, "%s %.0f %%", name, 100 * (double)box->score);
    width = scale * (stb_easy_font_width(text) + 4);
    top = y1 < 10 * scale ? y1 : y1 - 10 * scale;
    left = x1 + width > p->width ? p->width - width : x1;
    fill(p, left, top, left + width, top + 10 * scale, color);
    write_text(p, left + 2 * scale, top + scale, scale, text);
}

int main(int argc, char **argv)
{
    static cvn_box boxes[MOST];
    static detector d;
    image in = { NULL, 0, 0 };
    int channels, count = -1;
    if (argc < 4) {
        fprintf(stderr, "usage: %s MODEL.cfg|MODEL.onnx IMAGE OUT.png [WEIGHTS]\n", argv[0]);
        return 2;
    }
    in.pixels = stbi_load(argv[2], &in.width, &in.height, &channels, 3);
    if (!in.pixels) fprintf(stderr, "%s: %s\n", argv[2], stbi_failure_reason());
    else if (load(&d, argv[1], argc > 4 ? argv[4] : NULL) != CVN_OK ||
             (count = detect(&d, &in, boxes)) < 0)
        fprintf(stderr, "%s\n", cvn_error(d.net)[0] ? cvn_error(d.net)
                                                    : "the model is no detector known here");
    for (int i = count - 1; i >= 0; i--) {              /* the best one on top */
        draw_box(&in, &boxes[i], d.names[boxes[i].label % CLASSES]);
    }
    for (int i = 0; i < count; i++)
        printf("%-16s %.3f  %4.0f %4.0f %4.0f %4.0f\n", d.names[boxes[i].label % CLASSES],
               (double)boxes[i].score, (double)boxes[i].x1, (double)boxes[i].y1,
               (double)boxes[i].x2, (double)boxes[i].y2);
    if (count >= 0 && !stbi_write_png(argv[3], in.width, in.height, 3, in.pixels, 3 * in.width)) {
        fprintf(stderr, "%s: cannot be written\n", argv[3]);
        count = -1;
    }
    stbi_image_free(in.pixels);
    cvn_destroy(d.net);
    return count < 0;
}
